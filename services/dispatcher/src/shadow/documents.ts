/** The JSON documents of AWS IoT that tell of a shadow. */
import type { ShadowDocument, ShadowState } from "./document.js";
import { isObject, type Json, type JsonObject } from "./json.js";

/** A shadow as it was at one version; the trees are never changed. */
export interface Snapshot {
  readonly state: ShadowState;
  readonly metadata: ShadowState;
  readonly version: number;
}

export function snapshotOf(document: ShadowDocument): Snapshot {
  return { state: document.state, metadata: document.metadata, version: document.version };
}

/** Answer to `get`: everything there is. */
export function wholeDocument(
  { state, metadata, version }: Snapshot,
  delta: JsonObject | undefined,
  nowUs: number,
): object {
  return {
    state: { ...state, ...(delta !== undefined && { delta }) },
    metadata,
    version,
    timestamp: seconds(nowUs),
  };
}

/** Answer to `update`: what was asked for, and when it was written. */
export function acceptedUpdate(asked: JsonObject, { metadata, version }: Snapshot, nowUs: number): object {
  const shown: Record<string, Json> = {};
  for (const half of ["desired", "reported"] as const) {
    const wanted = asked[half];
    if (isObject(wanted)) shown[half] = shapeOf(wanted as JsonObject, metadata[half] ?? {});
  }
  return { state: asked, metadata: shown, version, timestamp: seconds(nowUs) };
}

/** What is desired and not reported. */
export function deltaDocument(document: ShadowDocument, delta: JsonObject, nowUs: number): object {
  return {
    version: document.version,
    timestamp: seconds(nowUs),
    state: delta,
    metadata: shapeOf(delta, document.desired.metadata),
  };
}

/** Before and after a change. */
export function changeDocument(previous: Snapshot, current: Snapshot, nowUs: number): object {
  return { previous, current, timestamp: seconds(nowUs) };
}

export function seconds(us: number): number {
  return Math.floor(us / 1e6);
}

/** The parts of `source` that have a place in `shape`. */
export function shapeOf(shape: JsonObject, source: JsonObject): JsonObject {
  const found: Record<string, Json> = {};
  for (const [key, child] of Object.entries(shape)) {
    const value = Object.hasOwn(source, key) ? source[key] : undefined;
    if (value === undefined) continue;
    found[key] =
      isObject(child) && isObject(value) ? shapeOf(child as JsonObject, value as JsonObject) : value;
  }
  return found;
}
