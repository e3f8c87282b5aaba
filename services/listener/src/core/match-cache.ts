/** Marks the matches that a subscription changes, so that whoever keeps one need not ask again for any other. */
import { type FilterIndex, PathWatches } from "@myelin/contract";

/** What is kept here: the answer for one path, until it is stale. */
export interface Stale {
  isStale: boolean;
}

/** Matches followed at a time. Beyond it all are marked, and those that are asked for again are followed anew. */
const MAX_MATCHES = 1 << 18;

/** Holds each match until it is stale: whoever asked for it may have forgotten it before, which the bound makes up for. */
export class MatchCache {
  private readonly kept: (Stale | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly watches: PathWatches;

  constructor(index: FilterIndex) {
    this.watches = new PathWatches(index, {
      onStale: (slot) => this.mark(slot),
      onAllStale: () => this.markAll(),
    });
  }

  /** From now on `isStale` of `match`, which is what the index says about `path` at this moment, is kept true to that. */
  keep(match: Stale, tenant: string, path: string): void {
    if (this.free.length === 0 && this.kept.length >= MAX_MATCHES) {
      this.watches.clear();
      this.markAll();
    }
    const slot = this.free.pop() ?? this.kept.length;
    this.kept[slot] = match;
    this.watches.watch(slot, tenant, path);
  }

  private mark(slot: number): void {
    const match = this.kept[slot];
    if (match === undefined) return;
    match.isStale = true;
    this.kept[slot] = undefined;
    this.free.push(slot);
  }

  private markAll(): void {
    for (const match of this.kept) if (match !== undefined) match.isStale = true;
    this.kept.length = 0;
    this.free.length = 0;
  }
}
