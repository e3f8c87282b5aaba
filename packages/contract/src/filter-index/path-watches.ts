/** Tells which remembered matches a changed filter voids, so that nobody who remembers one has to ask again. */
import type { FilterIndex, FilterIndexObserver } from "./filter-index.js";
import { HashChains } from "./hash-chains.js";
import { Records } from "./records.js";

/** Hashes watched for one path; a path that more shapes of filters may match is voided by every change. */
const MAX_PER_SLOT = 48;

/** Words 0 to 2 of a watch's record are those of `HashChains`. */
const STRIDE = 5;
const SLOT = 3;
const NEXT_OF_SLOT = 4;

/** Callbacks and bounds. The callbacks run inside of a change of the index, which they must not use. */
export interface PathWatchesOptions {
  /** What is remembered in a slot may be wrong from now on; it is not watched any more. Must not watch anything. */
  readonly onStale: (slot: number) => void;
  /** Nothing that is remembered is watched any more. */
  readonly onAllStale: () => void;
  /** Hashes watched in all, at 20 bytes each; paths beyond it are voided by every change. */
  readonly maxWatches?: number;
}

/** Slots are small whole numbers that the caller gives out densely, one for each match that it remembers. */
export class PathWatches implements FilterIndexObserver {
  private readonly records: Records;
  private readonly chains: HashChains;
  private watches = 0;
  /** By slot: its first watch. */
  private first = new Uint32Array(64);
  /** Slots that every change voids. */
  private readonly nervous = new Set<number>();
  private readonly maxWatches: number;
  private readonly found: number[] = [];

  constructor(
    private readonly index: FilterIndex,
    private readonly options: PathWatchesOptions,
  ) {
    this.maxWatches = options.maxWatches ?? 1 << 22;
    this.records = new Records(STRIDE, this.maxWatches);
    this.chains = new HashChains(this.records, this.maxWatches);
    index.observe(this);
  }

  /** Watches what is remembered in `slot` for a path; the slot must not be watched. */
  watch(slot: number, tenant: string, path: string): void {
    const { found } = this;
    found.length = 0;
    this.index.hashesOf(tenant, path, (hash) => found.push(hash));
    if (found.length > MAX_PER_SLOT || this.watches + found.length > this.maxWatches) {
      this.nervous.add(slot);
      return;
    }
    if (slot >= this.first.length) {
      const more = new Uint32Array(Math.max(slot + 1, this.first.length * 2));
      more.set(this.first);
      this.first = more;
    }
    const { words } = this.records;
    for (const hash of found) {
      const watch = this.records.take();
      this.chains.link(watch, hash);
      words[watch * STRIDE + SLOT] = slot;
      words[watch * STRIDE + NEXT_OF_SLOT] = this.first[slot]!;
      this.first[slot] = watch;
      this.watches++;
    }
  }

  /** Nothing is remembered in `slot` any more. Safe for a slot that is not watched. */
  forget(slot: number): void {
    if (this.nervous.size > 0) this.nervous.delete(slot);
    for (let watch = this.first[slot] ?? 0; watch !== 0; ) {
      const next = this.records.words[watch * STRIDE + NEXT_OF_SLOT]!;
      this.chains.unlink(watch);
      this.records.release(watch);
      this.watches--;
      watch = next;
    }
    if (slot < this.first.length) this.first[slot] = 0;
  }

  changed(hash: number): void {
    const { chains, found } = this;
    found.length = 0;
    for (let watch = chains.first(hash); watch !== 0; watch = chains.after(watch)) {
      found.push(this.records.words[watch * STRIDE + SLOT]!);
    }
    for (const slot of this.nervous) found.push(slot);
    for (const slot of found) {
      this.forget(slot);
      this.options.onStale(slot);
    }
  }

  changedAll(): void {
    this.clear();
    this.options.onAllStale();
  }

  /** Forgets every slot. */
  clear(): void {
    if (this.watches === 0 && this.nervous.size === 0) return;
    this.chains.clear();
    this.records.clear();
    this.first.fill(0);
    this.nervous.clear();
    this.watches = 0;
  }
}
