/** One shadow: what is wanted of a device, what it has measured, and what of the first the second does not show yet. */
import { AppError } from "@myelin/kernel";
import { isObject, isSame, type Json, type JsonObject, SHADOW_LIMITS } from "./json.js";
import { type Conflict, type Field, Section } from "./section.js";
import { EMPTY_VECTOR, joined, nextStamp, type Site, type Stamp, type Vector } from "./stamp.js";

/** What one update says. A state that is null is emptied, one that is left out stays. */
export interface ShadowChange {
  readonly desired?: JsonObject | null | undefined;
  readonly reported?: JsonObject | null | undefined;
  /** The desired state becomes exactly this, instead of being merged. */
  readonly replaceDesired?: boolean | undefined;
  /** The version the change is meant for; left out: whatever it is. */
  readonly version?: number | undefined;
}

/** What was measured of one point. */
export interface Measured {
  value: string | number | boolean;
  timeUs: number;
}

/** A conflict and the half it is in. */
export interface ShadowConflict extends Conflict {
  readonly state: "desired" | "reported";
}

/** Whether a wanted value counts as reached by a measured one; only asked where they are not the same. */
export type Tolerance = (path: readonly string[], desired: Json, reported: Json) => boolean;

/** The state of a shadow as its documents show it. */
export interface ShadowState {
  readonly desired?: JsonObject;
  readonly reported?: JsonObject;
}

/** Not stored by itself, and knows no clock. Its version grows with each change, also over deletion. */
export class ShadowDocument {
  readonly desired = new Section("hub");
  readonly reported = new Section("edge");
  version = 0;
  /** Deleted, or never there: there is nothing to read, and the version goes on when it is made anew. */
  isGone = true;
  seen: Vector = EMPTY_VECTOR;
  /** The other site has it too: what is removed must be remembered until it knows of that. */
  isShared: boolean;

  constructor(readonly site: Site = "hub") {
    this.isShared = site === "edge";
  }

  /** The state for documents; a half without fields is left out. */
  get state(): ShadowState {
    return {
      ...(this.desired.live > 0 && { desired: this.desired.json }),
      ...(this.reported.live > 0 && { reported: this.reported.json }),
    };
  }

  /** When the fields were written, in the same form. */
  get metadata(): ShadowState {
    return {
      ...(this.desired.live > 0 && { desired: this.desired.metadata }),
      ...(this.reported.live > 0 && { reported: this.reported.metadata }),
    };
  }

  /**
   * Makes a change, whole or not at all.
   * @throws AppError `shadow.version_conflict`, `shadow.too_large`, `shadow.invalid` when it would have too many fields
   */
  update(change: ShadowChange, timeUs: number): void {
    const { desired, reported, replaceDesired = false } = change;
    this.expectVersion(change.version);
    this.#expectRoom(change);
    const stamp = this.#nextStamp();
    if (desired === null || (replaceDesired && desired !== undefined)) {
      this.desired.removeAll(stamp, timeUs, this.isShared);
    }
    if (desired) this.desired.patch(desired, stamp, timeUs, this.isShared);
    if (reported === null) this.reported.removeAll(stamp, timeUs, this.isShared);
    if (reported) this.reported.patch(reported, stamp, timeUs, this.isShared);
    this.#changed();
  }

  /** Takes what was measured, all of it as one change. False: there is no room for another field, and nothing of it was taken. */
  measure(points: ReadonlyMap<string, Measured>): boolean {
    let added = 0;
    for (const point of points.keys()) if (!this.reported.fields.has(point)) added += 1;
    if (this.reported.fields.size + added > SHADOW_LIMITS.fields) return false;
    const stamp = this.#nextStamp();
    for (const [point, { value, timeUs }] of points)
      this.reported.set(point, value, stamp, timeUs, this.isShared);
    this.#changed();
    return true;
  }

  /** Deletes it. @throws AppError `shadow.version_conflict` */
  delete(timeUs: number, version: number | undefined): void {
    this.expectVersion(version);
    const stamp = this.#nextStamp();
    this.desired.removeAll(stamp, timeUs, this.isShared);
    this.reported.removeAll(stamp, timeUs, this.isShared);
    this.#changed();
    this.isGone = true;
  }

  /** @throws AppError `shadow.version_conflict` when it has another version; one that is gone has version 0 for those who ask */
  expectVersion(version: number | undefined): void {
    const found = this.isGone ? 0 : this.version;
    if (version === undefined || version === found) return;
    throw new AppError("shadow.version_conflict", `the shadow has version ${found}, not ${version}`, {
      details: { version: found },
    });
  }

  /** What is desired and not reported, in the form of the state; undefined: nothing. */
  delta(tolerance: Tolerance = () => false): JsonObject | undefined {
    if (this.desired.live === 0) return undefined;
    return difference([], this.desired.json, this.reported.json, tolerance);
  }

  /**
   * Takes what the other site has, or a part of it, in whatever order parts come. Later writes win; of those that crossed the hub's wins in the
   * desired state and the device's in the reported one.
   */
  merge(other: ShadowDocument): { readonly changed: boolean; readonly conflicts: readonly ShadowConflict[] } {
    const conflicts: ShadowConflict[] = [];
    let changed = false;
    for (const half of ["desired", "reported"] as const) {
      const own = this[half];
      for (const [path, field] of other[half].fields) {
        const before = own.get(path);
        const stamp = before?.stamp;
        const conflict = own.merge(path, field);
        changed ||= own.get(path)?.stamp !== stamp;
        if (conflict !== undefined && !isSame(conflict.kept, conflict.lost))
          conflicts.push({ ...conflict, state: half });
      }
    }
    this.seen = joined(this.seen, other.seen);
    this.version = Math.max(this.version, other.version);
    if (changed) this.#changed();
    if (this.desired.live + this.reported.live > 0) this.isGone = false;
    return { changed, conflicts };
  }

  /** The fields that somebody who knows `known` lacks. */
  *since(known: Vector): Iterable<readonly ["desired" | "reported", string, Field]> {
    for (const half of ["desired", "reported"] as const)
      for (const [path, field] of this[half].fields) {
        const { site, hub, edge } = field.stamp;
        if (site === "hub" ? hub > known.hub : edge > known.edge) yield [half, path, field];
      }
  }

  /** The other site knows this much: what both know to be removed is forgotten. */
  prune(known: Vector): void {
    this.desired.prune(known);
    this.reported.prune(known);
  }

  #nextStamp(): Stamp {
    const stamp = nextStamp(this.site, this.seen);
    this.seen = { hub: stamp.hub, edge: stamp.edge };
    return stamp;
  }

  #changed(): void {
    this.version += 1;
    this.isGone = false;
  }

  /** Looked at before anything is changed, first by what the change could add at most. */
  #expectRoom({ desired, reported }: ShadowChange): void {
    const halves = [
      ["desired", desired, this.desired],
      ["reported", reported, this.reported],
    ] as const;
    let bytes = this.desired.bytes + this.reported.bytes;
    for (const [name, patch, section] of halves) {
      if (!patch) continue;
      const added = measureOf(patch);
      const isSmall = bytes + added.bytes <= SHADOW_LIMITS.bytes;
      if (isSmall && section.fields.size + added.fields <= SHADOW_LIMITS.fields) {
        bytes += added.bytes;
        continue;
      }
      const next = new Section(section.preferred);
      for (const [path, field] of section.fields) next.merge(path, field);
      next.patch(patch, nextStamp(this.site, this.seen), 0, this.isShared);
      bytes += next.bytes - section.bytes;
      const path = `state.${name}`;
      if (next.fields.size > SHADOW_LIMITS.fields) {
        const rule = `would have ${next.fields.size} fields; ${SHADOW_LIMITS.fields} are taken`;
        throw new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
      }
      if (bytes > SHADOW_LIMITS.bytes) {
        const rule = `would make the shadow larger than ${SHADOW_LIMITS.bytes} bytes`;
        throw new AppError("shadow.too_large", `${path} ${rule}`, { details: { path, rule } });
      }
    }
  }
}

function measureOf(value: JsonObject): { readonly fields: number; readonly bytes: number } {
  return { fields: countLeaves(value), bytes: JSON.stringify(value).length };
}

function countLeaves(value: JsonObject): number {
  let count = 0;
  for (const child of Object.values(value)) count += isObject(child) ? countLeaves(child as JsonObject) : 1;
  return count;
}

function difference(
  path: readonly string[],
  desired: JsonObject,
  reported: JsonObject,
  tolerance: Tolerance,
): JsonObject | undefined {
  let found: Record<string, Json> | undefined;
  for (const [key, wanted] of Object.entries(desired)) {
    const measured = Object.hasOwn(reported, key) ? reported[key] : undefined;
    let left: Json | undefined = wanted;
    if (isObject(wanted) && isObject(measured)) {
      left = difference([...path, key], wanted as JsonObject, measured as JsonObject, tolerance);
    } else if (isSame(wanted, measured)) left = undefined;
    else if (measured !== undefined && tolerance([...path, key], wanted, measured)) left = undefined;
    if (left === undefined) continue;
    found ??= {};
    found[key] = left;
  }
  return found;
}
