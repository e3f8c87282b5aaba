/** The targets of this process: made when a route, an app or a listener first names them, found by reference. */
import type { Target } from "./outlet.js";
import type { TargetRef } from "./plan.js";

interface Entry {
  readonly ref: TargetRef;
  readonly target: Target;
}

/** Indexes are never used twice, so that a late look-up cannot meet another target. */
export class TargetTable {
  private readonly byName = new Map<string, Entry>();
  private readonly byIndex: (Entry | undefined)[] = [];

  /** The reference of a target; `create` makes it when it is not there. The caller starts what it made. */
  ensure(
    kind: string,
    name: string,
    create: () => Target,
  ): { readonly ref: TargetRef; readonly made: boolean } {
    const key = `${kind}\0${name}`;
    const known = this.byName.get(key);
    if (known !== undefined) return { ref: known.ref, made: false };
    const entry: Entry = { ref: { index: this.byIndex.length, kind, name }, target: create() };
    this.byName.set(key, entry);
    this.byIndex.push(entry);
    return { ref: entry.ref, made: true };
  }

  find(kind: string, name: string): TargetRef | undefined {
    return this.byName.get(`${kind}\0${name}`)?.ref;
  }

  targetOf(ref: TargetRef): Target | undefined {
    return this.byIndex[ref.index]?.target;
  }

  /** Takes a target out; it is the caller's to stop. */
  remove(ref: TargetRef): Target | undefined {
    const entry = this.byIndex[ref.index];
    if (entry === undefined) return undefined;
    this.byIndex[ref.index] = undefined;
    this.byName.delete(`${ref.kind}\0${ref.name}`);
    return entry.target;
  }

  *refs(): IterableIterator<TargetRef> {
    for (const entry of this.byName.values()) yield entry.ref;
  }
}
