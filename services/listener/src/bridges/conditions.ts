/** How it stands with the bridges that run here, in the words in which every resource is told of. */
import { generationOf, resourcesOf, type Snapshot } from "@myelin/config";
import type { ResourceCondition } from "@myelin/service-host";
import type { BridgeRecord } from "./bridges.js";

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
