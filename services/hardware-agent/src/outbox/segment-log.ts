/** Appends records to segments on disk, in the order they came, and forgets the oldest when there is no room. */
import { randomBytes } from "node:crypto";
import type { Clock, Timer } from "@myelin/kernel";
import type { Folder, FolderFile } from "./folder.js";
import { MAX_RECORD_BYTES, MAX_RECORD_SAMPLES, RECORD_HEADER_BYTES, sealRecord, seedOf } from "./record.js";
import { SegmentReader } from "./segment-reader.js";

const CHUNK_BYTES = 256 * 1024;
/** How long a disk that took nothing is left alone. */
const TROUBLE_MS = 1_000;
const NAME = /^(\d{16})-[0-9a-f]{16}\.seg$/;

/** A file of records; its name is its first ordinal and a number that no other segment has. */
export interface Segment {
  readonly name: string;
  readonly base: number;
  readonly seed: number;
}

interface OwnSegment extends Segment {
  bytes: number;
  planned: number;
  file: FolderFile | undefined;
  /** Chunks that are still to be written into it. */
  chunks: number;
  /** Made by this process, and nothing has gone wrong with it: only such a one is appended to. */
  isFit: boolean;
}

/** Records that were written together. */
export interface Chunk {
  readonly segment: Segment;
  readonly buffer: Buffer;
  used: number;
  readonly ordinal: number;
  samples: number;
  /** False: the disk did not take it, so it is in memory only. */
  isDurable: boolean;
}

/** Told what becomes of records; during `append` only when a hanging disk leaves no room for what waits. */
export interface SegmentLogListener {
  /** Written, or refused by the disk (`isDurable` false): the caller's to keep. */
  chunkDone(chunk: Chunk): void;
  /** A segment was removed for want of room: nothing of `[from, to)` is on disk any more. */
  removed(from: number, to: number): void;
}

/** Bounds of a log. */
export interface SegmentLogLimits {
  /** Of all segments. */
  readonly maxBytes: number;
  readonly segmentBytes: number;
  /** Of what waits for a slow disk; beyond it chunks are handed on unwritten. */
  readonly pendingBytes: number;
  /** How long written bytes may wait for their sync to begin. */
  readonly syncAfterMs: number;
}

/** Plain numbers for metrics. */
export interface SegmentLogCounters {
  bytesWritten: number;
  writes: number;
  writeErrors: number;
  syncs: number;
  syncErrors: number;
  /** From the first write that a sync covers to the end of that sync. */
  longestUnsyncedMs: number;
  chunksNotWritten: number;
}

/** What opening has found. */
export interface OpenedLog {
  readonly firstOrdinal: number;
  readonly nextOrdinal: number;
  /** Bytes behind the last intact record that were cut off. */
  readonly cutBytes: number;
  readonly damagedBytes: number;
}

/** The segments of one folder, which nobody else writes in. Open it before the first append; close it once. */
export class SegmentLog {
  readonly counters: SegmentLogCounters = {
    bytesWritten: 0,
    writes: 0,
    writeErrors: 0,
    syncs: 0,
    syncErrors: 0,
    longestUnsyncedMs: 0,
    chunksNotWritten: 0,
  };
  readonly #folder: Folder;
  readonly #clock: Clock;
  readonly #limits: SegmentLogLimits;
  readonly #listener: SegmentLogListener;
  readonly #segments: OwnSegment[] = [];
  readonly #waiting: Chunk[] = [];
  readonly #dirty = new Set<OwnSegment>();
  #open: Chunk | undefined;
  #writing: Chunk | undefined;
  #nextOrdinal = 0;
  #waitingBytes = 0;
  #pumping: Promise<void> | undefined;
  #isPumpAsked = false;
  #syncing: Promise<void> | undefined;
  #syncTimer: Timer | undefined;
  #dirtySinceMs = 0;
  #areNamesDirty = false;
  #trouble: string | undefined;
  #troubleUntilMs = 0;

  constructor(folder: Folder, clock: Clock, limits: SegmentLogLimits, listener: SegmentLogListener) {
    this.#folder = folder;
    this.#clock = clock;
    this.#limits = limits;
    this.#listener = listener;
  }

  /** Ordinal of the next record. */
  get nextOrdinal(): number {
    return this.#nextOrdinal;
  }

  /** Everything before it was handed to `chunkDone`. */
  get firstPending(): number {
    return Math.min(
      ...[this.#writing, this.#waiting[0], this.#open].map((c) => c?.ordinal ?? this.#nextOrdinal),
    );
  }

  /** What the disk said last time it took something amiss; undefined: it works. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** On disk, all segments. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Finds the segments and repairs the end of the last one. Ordinals go on at `atLeast` or behind what is there. Rejects with the system's error.
   */
  async open(atLeast: number): Promise<OpenedLog> {
    for (const { name, bytes } of await this.#folder.list()) {
      const base = NAME.exec(name)?.[1];
      if (base === undefined) continue;
      this.#segments.push({ ...segmentOf(name, Number(base)), bytes, planned: bytes });
    }
    this.#segments.sort((a, b) => a.base - b.base);
    let cutBytes = 0;
    let damagedBytes = 0;
    let end = 0;
    // A segment without any intact record is no loss: what it should hold is behind what the one before it ends with.
    for (let last = this.#segments.at(-1); last !== undefined; last = this.#segments.at(-1)) {
      const found = await this.#repair(last);
      cutBytes += found.cutBytes;
      damagedBytes += found.damagedBytes;
      if (found.end !== undefined) {
        end = found.end;
        break;
      }
      await this.#folder.remove(last.name);
      this.#segments.pop();
    }
    this.#nextOrdinal = Math.max(atLeast, end);
    return {
      firstOrdinal: this.#segments[0]?.base ?? this.#nextOrdinal,
      nextOrdinal: this.#nextOrdinal,
      cutBytes,
      damagedBytes,
    };
  }

  /**
   * Takes a record of at most `MAX_RECORD_BYTES` and `MAX_RECORD_SAMPLES`, copies it, and returns its ordinal. It is written at the end of this turn of
   * the event loop, or when what is being written is done.
   */
  append(source: Uint8Array, samples: number): number {
    const payloadBytes = source.length;
    if (payloadBytes > MAX_RECORD_BYTES || !(samples > 0 && samples <= MAX_RECORD_SAMPLES))
      throw new RangeError(`a record of ${payloadBytes} bytes and ${samples} samples`);
    const need = RECORD_HEADER_BYTES + payloadBytes;
    let chunk = this.#open;
    if (chunk === undefined || chunk.used + need > chunk.buffer.length) chunk = this.#begin(need);
    const ordinal = this.#nextOrdinal;
    const at = chunk.used;
    chunk.buffer.set(source, at + RECORD_HEADER_BYTES);
    sealRecord(chunk.buffer, at, { payloadBytes, samples, ordinal, seed: chunk.segment.seed });
    chunk.used += need;
    chunk.samples += samples;
    this.#nextOrdinal = ordinal + samples;
    this.#askPump();
    return ordinal;
  }

  /** Resolves when everything appended so far was handed to `chunkDone`. */
  async written(): Promise<void> {
    while (this.#open !== undefined || this.#waiting.length > 0 || this.#pumping !== undefined) {
      this.#pump();
      await this.#pumping;
    }
  }

  /** Resolves when everything written so far is on the disk itself, as far as the disk lets it. */
  async synced(): Promise<void> {
    await this.written();
    while (this.#dirty.size > 0 || this.#syncing !== undefined) {
      this.#sync();
      await this.#syncing;
    }
  }

  /** Writes, syncs and closes. Nothing may be appended afterwards. */
  async close(): Promise<void> {
    await this.synced();
    this.#clock.clear(this.#syncTimer);
    await Promise.allSettled(this.#segments.map((segment) => closeFile(segment)));
  }

  /** Removes the segments of which nothing is owed any more; the one that is written to stays. */
  async release(isOwed: (from: number, to: number) => boolean): Promise<void> {
    for (let i = 0; i < this.#segments.length - 1; ) {
      const segment = this.#segments[i]!;
      if (segment.chunks > 0 || isOwed(segment.base, this.#segments[i + 1]!.base)) i += 1;
      else await this.#remove(i);
    }
  }

  /**
   * A reader of the segment that holds `ordinal`, and where that segment ends. Undefined: no segment can have it. Rejects with the system's error.
   */
  async read(ordinal: number): Promise<{ reader: SegmentReader; segment: Segment; end: number } | undefined> {
    const i = this.#segments.findLastIndex(({ base }) => base <= ordinal);
    const segment = this.#segments[i];
    if (segment === undefined || segment.bytes === 0) return undefined;
    const end = this.endOf(ordinal);
    const file = await this.#folder.openFile(segment.name);
    return { reader: new SegmentReader(file, segment.seed, segment.base), segment, end };
  }

  /** The first ordinal behind `ordinal` that is in another segment, or comes next. */
  endOf(ordinal: number): number {
    return this.#segments.find(({ base }) => base > ordinal)?.base ?? this.#nextOrdinal;
  }

  #begin(need: number): Chunk {
    this.#setAside();
    let segment = this.#segments.at(-1);
    if (!segment?.isFit || segment.planned + need > this.#limits.segmentBytes) {
      const base = this.#nextOrdinal;
      const name = `${String(base).padStart(16, "0")}-${randomBytes(8).toString("hex")}.seg`;
      segment = { ...segmentOf(name, base), isFit: true };
      this.#segments.push(segment);
    }
    segment.chunks += 1;
    const buffer = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, need));
    const chunk = { segment, buffer, used: 0, ordinal: this.#nextOrdinal, samples: 0, isDurable: false };
    this.#open = chunk;
    return chunk;
  }

  #setAside(): void {
    const chunk = this.#open;
    if (chunk === undefined) return;
    this.#open = undefined;
    (chunk.segment as OwnSegment).planned += chunk.used;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.used;
    // The disk hangs, or is slower than what comes: what has waited longest goes on without it.
    while (this.#waitingBytes > this.#limits.pendingBytes) this.#done(this.#takeWaiting()!);
  }

  #takeWaiting(): Chunk | undefined {
    const chunk = this.#waiting.shift();
    if (chunk !== undefined) this.#waitingBytes -= chunk.used;
    return chunk;
  }

  #askPump(): void {
    if (this.#isPumpAsked || this.#pumping !== undefined) return;
    this.#isPumpAsked = true;
    setImmediate(() => {
      this.#isPumpAsked = false;
      this.#pump();
    });
  }

  #pump(): void {
    this.#pumping ??= this.#writeAll().finally(() => {
      this.#pumping = undefined;
    });
  }

  async #writeAll(): Promise<void> {
    for (;;) {
      if (this.#waiting.length === 0) this.#setAside();
      const chunk = this.#takeWaiting();
      if (chunk === undefined) return;
      this.#writing = chunk;
      await this.#write(chunk);
      this.#writing = undefined;
      this.#done(chunk);
    }
  }

  #done(chunk: Chunk): void {
    (chunk.segment as OwnSegment).chunks -= 1;
    if (!chunk.isDurable) this.counters.chunksNotWritten += 1;
    this.#listener.chunkDone(chunk);
  }

  async #write(chunk: Chunk): Promise<void> {
    if (this.#clock.nowMs() < this.#troubleUntilMs) return;
    const segment = chunk.segment as OwnSegment;
    let hasDropped = false;
    for (;;) {
      try {
        while (this.bytes + chunk.used > this.#limits.maxBytes && (await this.#dropOldest()));
        segment.file ??= await this.#create(segment);
        await segment.file.write(chunk.buffer.subarray(0, chunk.used), segment.bytes);
        break;
      } catch (thrown) {
        const { code, message } = thrown as NodeJS.ErrnoException;
        // What is newest is worth more than what is oldest.
        if (!hasDropped && (code === "ENOSPC" || code === "EDQUOT")) {
          hasDropped = true;
          if (await this.#tryDropOldest()) continue;
        }
        this.counters.writeErrors += 1;
        this.#trouble = message;
        this.#troubleUntilMs = this.#clock.nowMs() + TROUBLE_MS;
        return;
      }
    }
    segment.bytes += chunk.used;
    chunk.isDurable = true;
    this.counters.writes += 1;
    this.counters.bytesWritten += chunk.used;
    this.#trouble = undefined;
    this.#markDirty(segment);
  }

  async #create(segment: OwnSegment): Promise<FolderFile> {
    const file = await this.#folder.create(segment.name);
    this.#areNamesDirty = true;
    return file;
  }

  async #tryDropOldest(): Promise<boolean> {
    try {
      return await this.#dropOldest();
    } catch {
      // The write that asked for it tells the trouble.
      return false;
    }
  }

  async #dropOldest(): Promise<boolean> {
    const oldest = this.#segments[0];
    const next = this.#segments[1];
    if (oldest === undefined || next === undefined || oldest.chunks > 0) return false;
    await this.#remove(0);
    this.#listener.removed(oldest.base, next.base);
    return true;
  }

  async #remove(index: number): Promise<void> {
    const [segment] = this.#segments.splice(index, 1);
    this.#dirty.delete(segment!);
    await closeFile(segment!);
    await this.#folder.remove(segment!.name);
  }

  #markDirty(segment: OwnSegment): void {
    if (this.#dirty.size === 0) this.#dirtySinceMs = this.#clock.nowMs();
    this.#dirty.add(segment);
    this.#armSync();
  }

  #armSync(): void {
    if (this.#syncTimer !== undefined || this.#syncing !== undefined) return;
    this.#syncTimer = this.#clock.setTimeout(() => this.#sync(), this.#limits.syncAfterMs);
  }

  #sync(): void {
    this.#clock.clear(this.#syncTimer);
    this.#syncTimer = undefined;
    this.#syncing ??= this.#syncAll().finally(() => {
      this.#syncing = undefined;
      if (this.#dirty.size > 0) this.#armSync();
    });
  }

  async #syncAll(): Promise<void> {
    const segments = [...this.#dirty];
    const sinceMs = this.#dirtySinceMs;
    this.#dirty.clear();
    try {
      if (this.#areNamesDirty) {
        this.#areNamesDirty = false;
        await this.#folder.syncNames();
      }
      for (const segment of segments) {
        await segment.file?.sync();
        // Nothing comes into it any more.
        if (segment.chunks === 0 && segment !== this.#segments.at(-1) && !this.#dirty.has(segment))
          await closeFile(segment);
      }
      this.counters.syncs += 1;
    } catch (thrown) {
      this.counters.syncErrors += 1;
      // The system may have forgotten what it could not write; what comes next goes elsewhere.
      for (const segment of segments) segment.isFit = false;
      this.#trouble = (thrown as Error).message;
    }
    const tookMs = this.#clock.nowMs() - sinceMs;
    this.counters.longestUnsyncedMs = Math.max(this.counters.longestUnsyncedMs, tookMs);
  }

  async #repair(
    segment: OwnSegment,
  ): Promise<{ end: number | undefined; cutBytes: number; damagedBytes: number }> {
    const file = await this.#folder.openFile(segment.name);
    try {
      const reader = new SegmentReader(file, segment.seed, segment.base);
      let end: number | undefined;
      let damagedBytes = 0;
      while (await reader.next()) {
        end = reader.place.ordinal + reader.place.samples;
        damagedBytes = reader.damagedBytes;
      }
      const cutBytes = segment.bytes - reader.goodBytes;
      if (cutBytes > 0) await file.truncate(reader.goodBytes);
      segment.bytes = reader.goodBytes;
      segment.planned = reader.goodBytes;
      return { end, cutBytes, damagedBytes };
    } finally {
      await file.close();
    }
  }
}

function segmentOf(name: string, base: number): OwnSegment {
  return { name, base, seed: seedOf(name), bytes: 0, planned: 0, file: undefined, chunks: 0, isFit: false };
}

async function closeFile(segment: OwnSegment): Promise<void> {
  const { file } = segment;
  segment.file = undefined;
  await file?.close();
}
