/** What programs ask of the owner of a partition: shadows read, written, deleted, listed, watched, and merged with those of an edge node. */
import { payloadCodecs, shadow as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ShadowKey } from "./api.js";
import { conditionAs } from "./condition.js";
import { expectThere } from "./device-requests.js";
import type { ShadowChange } from "./document.js";
import { changeDocument, snapshotOf } from "./documents.js";
import { checkState, type JsonObject, SHADOW_LIMITS, shownPath } from "./json.js";
import type { ShadowPartition } from "./partition.js";
import { fromRecord, type StoredShadow, toRecord } from "./records.js";
import { isShadowName, shadowTopic } from "./topics.js";

const MAX_JSON_DEPTH = 64;

/**
 * Encoded Answer.
 * @throws AppError `shadow.*`, `limit.rate`, `request.no_responder`, `internal.invalid_argument`
 */
export async function answerProgram(partition: ShadowPartition, data: Uint8Array): Promise<Uint8Array> {
  const { tenant, device, name, request } = wire.Request.decode(data);
  if (device === "") throw invalid("device", "is missing");
  if (name !== "" && !isShadowName(name))
    throw invalid("name", "must have 1 to 64 letters, digits, colons, hyphens or underscores");
  const key = { tenant, device, name };
  switch (request?.$case) {
    case "get": {
      if (request.value.watch) partition.watch(key);
      return await perform(partition, key, false, (shadow) => {
        if (!request.value.watch) expectThere(shadow, key);
        return () => ({ document: partition.documentOf(key, shadow) });
      });
    }
    case "update":
      return await update(partition, key, request.value);
    case "delete":
      return await perform(partition, key, false, (shadow) => {
        const { condition } = request.value;
        expectThere(shadow, key);
        shadow.document.delete(partition.options.clock.wallUs(), condition?.value);
        return () => ({ document: partition.documentOf(key, shadow) });
      });
    case "list": {
      const found = await partition.options.store.ofDevice(partition.number, tenant, device);
      const names = found.filter(({ record }) => !record.gone).map(({ record }) => record.name);
      return wire.Answer.encode(wire.Answer.fromPartial({ names: [...new Set(names)].sort() })).finish();
    }
    case "sync":
      if (request.value.record === undefined) break;
      return await sync(partition, key, request.value.record);
    case undefined:
      break;
  }
  throw new AppError("internal.invalid_argument", "a request for a shadow that says nothing");
}

async function update(partition: ShadowPartition, key: ShadowKey, asked: wire.Update): Promise<Uint8Array> {
  const change: ShadowChange = {
    desired: stateOf(asked.desired),
    replaceDesired: asked.replace,
    version: asked.condition?.value,
  };
  return await perform(partition, key, true, (shadow) => {
    const { document } = shadow;
    const nowUs = partition.options.clock.wallUs();
    const previous = snapshotOf(document);
    document.update(change, nowUs);
    shadow.condition = undefined;
    const current = snapshotOf(document);
    return () => {
      const { device, name, tenant } = key;
      const path = shadowTopic({ device, name, verb: "update" }, "documents");
      const changed = changeDocument(previous, current, nowUs);
      partition.options.voice.tell(partition.number, tenant, device, path, changed);
      partition.tellDelta(key, shadow);
      return { document: partition.documentOf(key, shadow) };
    };
  });
}

/** What both sites have after it is the same; where both wrote without knowing of each other it is told. */
async function sync(partition: ShadowPartition, key: ShadowKey, record: wire.Record): Promise<Uint8Array> {
  const remote = fromRecord(record).document;
  const { log, clock, ownership } = partition.options;
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
    return () => {
      for (const { state, path, site } of conflicts)
        log.warn(
          { device: key.device, shadow: key.name, state, path: shownPath(path), kept: site },
          "a field of a shadow was written here and at the edge, one of both was kept",
        );
      partition.tellDelta(key, shadow);
      return { record: toRecord(key, shadow, ownership.epoch, clock.wallUs()) };
    };
  });
}

function stateOf(bytes: Uint8Array): JsonObject | null | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length > SHADOW_LIMITS.bytes)
    throw new AppError(
      "shadow.too_large",
      `the desired state has ${bytes.length} bytes; ${SHADOW_LIMITS.bytes} are taken`,
    );
  let state: unknown;
  try {
    state = payloadCodecs.json.decode(bytes, { maxDepth: MAX_JSON_DEPTH });
  } catch (cause) {
    throw new AppError("shadow.invalid", `the desired state is no JSON of at most ${MAX_JSON_DEPTH} levels`, {
      cause,
      details: { path: "desired", rule: "JSON" },
    });
  }
  if (state === null) return null;
  checkState(state, "desired");
  return state;
}

function perform(
  partition: ShadowPartition,
  key: ShadowKey,
  makes: boolean,
  run: (shadow: StoredShadow) => () => Parameters<typeof wire.Answer.fromPartial>[0],
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const task = {
      run: (shadow: StoredShadow) => {
        const answer = run(shadow);
        return () => resolve(wire.Answer.encode(wire.Answer.fromPartial(answer())).finish());
      },
      refused: reject,
    };
    partition.submit(key, task, makes);
  });
}

function invalid(path: string, rule: string): AppError {
  return new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
}
