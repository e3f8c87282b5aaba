/** Half of a shadow, desired or reported: fields by path, each with the write it comes from. */
import { type Json, type JsonObject, keysOf, type Leaf, pathBelow } from "./json.js";
import { isKnown, isStronger, relation, type Site, type Stamp, type Vector } from "./stamp.js";

/** One field. Without a value: it was removed, which must be known until the other site knows it too. */
export interface Field {
  value: Leaf | undefined;
  /** Microseconds since 1970: when it was measured or written. */
  timeUs: number;
  stamp: Stamp;
}

/** A field that both sites wrote without knowing of each other. */
export interface Conflict {
  readonly path: string;
  readonly kept: Leaf | undefined;
  readonly lost: Leaf | undefined;
  /** Whose value was kept. */
  readonly site: Site;
}

interface Tree {
  [key: string]: Json;
}

export class Section {
  readonly fields = new Map<string, Field>();
  /** Paths with fields below them, and how many. */
  readonly #inner = new Map<string, number>();
  #live = 0;
  #bytes = 0;
  #json: JsonObject | undefined;

  /** Writes that crossed are decided for this site. */
  constructor(readonly preferred: Site) {}

  /** Fields that have a value. */
  get live(): number {
    return this.#live;
  }

  /** About the bytes of its JSON. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The state as JSON; do not change it. */
  get json(): JsonObject {
    this.#json ??= this.#tree(({ value }) => value as Json);
    return this.#json;
  }

  /** When each field was written, in seconds since 1970, in the form of AWS. */
  get metadata(): JsonObject {
    return this.#tree(({ value, timeUs }) => timesOf(value as Json, { timestamp: Math.floor(timeUs / 1e6) }));
  }

  get(path: string): Field | undefined {
    return this.fields.get(path);
  }

  /** Merges `patch` in: objects are gone into, null removes, all else replaces. `keep`: what is removed must be remembered. */
  patch(patch: JsonObject, stamp: Stamp, timeUs: number, keep: boolean): void {
    this.#patch("", patch, stamp, timeUs, keep);
  }

  /** Removes every field. */
  removeAll(stamp: Stamp, timeUs: number, keep: boolean): void {
    for (const path of [...this.fields.keys()]) this.#remove(path, stamp, timeUs, keep);
  }

  /** Sets one field, which has no simple value above it; what lies below it goes. */
  set(path: string, value: Leaf, stamp: Stamp, timeUs: number, keep: boolean): void {
    this.#removeBelow(path, stamp, timeUs, keep);
    this.#json = undefined;
    const known = this.fields.get(path);
    if (known === undefined) {
      this.#add(path, { value, timeUs, stamp });
      return;
    }
    if (known.value === undefined) this.#live += 1;
    this.#bytes += sizeOf(value) - sizeOf(known.value);
    known.value = value;
    known.timeUs = timeUs;
    known.stamp = stamp;
  }

  /** Takes a field as it is written elsewhere. Tells of a conflict, if there was one; undefined: there was none. */
  merge(path: string, field: Field): Conflict | undefined {
    const known = this.fields.get(path);
    if (known === undefined) {
      this.#json = undefined;
      this.#add(path, { ...field });
      return undefined;
    }
    const found = relation(field.stamp, known.stamp);
    if (found === "same") {
      // One write, measured again: the last time counts.
      if (field.timeUs > known.timeUs) known.timeUs = field.timeUs;
      return undefined;
    }
    const lost = { ...known };
    const wins = isStronger(field.stamp, known.stamp, this.preferred);
    if (wins) {
      this.#json = undefined;
      this.#live += (field.value === undefined ? 0 : 1) - (known.value === undefined ? 0 : 1);
      this.#bytes += sizeOf(field.value) - sizeOf(known.value);
      Object.assign(known, field);
    }
    if (found !== "crossed") return undefined;
    return {
      path,
      kept: known.value,
      lost: wins ? lost.value : field.value,
      site: known.stamp.site,
    };
  }

  /** Forgets removed fields that both sites know to be removed. */
  prune(known: Vector): void {
    for (const [path, { value, stamp }] of this.fields)
      if (value === undefined && isKnown(stamp, known)) this.#drop(path);
  }

  #patch(parent: string, patch: JsonObject, stamp: Stamp, timeUs: number, keep: boolean): void {
    for (const [key, value] of Object.entries(patch)) {
      const path = pathBelow(parent, key);
      if (value === null) {
        this.#remove(path, stamp, timeUs, keep);
        this.#removeBelow(path, stamp, timeUs, keep);
      } else if (typeof value === "object" && !Array.isArray(value)) {
        const inner = value as JsonObject;
        // An empty object says nothing: a simple value in its place stays.
        if (Object.keys(inner).length > 0) this.#remove(path, stamp, timeUs, keep);
        this.#patch(path, inner, stamp, timeUs, keep);
      } else {
        this.set(path, value as Leaf, stamp, timeUs, keep);
      }
    }
  }

  #remove(path: string, stamp: Stamp, timeUs: number, keep: boolean): void {
    const known = this.fields.get(path);
    if (known?.value === undefined) return;
    this.#json = undefined;
    if (!keep) {
      this.#drop(path);
      return;
    }
    this.#live -= 1;
    this.#bytes -= sizeOf(known.value);
    known.value = undefined;
    known.timeUs = timeUs;
    known.stamp = stamp;
  }

  #removeBelow(path: string, stamp: Stamp, timeUs: number, keep: boolean): void {
    if (!this.#inner.has(path)) return;
    const prefix = pathBelow(path, "");
    for (const below of [...this.fields.keys()])
      if (below.startsWith(prefix)) this.#remove(below, stamp, timeUs, keep);
  }

  #add(path: string, field: Field): void {
    this.fields.set(path, field);
    this.#bytes += path.length + sizeOf(field.value);
    if (field.value !== undefined) this.#live += 1;
    for (const above of pathsAbove(path)) this.#inner.set(above, (this.#inner.get(above) ?? 0) + 1);
  }

  #drop(path: string): void {
    const known = this.fields.get(path);
    if (known?.value !== undefined) this.#live -= 1;
    this.#bytes -= path.length + sizeOf(known?.value);
    this.fields.delete(path);
    for (const above of pathsAbove(path)) {
      const left = this.#inner.get(above)! - 1;
      if (left === 0) this.#inner.delete(above);
      else this.#inner.set(above, left);
    }
  }

  #tree(shown: (field: Field) => Json): JsonObject {
    const root: Tree = {};
    for (const [path, field] of this.fields) {
      if (field.value === undefined || this.#isHidden(path, field)) continue;
      const keys = keysOf(path);
      const last = keys.pop()!;
      let at = root;
      for (const key of keys) {
        at[key] ??= {};
        at = at[key] as Tree;
      }
      at[last] = shown(field);
    }
    return root;
  }

  /**
   * Writes that crossed can leave a simple value and fields below it. Then one hides the other, and everybody who has these fields
   * decides alike: what is below counts if any of it is stronger than the simple value.
   */
  #isHidden(path: string, field: Field): boolean {
    if (this.#inner.size === 0) return false;
    if (this.#inner.has(path) && this.#below(path).some((below) => this.#beats(below, field))) return true;
    return pathsAbove(path).some((above) => {
      const over = this.fields.get(above);
      return over?.value !== undefined && !this.#below(above).some((below) => this.#beats(below, over));
    });
  }

  #below(path: string): Field[] {
    const prefix = pathBelow(path, "");
    const found: Field[] = [];
    for (const [below, field] of this.fields)
      if (field.value !== undefined && below.startsWith(prefix)) found.push(field);
    return found;
  }

  #beats(a: Field, b: Field): boolean {
    return isStronger(a.stamp, b.stamp, this.preferred);
  }
}

function pathsAbove(path: string): string[] {
  const keys = keysOf(path);
  keys.pop();
  const found: string[] = [];
  let above = "";
  for (const key of keys) {
    above = pathBelow(above, key);
    found.push(above);
  }
  return found;
}

function timesOf(value: Json, time: JsonObject): Json {
  return Array.isArray(value) ? value.map((item) => timesOf(item, time)) : time;
}

function sizeOf(value: Leaf | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === "string") return value.length + 2;
  return typeof value === "object" ? JSON.stringify(value).length : 8;
}
