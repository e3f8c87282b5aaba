/** What the hub and an edge node make of each other's shadows. */
import { shadow as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ShadowCondition, ShadowKey } from "./api.js";
import { conditionAs } from "./condition.js";
import { shownPath } from "./json.js";
import type { ShadowPartition } from "./partition.js";
import { fromRecord, type StoredShadow, toRecord } from "./records.js";

type Answer = Parameters<typeof wire.Answer.fromPartial>[0];

/** Does something with a shadow in its turn; what `run` gives is called when that is stored, and is the encoded Answer. */
export function perform(
  partition: ShadowPartition,
  key: ShadowKey,
  makes: boolean,
  run: (shadow: StoredShadow) => () => Answer,
): Promise<Uint8Array> {
  return inTurn(partition, key, makes, (shadow) => {
    const answer = run(shadow);
    return () => wire.Answer.encode(wire.Answer.fromPartial(answer())).finish();
  });
}

/** At the hub: what both sites have after it is the same; where both wrote without knowing of each other it is told. Gives the encoded Answer. */
export async function answerSync(
  partition: ShadowPartition,
  key: ShadowKey,
  record: wire.Record,
): Promise<Uint8Array> {
  const { document: remote, condition } = fromRecord(record, "edge");
  const { log, clock, ownership, site } = partition.options;
  if (site === "edge") throw new AppError("internal.invalid_argument", "an edge node is nobody's hub");
  return await perform(partition, key, true, (shadow) => {
    const { document } = shadow;
    const { conflicts } = document.merge(remote);
    if (!document.isShared) {
      document.isShared = true;
      document.version += 1;
    }
    document.prune(remote.seen);
    const wanted = conflicts.filter(({ state }) => state === "desired");
    if (wanted.length > 0)
      shadow.condition = conditionAs(
        undefined,
        "conflict",
        `written here and at the edge: ${wanted.map(({ path }) => shownPath(path)).join(", ")}`.slice(0, 512),
        clock.wallMs(),
      );
    // The edge node has the device.
    else if (
      condition !== undefined &&
      shadow.condition?.state !== "conflict" &&
      !isSame(condition, shadow.condition)
    )
      shadow.condition = condition;
    return () => {
      for (const { state, path, site: kept } of conflicts)
        log.warn(
          { device: key.device, shadow: key.name, state, path: shownPath(path), kept },
          "a field of a shadow was written here and at the edge, one of both was kept",
        );
      partition.tellDelta(key, shadow);
      return { record: toRecord(key, shadow, ownership.epoch, clock.wallUs()) };
    };
  });
}

/** At an edge node: what the hub is to be told of a shadow. */
export function ownRecord(partition: ShadowPartition, key: ShadowKey): Promise<wire.Record> {
  const { ownership, clock } = partition.options;
  return inTurn(
    partition,
    key,
    false,
    (shadow) => () => toRecord(key, shadow, ownership.epoch, clock.wallUs()),
  );
}

/** At an edge node: takes what the hub has made of both. The device is brought to what is desired of it since. */
export function mergeRecord(partition: ShadowPartition, key: ShadowKey, record: wire.Record): Promise<void> {
  const { document: remote } = fromRecord(record);
  return inTurn(partition, key, true, (shadow) => {
    const { changed } = shadow.document.merge(remote);
    shadow.document.prune(remote.seen);
    if (changed) shadow.condition = undefined;
    return () => {
      if (changed) partition.tellDelta(key, shadow);
    };
  });
}

function inTurn<T>(
  partition: ShadowPartition,
  key: ShadowKey,
  makes: boolean,
  run: (shadow: StoredShadow) => () => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const task = {
      run: (shadow: StoredShadow) => {
        const ended = run(shadow);
        return () => resolve(ended());
      },
      refused: reject,
    };
    partition.submit(key, task, makes);
  });
}

function isSame(a: ShadowCondition, b: ShadowCondition | undefined): boolean {
  return a.state === b?.state && a.sinceMs === b.sinceMs && a.reason === b.reason;
}
