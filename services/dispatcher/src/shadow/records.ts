/** Shadows as they are stored and sent to edge nodes. */
import type { shadow as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ShadowCondition, ShadowConditionState, ShadowKey } from "./api.js";
import { ShadowDocument } from "./document.js";
import type { Leaf } from "./json.js";
import type { Section } from "./section.js";
import type { Site, Stamp } from "./stamp.js";

/** A shadow with what its owner knows beside its document. */
export interface StoredShadow {
  readonly document: ShadowDocument;
  condition: ShadowCondition | undefined;
  /** Ids of the last events that changed it, oldest first. */
  recent: readonly Buffer[];
}

const STATES: ReadonlySet<string> = new Set<ShadowConditionState>([
  "synced",
  "drifted",
  "conflict",
  "unreachable",
]);

/** What lies in the store. */
export function toRecord(
  { tenant, device, name }: ShadowKey,
  { document, condition, recent }: StoredShadow,
  epoch: number,
  nowUs: number,
): wire.Record {
  const stamps: wire.Stamp[] = [];
  const places = new Map<Stamp, number>();
  const fieldsOf = (section: Section): wire.Field[] => {
    const fields: wire.Field[] = [];
    for (const [path, { value, timeUs, stamp }] of section.fields) {
      let place = places.get(stamp);
      if (place === undefined) {
        place = stamps.length;
        places.set(stamp, place);
        stamps.push({ hub: stamp.hub, edge: stamp.edge, byEdge: stamp.site === "edge" });
      }
      fields.push({
        path,
        value: value === undefined ? "" : JSON.stringify(value),
        timeUs,
        stamp: place,
      });
    }
    return fields;
  };
  return {
    tenant,
    device,
    name,
    version: document.version,
    gone: document.isGone,
    seen: document.seen,
    shared: document.isShared,
    desired: fieldsOf(document.desired),
    reported: fieldsOf(document.reported),
    stamps,
    condition,
    epoch,
    updatedAtUs: nowUs,
    recent: [...recent],
  };
}

/** What a record holds, at the site that is to write it. @throws AppError `store.corrupt` */
export function fromRecord(record: wire.Record, site: Site = "hub"): StoredShadow {
  const document = new ShadowDocument(site);
  document.version = record.version;
  document.isGone = record.gone;
  document.isShared ||= record.shared;
  if (record.seen !== undefined) document.seen = { hub: record.seen.hub, edge: record.seen.edge };
  const stamps = record.stamps.map(
    ({ hub, edge, byEdge }): Stamp => ({ hub, edge, site: byEdge ? "edge" : "hub" }),
  );
  for (const half of ["desired", "reported"] as const)
    for (const { path, value, timeUs, stamp: place } of record[half]) {
      const stamp = stamps[place];
      if (stamp === undefined) throw corrupt(record);
      document[half].merge(path, { value: value === "" ? undefined : leafOf(value, record), timeUs, stamp });
    }
  const { condition } = record;
  const isKnown = condition !== undefined && STATES.has(condition.state);
  return {
    document,
    condition: isKnown ? { ...condition, state: condition.state as ShadowConditionState } : undefined,
    recent: record.recent,
  };
}

function leafOf(text: string, record: wire.Record): Leaf {
  try {
    return JSON.parse(text) as Leaf;
  } catch (cause) {
    throw corrupt(record, cause);
  }
}

function corrupt({ device, name }: wire.Record, cause?: unknown): AppError {
  return new AppError("store.corrupt", `the shadow "${name}" of ${device} cannot be read`, { cause });
}
