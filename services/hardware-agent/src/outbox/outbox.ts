/** What is measured goes to disk first, then to the hub; what the hub has stored is forgotten. */
import {
  AppError,
  type Clock,
  type Component,
  type ComponentCondition,
  type Timer,
  TokenBucket,
} from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { Backlog } from "./backlog.js";
import type { Folder } from "./folder.js";
import { OrdinalRanges } from "./ordinal-ranges.js";
import { loadOwed, saveOwed } from "./owed-file.js";
import { findRecord, type RecordPlace, recordPlace } from "./record.js";
import { type Chunk, SegmentLog, type SegmentLogLimits } from "./segment-log.js";
import type { OutboxRecord, Uplink } from "./uplink.js";

const SAVE_AFTER_MS = 200;
const STEP_MS = 50;
const WATCH_MS = 1_000;
/** After a refusal nothing is sent for so long. */
const REFUSED_MS = 1_000;
const MAX_RANGES = 1_024;
const STOP_MS = 2_000;

/** Bounds of an outbox; `maxBytes` is all of its disk. */
export interface OutboxLimits extends SegmentLogLimits {
  /** Written records that wait in memory to go out live; beyond it they are read from the disk later. */
  readonly liveBytes: number;
  /** What the disk did not take, in memory until the hub has it. */
  readonly memoryBytes: number;
  /** On the way to the hub without its answer, live and replayed each. */
  readonly windowBytes: number;
  readonly replaySamplesPerSecond: number;
  /** So long without an acknowledgement, while some are expected, is a fault. */
  readonly stalledAfterMs: number;
}

/** Samples, for metrics and books: `taken + found = stored + owed + every lost`. */
export interface OutboxCounters {
  taken: number;
  /** Owed from an earlier start. */
  found: number;
  stored: number;
  replayed: number;
  /** Oldest first for want of room; not on disk any more, by damage; in memory only and no room left there; refused by the hub for good. */
  readonly lost: { full: number; damaged: number; memory: number; refused: number };
  /** Records that the hub did not take at first. */
  refusals: number;
  stalls: number;
  /** Bytes at the end of segments that a crash had left torn. */
  cutBytes: number;
  damagedBytes: number;
}

interface Flight {
  readonly samples: number;
  readonly bytes: number;
  readonly replayed: boolean;
}

/** The outbox of one agent. Nobody else may write in its folder. */
export class Outbox implements Component {
  readonly name = "outbox";
  readonly counters: OutboxCounters = {
    taken: 0,
    found: 0,
    stored: 0,
    replayed: 0,
    lost: { full: 0, damaged: 0, memory: 0, refused: 0 },
    refusals: 0,
    stalls: 0,
    cutBytes: 0,
    damagedBytes: 0,
  };
  /** The files below. */
  readonly log: SegmentLog;

  readonly #folder: Folder;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #uplink: Uplink;
  readonly #limits: OutboxLimits;
  readonly #owed = new OrdinalRanges(MAX_RANGES);
  readonly #backlog: Backlog;
  readonly #pace: TokenBucket;
  readonly #flights = new Map<number, Flight>();
  readonly #live: Chunk[] = [];
  readonly #memory = new Set<Chunk>();
  readonly #place: RecordPlace = recordPlace();
  #liveAt = 0;
  #liveBytes = 0;
  #memoryBytes = 0;
  #liveFlightBytes = 0;
  #replayFlightBytes = 0;
  #refusedUntilMs = 0;
  #progressMs = 0;
  #isStalled = false;
  #isRunning = false;
  #stepping: Promise<void> | undefined;
  #stepTimer: Timer | undefined;
  #saving: Promise<void> | undefined;
  #saveTimer: Timer | undefined;
  #watchTimer: Timer | undefined;
  #saveError: string | undefined;
  #readError: string | undefined;
  #hadTrouble = false;
  #lostBefore = 0;
  #wasLosing = false;
  #idle: (() => void) | undefined;

  constructor(options: {
    folder: Folder;
    clock: Clock;
    logger: Logger;
    uplink: Uplink;
    limits: OutboxLimits;
  }) {
    this.#folder = options.folder;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#uplink = options.uplink;
    this.#limits = options.limits;
    this.log = new SegmentLog(options.folder, options.clock, options.limits, {
      chunkDone: (chunk) => this.#chunkDone(chunk),
      removed: (from, to) => this.#lose("full", from, to),
    });
    this.#backlog = new Backlog(this.log, (from, to) => this.#lose("damaged", from, to));
    const perSecond = options.limits.replaySamplesPerSecond;
    this.#pace = new TokenBucket({ perSecond, burst: Math.max(1, perSecond / 10) }, options.clock.nowMs());
  }

  /** Samples that the hub has not stored yet, those in the turn's hands included. */
  get owed(): number {
    return this.#owed.total;
  }

  /** What the hub has not stored, oldest first: the ordinal of it; undefined when it has everything. */
  get oldestOwed(): number | undefined {
    return this.#owed.first;
  }

  /** @throws AppError `store.unavailable` when the folder cannot be read */
  async start(signal: AbortSignal): Promise<void> {
    try {
      signal.throwIfAborted();
      await this.#open();
    } catch (thrown) {
      const text = `the outbox ${this.#folder.path} cannot be opened`;
      throw AppError.wrap("store.unavailable", text, thrown);
    }
    this.#isRunning = true;
    this.#progressMs = this.#clock.nowMs();
    this.#watchTimer = this.#clock.setInterval(() => this.#watch(), WATCH_MS);
    this.#armStep();
  }

  /** What is on the way gets two seconds; then everything is written, synced and closed. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
    await this.log.written();
    if (this.#flights.size > 0 && this.#uplink.isOpen) {
      await new Promise<void>((resolve) => {
        const late = this.#clock.setTimeout(resolve, STOP_MS);
        this.#idle = () => {
          this.#clock.clear(late);
          resolve();
        };
      });
    }
    this.#isRunning = false;
    for (const timer of [this.#watchTimer, this.#stepTimer, this.#saveTimer]) this.#clock.clear(timer);
    await this.#stepping;
    await this.#backlog.close();
    await this.#saving;
    await this.log.close();
    await this.#save();
  }

  condition(): ComponentCondition {
    const trouble = this.#trouble;
    if (trouble !== undefined) return { state: "degraded", reason: `the disk of the outbox: ${trouble}` };
    const { size } = this.#flights;
    if (this.#isStalled) return { state: "degraded", reason: `the hub acknowledges none of ${size} records` };
    if (!this.#uplink.isOpen) return { state: "degraded", reason: "the hub is away, samples are kept" };
    return { state: "running" };
  }

  /**
   * Takes a record with its samples, copied before it returns. Never refuses: what the disk and the memory have no room for is lost oldest first, counted.
   * @throws RangeError for more than `MAX_RECORD_BYTES` or `MAX_RECORD_SAMPLES`
   */
  append(payload: Uint8Array, samples: number): void {
    this.log.append(payload, samples);
  }

  get #trouble(): string | undefined {
    return this.log.trouble ?? this.#saveError ?? this.#readError;
  }

  async #open(): Promise<void> {
    const state = await loadOwed(this.#folder);
    const found = await this.log.open(state?.next ?? 0);
    this.counters.cutBytes += found.cutBytes;
    this.counters.damagedBytes += found.damagedBytes;
    const next = state?.next ?? found.firstOrdinal;
    for (const [from, to] of state?.owed ?? []) this.#owed.add(from, to);
    this.#owed.add(next, found.nextOrdinal);
    this.counters.found = this.#owed.total;
    // What was in memory only has died with the process.
    this.#lose("damaged", 0, found.firstOrdinal);
    const { cutBytes, damagedBytes } = found;
    const fields = { samples: this.#owed.total, cutBytes, damagedBytes };
    if (cutBytes + damagedBytes > 0)
      this.#logger.warn(fields, "the outbox was damaged and has been repaired");
    else if (this.#owed.total > 0)
      this.#logger.info(fields, "samples of an earlier start are still to be sent");
  }

  #chunkDone(chunk: Chunk): void {
    const { ordinal, samples } = chunk;
    this.counters.taken += samples;
    this.#owed.add(ordinal, ordinal + samples);
    if (!chunk.isDurable) {
      this.#memory.add(chunk);
      this.#memoryBytes += chunk.used;
      for (const oldest of this.#memory) {
        if (this.#memoryBytes <= this.#limits.memoryBytes) break;
        this.#forget(oldest);
        this.#lose("memory", oldest.ordinal, oldest.ordinal + oldest.samples);
      }
      this.#trimLive(0);
    }
    if (this.#isOpen()) {
      this.#live.push(chunk);
      this.#liveBytes += chunk.used;
      this.#trimLive(this.#limits.liveBytes);
      this.#sendLive();
    }
    this.#armStep();
  }

  #forget(chunk: Chunk): void {
    if (this.#memory.delete(chunk)) this.#memoryBytes -= chunk.used;
  }

  #isOpen(): boolean {
    return this.#uplink.isOpen && this.#clock.nowMs() >= this.#refusedUntilMs;
  }

  /** What leaves the queue is read from the disk later. */
  #trimLive(bytes: number): void {
    while (this.#liveBytes > bytes && this.#live.length > 0) this.#shiftLive();
  }

  #shiftLive(): void {
    this.#liveBytes -= this.#live.shift()!.used;
    this.#liveAt = 0;
  }

  #sendLive(): void {
    const place = this.#place;
    while (this.#live.length > 0 && this.#isOpen() && this.#liveFlightBytes < this.#limits.windowBytes) {
      const { buffer, used, segment } = this.#live[0]!;
      const range = { from: this.#liveAt, to: used, isWhole: true, seed: segment.seed };
      if (findRecord(buffer, range, place) !== "record") {
        this.#shiftLive();
        continue;
      }
      this.#liveAt = place.end;
      if (this.#isFree(place)) this.#send(buffer, place, segment.name, false);
    }
  }

  #isFree({ ordinal, samples }: RecordPlace): boolean {
    return !this.#flights.has(ordinal) && this.#owed.count(ordinal, ordinal + samples) > 0;
  }

  #send(buffer: Buffer, place: RecordPlace, segment: string, replayed: boolean): void {
    const { ordinal, samples, payloadStart, end } = place;
    const bytes = end - place.start;
    if (this.#flights.size === 0) this.#progressMs = this.#clock.nowMs();
    this.#flights.set(ordinal, { samples, bytes, replayed });
    if (replayed) this.#replayFlightBytes += bytes;
    else this.#liveFlightBytes += bytes;
    const payload = buffer.subarray(payloadStart, end);
    const record: OutboxRecord = { segment, ordinal, samples, payload, replayed };
    this.#uplink.send(record, this.#settled);
  }

  readonly #settled = (ordinal: number, error: AppError | undefined): void => {
    const flight = this.#flights.get(ordinal);
    if (flight === undefined) return;
    const { samples, bytes, replayed } = flight;
    this.#flights.delete(ordinal);
    if (replayed) this.#replayFlightBytes -= bytes;
    else this.#liveFlightBytes -= bytes;
    if (error === undefined) {
      const stored = this.#owed.remove(ordinal, ordinal + samples);
      this.counters.stored += stored;
      if (replayed) this.counters.replayed += stored;
      this.#progressMs = this.#clock.nowMs();
      this.#isStalled = false;
      this.#armSave();
    } else {
      this.counters.refusals += 1;
      if (error.retryable) this.#refusedUntilMs = this.#clock.nowMs() + REFUSED_MS;
      else this.#lose("refused", ordinal, ordinal + samples);
    }
    if (this.#flights.size === 0) this.#idle?.();
    if (!replayed) this.#sendLive();
    this.#armStep();
  };

  #lose(reason: keyof OutboxCounters["lost"], from: number, to: number): void {
    const lost = this.#owed.remove(from, to);
    if (lost === 0) return;
    // The watchdog tells of it, once a second.
    this.counters.lost[reason] += lost;
    this.#armSave();
  }

  #armStep(): void {
    if (!this.#isRunning || this.#stepTimer !== undefined || this.#owed.first === undefined) return;
    this.#stepTimer = this.#clock.setTimeout(() => {
      this.#stepTimer = undefined;
      this.#stepping ??= this.#step().finally(() => {
        this.#stepping = undefined;
        this.#armStep();
      });
    }, STEP_MS);
  }

  async #step(): Promise<void> {
    if (!this.#uplink.isOpen) this.#trimLive(0);
    this.#sendLive();
    this.#sendMemory();
    try {
      await this.#replay();
      this.#readError = undefined;
    } catch (thrown) {
      this.#readError = (thrown as Error).message;
    }
  }

  /** What the disk did not take and nobody has sent yet, or the hub refused. */
  #sendMemory(): void {
    for (const chunk of this.#memory) {
      const { ordinal, samples } = chunk;
      if (this.#owed.count(ordinal, ordinal + samples) === 0) this.#forget(chunk);
      else if (this.#live.length === 0 && this.#isOpen()) {
        this.#live.push(chunk);
        this.#liveBytes += chunk.used;
        this.#sendLive();
      }
    }
  }

  async #replay(): Promise<void> {
    const { windowBytes } = this.#limits;
    while (
      this.#isRunning &&
      this.#isOpen() &&
      this.#live.length === 0 &&
      this.#replayFlightBytes < windowBytes
    ) {
      if (!this.#pace.take(this.#clock.nowMs())) return;
      const from = this.#candidate();
      if (from === undefined) return;
      const found = await this.#backlog.find(from);
      if (found === undefined) continue;
      const { place, buffer } = found.reader;
      if (!this.#isFree(place)) continue;
      // One was taken to get here; a debt is paid by waiting.
      this.#pace.bucketTokens -= place.samples - 1;
      this.#send(buffer, place, found.segment.name, true);
    }
  }

  /** The oldest that is owed, on disk, and not on its way. */
  #candidate(): number | undefined {
    let at = this.#owed.next(0);
    const liveFrom = this.#live[0]?.ordinal ?? Number.POSITIVE_INFINITY;
    while (at !== undefined && at < liveFrom) {
      const flight = this.#flights.get(at);
      const kept = flight === undefined ? this.#keptAt(at) : undefined;
      if (flight === undefined && kept === undefined) return at;
      at = this.#owed.next(flight === undefined ? kept! : at + flight.samples);
    }
    return undefined;
  }

  /** The end of the chunk in memory that has it. */
  #keptAt(ordinal: number): number | undefined {
    for (const chunk of this.#memory) {
      if (ordinal >= chunk.ordinal && ordinal < chunk.ordinal + chunk.samples)
        return chunk.ordinal + chunk.samples;
    }
    return undefined;
  }

  #armSave(): void {
    if (!this.#isRunning || this.#saveTimer !== undefined || this.#saving !== undefined) return;
    this.#saveTimer = this.#clock.setTimeout(() => {
      this.#saveTimer = undefined;
      this.#saving = this.#save().finally(() => {
        this.#saving = undefined;
      });
    }, SAVE_AFTER_MS);
  }

  async #save(): Promise<void> {
    const next = this.log.firstPending;
    const owed = this.#owed.ranges;
    try {
      await saveOwed(this.#folder, { next, owed });
      // By what is in the file, not by what was stored since: otherwise a crash would find samples owed that are nowhere.
      await this.log.release(
        (from, to) => to > next || owed.some((range) => range[0] < to && range[1] > from),
      );
      this.#saveError = undefined;
    } catch (thrown) {
      this.#saveError = (thrown as Error).message;
      this.#armSave();
    }
  }

  #watch(): void {
    const nowMs = this.#clock.nowMs();
    const { stalledAfterMs } = this.#limits;
    if (this.#flights.size > 0 && this.#uplink.isOpen && nowMs - this.#progressMs >= stalledAfterMs) {
      this.#progressMs = nowMs;
      this.#isStalled = true;
      this.counters.stalls += 1;
      this.#logger.warn(
        { records: this.#flights.size },
        "the hub acknowledges nothing, the way to it begins anew",
      );
      this.#uplink.reset?.();
    }
    this.#tell();
  }

  /** One line when trouble begins and one when it ends; how much it is stands in the counters. */
  #tell(): void {
    const trouble = this.#trouble;
    if (trouble !== undefined && !this.#hadTrouble)
      this.#logger.error(
        { path: this.#folder.path, trouble },
        "the disk of the outbox does not work, samples are kept in memory",
      );
    if (trouble === undefined && this.#hadTrouble)
      this.#logger.info({}, "the disk of the outbox works again");
    this.#hadTrouble = trouble !== undefined;
    const { lost } = this.counters;
    const sum = lost.full + lost.damaged + lost.memory + lost.refused;
    const isLosing = sum > this.#lostBefore;
    if (isLosing && !this.#wasLosing)
      this.#logger.error({ ...lost }, "samples that the hub does not have were lost");
    this.#wasLosing = isLosing;
    this.#lostBefore = sum;
  }
}
