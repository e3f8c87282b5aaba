/** Channels beyond what connections keep for themselves: one bounded cache per process, least recently used go first. */
import { type ChannelEntry, hashPath, type LaneIndex, sameEntry } from "./channel-table.js";

const WAYS = 8;

/**
 * Set-associative, so that finding, adding and evicting cost the same whatever happened before: a path belongs to one set of
 * eight; the least recently used of these makes room. Keys are path bytes within an owner, told apart by the owner's number.
 */
export class SharedChannels {
  evicted = 0;
  private readonly sets: number;
  private readonly entries: (ChannelEntry | undefined)[];
  private readonly owners: Float64Array;
  private readonly used: Uint32Array;
  private clock = 0;

  /** @param capacity entries at most, rounded up to a power of two; the arrays are allocated on first use of the cache */
  constructor(capacity: number) {
    this.sets = 2 ** Math.ceil(Math.log2(Math.max(1, capacity / WAYS)));
    this.entries = new Array<ChannelEntry | undefined>(this.sets * WAYS).fill(undefined);
    this.owners = new Float64Array(this.sets * WAYS);
    this.used = new Uint32Array(this.sets * WAYS);
  }

  /** @param owner number of the connection; entries of one that is gone are never found again and age out */
  find(
    owner: number,
    lane: LaneIndex,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ChannelEntry | undefined {
    const hash = hashPath(owner | 0, lane, bytes, start, end);
    const base = (hash & (this.sets - 1)) * WAYS;
    for (let i = base; i < base + WAYS; i++) {
      const entry = this.entries[i];
      if (
        entry !== undefined &&
        entry.hash === hash &&
        this.owners[i] === owner &&
        sameEntry(entry, lane, bytes, start, end)
      ) {
        this.used[i] = ++this.clock;
        return entry;
      }
    }
    return undefined;
  }

  /** Keeps the entry, whose hash must be by the owner's number, in place of the least recently used of its set. */
  add(owner: number, entry: ChannelEntry): void {
    const base = (entry.hash & (this.sets - 1)) * WAYS;
    let slot = base;
    for (let i = base; i < base + WAYS; i++) {
      if (this.entries[i] === undefined) {
        slot = i;
        break;
      }
      if (this.used[i]! < this.used[slot]!) slot = i;
    }
    if (this.entries[slot] !== undefined) this.evicted += 1;
    this.entries[slot] = entry;
    this.owners[slot] = owner;
    this.used[slot] = ++this.clock;
  }

  clear(): void {
    this.entries.fill(undefined);
  }
}
