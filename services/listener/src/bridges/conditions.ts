/** How it stands with the bridges that run here, in the words in which every resource is told of. */
import { generationOf, resourcesOf, type Snapshot } from "@myelin/config";
import type { ResourceCondition, ResourceFigures } from "@myelin/service-host";
import type { BridgeRecord, Outbox } from "./bridges.js";

/** Generations of the bridges of a snapshot, by name. */
export function bridgeGenerations(snapshot: Snapshot): ReadonlyMap<string, number> {
  return new Map(resourcesOf(snapshot, "Bridge").map((r) => [r.metadata.name, generationOf(r.spec)]));
}

/** `Ready` of each bridge that runs here: the other side has let it in. */
export function bridgeConditions(
  records: readonly Pick<BridgeRecord, "name" | "state" | "sinceMs" | "lastError">[],
  generations: ReadonlyMap<string, number>,
): readonly ResourceCondition[] {
  return records.map(({ name, state, sinceMs, lastError }) => ({
    kind: "Bridge",
    name,
    type: "Ready",
    status: state === "connected",
    ...(state === "waiting" && lastError !== undefined
      ? { reason: lastError.code, message: lastError.message }
      : { reason: state, message: "" }),
    generation: generations.get(name) ?? 0,
    sinceMs,
  }));
}

/** What each bridge that runs here has carried, what waits in its outbox, and what it has not passed on. */
export function bridgeFigures(
  records: readonly Pick<BridgeRecord, "name" | "counters" | "outbox">[],
  nowMs: number,
): readonly ResourceFigures[] {
  return records.map(({ name, counters, outbox }) => {
    const { in: inMessages, out: outMessages } = counters.messages;
    const lost = [...counters.dropped.values()].reduce((sum, n) => sum + n, 0);
    const waiting = outbox && {
      queuedMessages: outbox.messages,
      queuedBytes: outbox.bytes,
      oldestQueuedSeconds: ageSeconds(outbox, nowMs),
    };
    const droppedMessages = lost + (outbox?.dropped ?? 0);
    return { kind: "Bridge", name, figures: { inMessages, outMessages, ...waiting, droppedMessages } };
  });
}

/** Of the oldest message that waits; 0: none does. */
export function ageSeconds({ oldestAtMs }: Pick<Outbox, "oldestAtMs">, nowMs: number): number {
  return oldestAtMs === 0 ? 0 : Math.max(0, Math.round(nowMs - oldestAtMs) / 1000);
}
