/** What programs ask of the owner of a partition: shadows read, written, deleted, listed, watched, and merged with those of an edge node. */
import { payloadCodecs, shadow as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ShadowKey } from "./api.js";
import { expectThere } from "./device-requests.js";
import type { ShadowChange } from "./document.js";
import { changeDocument, snapshotOf } from "./documents.js";
import { checkState, type JsonObject, SHADOW_LIMITS } from "./json.js";
import type { ShadowPartition } from "./partition.js";
import { answerSync, perform } from "./sites.js";
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
      return await answerSync(partition, key, request.value.record);
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

function invalid(path: string, rule: string): AppError {
  return new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
}
