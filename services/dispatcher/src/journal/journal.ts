/** The journal of one partition: batches of records, one append at a time, each behind the last one known. */
import type { LogEntry } from "@myelin/bus";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";

/** The subject the journal lies on. */
export interface JournalPort {
  /** As `FencedLog.append`. @throws AppError `bus.conflict` when something else is there */
  append(data: Uint8Array, after: number): Promise<number>;
  /** The oldest messages from a sequence on. */
  read(from: number): Promise<readonly LogEntry[]>;
  /** Sequence of the newest; 0: there is none. */
  lastSequence(): Promise<number>;
  removeUpTo(sequence: number): Promise<void>;
}

/** Which part of a snapshot a batch is; the numbers stand in stored batches. */
export const SNAPSHOT = { none: 0, first: 1, middle: 2, last: 3, only: 4 } as const;

/** What is stored at once. */
export interface StoredBatch<R> {
  readonly epoch: number;
  /** Grows by one with each batch of the journal. */
  readonly number: number;
  /** One of `SNAPSHOT`. */
  readonly snapshot: number;
  readonly records: R[];
}

/** How batches are written, and how large records are, roughly. */
export interface JournalCodec<R> {
  encode(batch: StoredBatch<R>): Uint8Array;
  /** Throws for bytes that are no batch. */
  decode(data: Uint8Array): StoredBatch<R>;
  sizeOf(record: R): number;
}

export interface JournalOptions {
  readonly port: JournalPort;
  readonly epoch: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** Records that nobody waits for are written at the latest after this. */
  readonly lazyMs: number;
  /** Called before each batch is made: last chance to add what has been gathered. */
  readonly collect: () => void;
  /** Somebody else writes: this owner is none any more. */
  readonly onFenced: () => void;
}

type Stored = () => void;

/** Where a journal ends. */
export interface JournalEnd {
  readonly sequence: number;
  readonly number: number;
}

interface Batch<R> {
  readonly records: R[];
  readonly snapshot: number;
  bytes: number;
  readonly stored: Stored[];
}

const BATCH_BYTES = 512 * 1024;
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2_000;
/** Below this a journal is short enough to be read whole. */
const MIN_SNAPSHOT_BYTES = 4 * 1024 * 1024;

/** What a journal is read into. */
export interface ReplayOptions<S, R> {
  readonly port: Pick<JournalPort, "read" | "lastSequence">;
  readonly log: CoreLog;
  readonly codec: JournalCodec<R>;
  /** Nothing yet; `before`: what the snapshot that begins takes the place of. */
  empty(before: S | undefined): S;
  apply(state: S, record: R): void;
}

/**
 * Reads what is there, up to what the stream's leader knows as its end. A snapshot that was not finished is
 * passed over, and so is a batch that was appended twice.
 */
export class Replay<S, R> {
  store: S;
  sequence = 0;
  number = 0;
  bytes = 0;
  private aside: S | undefined;
  private asideBytes = 0;

  constructor(private readonly reading: ReplayOptions<S, R>) {
    this.store = reading.empty(undefined);
  }

  /** Reads on from where it is. */
  async readOn(isOver: () => boolean): Promise<void> {
    const { port } = this.reading;
    const last = await port.lastSequence();
    while (this.sequence < last && !isOver()) {
      const entries = await port.read(this.sequence + 1);
      if (entries.length === 0)
        throw new AppError("bus.stream_unavailable", "a journal has a gap at its end");
      for (const { sequence, data } of entries) {
        this.apply(data);
        this.sequence = sequence;
      }
    }
  }

  apply(data: Uint8Array): void {
    const { codec, log } = this.reading;
    let batch: StoredBatch<R>;
    try {
      batch = codec.decode(data);
    } catch (err) {
      log.error({ err }, "a batch of a journal cannot be read and is passed over");
      return;
    }
    if (batch.number <= this.number) return;
    this.number = batch.number;
    this.place(batch.snapshot, data.length);
    const store = this.aside ?? this.store;
    for (const record of batch.records) this.reading.apply(store, record);
    if (isLast(batch.snapshot) && this.aside !== undefined) {
      this.store = this.aside;
      this.bytes = this.asideBytes;
      this.aside = undefined;
    }
  }

  private place(part: number, bytes: number): void {
    if (part === SNAPSHOT.first || part === SNAPSHOT.only) {
      this.aside = this.reading.empty(this.store);
      this.asideBytes = 0;
    } else if (part === SNAPSHOT.none) this.aside = undefined;
    if (this.aside === undefined) this.bytes += bytes;
    else this.asideBytes += bytes;
  }
}

function isLast(part: number): boolean {
  return part === SNAPSHOT.last || part === SNAPSHOT.only;
}

/** The writing end. */
export class JournalWriter<R> {
  /** Appends that were stored, and their bytes. */
  appends = 0;
  private open: Batch<R> = createBatch();
  private readonly full: Batch<R>[] = [];
  private timer: Timer | undefined;
  private isWriting = false;
  private isClosed = false;
  private isScheduled = false;
  private isSealing = false;
  private sequence: number;
  private number: number;
  /** Bytes since the last snapshot, it included. */
  private bytes: number;
  private snapshotBytes = 0;

  constructor(
    private readonly options: JournalOptions,
    private readonly codec: JournalCodec<R>,
    end: { readonly sequence: number; readonly number: number; readonly bytes: number },
  ) {
    this.sequence = end.sequence;
    this.number = end.number;
    this.bytes = end.bytes;
  }

  /** Nothing waits to be written. */
  get idle(): boolean {
    return !this.isWriting && this.full.length === 0 && isEmpty(this.open);
  }

  /** Writes down that this epoch has begun; from then on nobody of an older one can write. @throws AppError `bus.conflict`, `bus.*` */
  async begin(): Promise<void> {
    await this.append(createBatch());
  }

  /** Adds a record; it is written soon. `bytes` is about its size. */
  add(record: R, bytes = 64): void {
    this.open.records.push(record);
    this.open.bytes += bytes;
    if (this.open.bytes >= BATCH_BYTES) this.seal();
    this.writeSoon();
  }

  /** Calls back when everything added so far is stored, and writes it now. */
  whenStored(stored: Stored): void {
    this.open.stored.push(stored);
    this.writeNow();
  }

  /** Calls back when everything added so far is stored, and hurries nothing. */
  onStored(stored: Stored): void {
    this.open.stored.push(stored);
    this.writeSoon();
  }

  /** Something to be collected within `lazyMs`. */
  writeSoon(): void {
    if (this.isClosed || this.timer !== undefined) return;
    this.timer = this.options.clock.setTimeout(() => {
      this.timer = undefined;
      void this.write();
    }, this.options.lazyMs);
  }

  /** With the end of the running turn. */
  writeNow(): void {
    if (this.isScheduled || this.isWriting || this.isClosed) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      void this.write();
    });
  }

  /** The journal is much longer than what it says: it should be written anew. */
  shouldCompact(liveBytes: number): boolean {
    return this.snapshotBytes === 0 && this.bytes > Math.max(MIN_SNAPSHOT_BYTES, 2 * liveBytes);
  }

  /** Writes everything there is, and removes what lies before when that is stored. What is added later comes behind it. */
  rewrite(all: Iterable<R>, stored: Stored): void {
    if (!isEmpty(this.open)) this.seal();
    const parts: R[][] = [[]];
    let size = 0;
    for (const record of all) {
      if (size >= BATCH_BYTES) {
        parts.push([]);
        size = 0;
      }
      parts.at(-1)!.push(record);
      size += this.codec.sizeOf(record);
    }
    let first = 0;
    this.snapshotBytes = 1;
    parts.forEach((records, i) => {
      const batch = createBatch<R>(partOf(i, parts.length));
      batch.records.push(...records);
      batch.stored.push(() => {
        if (i === 0) first = this.sequence;
        if (i < parts.length - 1) return;
        this.bytes = this.snapshotBytes;
        this.snapshotBytes = 0;
        stored();
        void this.remove(first - 1);
      });
      this.full.push(batch);
    });
    this.writeNow();
  }

  /** Writes nothing more; what waits is given up. */
  close(): void {
    this.isClosed = true;
    this.options.clock.clear(this.timer);
  }

  /** Who waits for this batch waits for what was gathered before too, so that goes into it. */
  private seal(): void {
    if (this.isSealing) return;
    this.isSealing = true;
    this.options.collect();
    this.isSealing = false;
    this.full.push(this.open);
    this.open = createBatch();
  }

  private async remove(upTo: number): Promise<void> {
    try {
      if (upTo > 0) await this.options.port.removeUpTo(upTo);
    } catch (err) {
      // The next snapshot removes it too.
      this.options.log.debug({ err }, "what a snapshot has replaced cannot be removed yet");
    }
  }

  private async write(): Promise<void> {
    if (this.isWriting) return;
    this.isWriting = true;
    try {
      for (let batch = this.take(); batch !== undefined && !this.isClosed; batch = this.take()) {
        if (!(await this.persist(batch))) return;
        for (const stored of batch.stored) stored();
      }
    } finally {
      this.isWriting = false;
    }
  }

  private take(): Batch<R> | undefined {
    const full = this.full.shift();
    if (full !== undefined) return full;
    this.options.collect();
    if (isEmpty(this.open)) return this.full.shift();
    this.options.clock.clear(this.timer);
    this.timer = undefined;
    if (this.full.length > 0) return this.full.shift();
    const batch = this.open;
    this.open = createBatch();
    return batch;
  }

  /** Tried until it is stored, this is closed, or somebody else has written. */
  private async persist(batch: Batch<R>): Promise<boolean> {
    const { clock, log, onFenced } = this.options;
    for (let waitMs = FIRST_WAIT_MS; !this.isClosed; waitMs = Math.min(MAX_WAIT_MS, waitMs * 2)) {
      try {
        await this.append(batch);
        return !this.isClosed;
      } catch (err) {
        if (AppError.is(err) && err.code === "bus.conflict") {
          log.warn({ err }, "another owner writes this journal");
          this.close();
          onFenced();
          return false;
        }
        log.debug({ err }, "a journal cannot be written, will retry");
        await clock.sleep(waitMs);
      }
    }
    return false;
  }

  private async append(batch: Batch<R>): Promise<void> {
    const { port, epoch } = this.options;
    const number = this.number + 1;
    const { records, snapshot } = batch;
    const data = this.codec.encode({ epoch, number, snapshot, records });
    try {
      this.sequence = await port.append(data, this.sequence);
    } catch (err) {
      if (!AppError.is(err) || err.code !== "bus.conflict") throw err;
      const stored = await this.findOwn(number);
      if (stored === 0) throw err;
      this.sequence = stored;
    }
    this.number = number;
    this.appends += 1;
    if (this.snapshotBytes > 0) this.snapshotBytes += data.length;
    this.bytes += data.length;
  }

  /** An append whose answer was lost may have been stored all the same; its sequence, or 0. */
  private async findOwn(number: number): Promise<number> {
    const { port, epoch } = this.options;
    const last = await port.lastSequence();
    const [entry] = await port.read(last);
    if (entry === undefined || entry.sequence !== last) return 0;
    const found = this.codec.decode(entry.data);
    return found.epoch === epoch && found.number === number ? last : 0;
  }
}

function createBatch<R>(snapshot: number = SNAPSHOT.none): Batch<R> {
  return { records: [], snapshot, bytes: 0, stored: [] };
}

function isEmpty(batch: Batch<unknown>): boolean {
  return batch.records.length === 0 && batch.stored.length === 0;
}

function partOf(index: number, count: number): number {
  if (count === 1) return SNAPSHOT.only;
  if (index === 0) return SNAPSHOT.first;
  return index === count - 1 ? SNAPSHOT.last : SNAPSHOT.middle;
}
