/** Channels by the bytes of their path: the lookup that every message makes, without a string and without a promise. */
import type { Channel } from "@myelin/contract";
import type { ErrorCode } from "@myelin/kernel";

/** 0: telemetry, 1: event. One path has one channel per lane, because the kind is part of the head. */
export type LaneIndex = 0 | 1;

/** A path with its answer: a channel, or why there is none. */
export interface ChannelEntry {
  readonly hash: number;
  readonly lane: LaneIndex;
  /** The path's bytes lie here, `[start, start + length)`: usually inside the channel's prefix. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly length: number;
  readonly channel: Channel | undefined;
  readonly refusal: ErrorCode | undefined;
}

/** FNV-1a over the bytes, the lane mixed in. */
export function hashPath(
  seed: number,
  lane: LaneIndex,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let hash = seed ^ lane;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return (hash ^ (hash >>> 15)) | 0;
}

/** Seed for `hashPath` of tables that one connection has for itself. */
export const LOCAL_SEED = 0x811c9dc5 | 0;

/** True when the entry is the one of these bytes. */
export function sameEntry(
  entry: ChannelEntry,
  lane: LaneIndex,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (entry.length !== end - start || entry.lane !== lane) return false;
  const known = entry.bytes;
  let at = entry.start;
  // From the end: topics of one device differ in their last level.
  at += entry.length;
  for (let i = end - 1; i >= start; i--) if (known[--at] !== bytes[i]) return false;
  return true;
}

const FIRST_CAPACITY = 4;

/**
 * The channels of one connection: the last one is tried first, then an open-addressing table that grows up to `limit`
 * entries. A full table takes no more; the shared cache serves what is beyond.
 */
export class ChannelTable {
  /** Answers are of this generation of rules; the owner drops the table when it has passed. */
  readonly generation: number;
  size = 0;
  /** For the rate of new channels, see `NewChannels`; -1: not begun. */
  bucketTokens = 0;
  bucketMs = -1;
  private last: ChannelEntry | undefined;
  private slots: (ChannelEntry | undefined)[] | undefined;

  /** @param before the table of an older generation: its rate goes on */
  constructor(generation: number, before?: ChannelTable) {
    this.generation = generation;
    if (before === undefined) return;
    this.bucketTokens = before.bucketTokens;
    this.bucketMs = before.bucketMs;
  }

  find(lane: LaneIndex, bytes: Uint8Array, start: number, end: number): ChannelEntry | undefined {
    const last = this.last;
    if (last === undefined) return undefined;
    if (sameEntry(last, lane, bytes, start, end)) return last;
    const slots = this.slots;
    if (slots === undefined) return undefined;
    const mask = slots.length - 1;
    const hash = hashPath(LOCAL_SEED, lane, bytes, start, end);
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const entry = slots[i];
      if (entry === undefined) return undefined;
      if (entry.hash === hash && sameEntry(entry, lane, bytes, start, end)) {
        this.last = entry;
        return entry;
      }
    }
  }

  /** Keeps the entry, whose hash must be by `LOCAL_SEED`; false when the table holds `limit` already. */
  add(entry: ChannelEntry, limit: number): boolean {
    if (this.size >= limit) return false;
    if (this.last === undefined) {
      // Most devices send on one topic: no table until there are two.
      this.last = entry;
      this.size = 1;
      return true;
    }
    if (this.slots === undefined) {
      this.slots = new Array<ChannelEntry | undefined>(FIRST_CAPACITY).fill(undefined);
      place(this.slots, this.last);
    } else if ((this.size + 1) * 2 > this.slots.length) {
      const old = this.slots;
      this.slots = new Array<ChannelEntry | undefined>(old.length * 2).fill(undefined);
      for (const known of old) if (known !== undefined) place(this.slots, known);
    }
    place(this.slots, entry);
    this.last = entry;
    this.size += 1;
    return true;
  }
}

function place(slots: (ChannelEntry | undefined)[], entry: ChannelEntry): void {
  const mask = slots.length - 1;
  let i = entry.hash & mask;
  while (slots[i] !== undefined) i = (i + 1) & mask;
  slots[i] = entry;
}
