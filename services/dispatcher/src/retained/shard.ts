/** The retained messages of one partition of topics: found by filter, and written to the stream in the background. */
import { AppError, backoff, type Clock, type Timer } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { RetainedBudget } from "./budget.js";
import { isBefore, type RetainedMessage, type RetainedStamp, retainedFrom } from "./message.js";
import { TopicTree } from "./topic-tree.js";
import type { Pace } from "./turns.js";

/** A message and how long the stream is to keep it; 0: for ever. */
export interface RetainedEntry {
  readonly message: RetainedMessage;
  readonly ttlMs: number;
}

/** The stream as a shard sees it; the bus's `LatestLog`, with subjects filled in. */
export interface RetainedStore {
  store(partition: number, entry: RetainedEntry): Promise<void>;
  /** All or none, each topic once; at most `STORED_TOGETHER`. */
  storeAll(partition: number, entries: readonly RetainedEntry[]): Promise<void>;
  read(partition: number, signal: AbortSignal): AsyncIterable<Buffer>;
  get(partition: number, tenant: string, topic: string): Promise<Buffer | undefined>;
}

export interface ShardOptions {
  readonly partition: number;
  readonly store: RetainedStore;
  readonly budget: RetainedBudget;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** Shared by all shards of the process, which write one after the other. */
  readonly pace: Pace;
}

/** Told when a message, or a newer one of its topic, is stored, or that this shard will not do it. */
export type Stored = (error: AppError | undefined) => void;

/** One topic. The object stays while messages come and go; `isGone` once it is out of the tree. */
export interface Kept {
  readonly tenant: string;
  readonly topic: string;
  /** Undefined: to be read from the stream. */
  message: RetainedMessage | undefined;
  bytes: number;
  isCleared: boolean;
  expiresAtUs: number;
  stamp: RetainedStamp;
  isGone: boolean;
  /** Who waits for it to be stored. */
  waiting: Stored[] | undefined;
}

/** Messages written at a time. */
export const STORED_TOGETHER = 1_000;
const STORED_TOGETHER_BYTES = 2 * 1024 * 1024;
/** Fewer are sooner stored one by one. */
const WORTH_A_BATCH = 12;
/** Nobody but its event waits for a message to be stored: a topic that changes all the time, and many that change at once, are written seldom. */
const GATHER_MS = 50;
/** More that wait are written without a rest. */
const MANY = 2_000;
const SWEEP_MS = 10_000;
/** How long a cleared topic is remembered: an older message of it that comes again after a crash must not bring it back. */
const CLEARED_MS = 120_000;

/** Made when the partition is taken, closed before it is given up. */
export class Shard {
  readonly partition: number;
  private readonly tenants = new Map<string, TopicTree<Kept>>();
  private readonly dirty = new Set<Kept>();
  /** What goes by itself some day. */
  private readonly aging = new Set<Kept>();
  private readonly stopping = new AbortController();
  private sweeping: Timer | undefined;
  private writing: Promise<void> | undefined;
  private timer: Timer | undefined;
  private goOn: () => void = () => undefined;
  private isClosing = false;
  private failing = false;
  /** The stream has refused messages together, and since then one of them at least. */
  private isRefused = false;
  private readonly waits = backoff({ initialMs: 50, maxMs: 5_000 });

  constructor(private readonly options: ShardOptions) {
    this.partition = options.partition;
  }

  /** Reads what is stored; until then nothing may be kept or asked. @throws AppError `bus.*` */
  async load(): Promise<void> {
    const { store, clock, log, partition } = this.options;
    for await (const bytes of store.read(partition, this.stopping.signal)) {
      try {
        this.put(retainedFrom(bytes));
      } catch (err) {
        log.error({ err, partition }, "a retained message cannot be read and is left out");
      }
    }
    for (const kept of this.all()) this.release(kept);
    if (this.closed) return;
    this.sweeping = clock.setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  get closed(): boolean {
    return this.stopping.signal.aborted;
  }

  /**
   * Puts it in the place of what the topic had; from now on it is found. `stored` is called later, once; without it the message is stored
   * soon, in the background. False: there are too many, and nothing was done.
   */
  keep(message: RetainedMessage, redelivered: boolean, stored: Stored | undefined): boolean {
    const known = this.tenants.get(message.tenant)?.get(message.topic);
    if (known !== undefined && isStale(message.stamp, known.stamp, redelivered)) {
      stored?.(undefined);
      return true;
    }
    if (known === undefined || known.isCleared) {
      // Nothing to clear.
      if (message.isEmpty && known === undefined) {
        stored?.(undefined);
        return true;
      }
      if (!message.isEmpty && this.options.budget.isExhausted) return false;
    }
    const kept = this.put(message);
    this.dirty.add(kept);
    if (stored !== undefined) {
      kept.waiting ??= [];
      kept.waiting.push(stored);
    }
    this.writing ??= this.writeAll();
    return true;
  }

  /** Everything a filter of a tenant matches that is there now. */
  match(tenant: string, filter: string): Kept[] {
    const nowUs = this.options.clock.wallUs();
    const found: Kept[] = [];
    this.tenants.get(tenant)?.match(filter, (kept) => {
      if (isThere(kept, nowUs)) found.push(kept);
    });
    return found;
  }

  /** The message of a topic; undefined when it is no more. @throws AppError `bus.*` when it must be read and cannot be */
  async messageOf(kept: Kept): Promise<RetainedMessage | undefined> {
    if (!isThere(kept, this.options.clock.wallUs())) return undefined;
    if (kept.message !== undefined) return kept.message;
    const bytes = await this.options.store.get(this.partition, kept.tenant, kept.topic);
    const message = bytes === undefined ? undefined : retainedFrom(bytes);
    return message?.isEmpty === true ? undefined : message;
  }

  /** Waits for what is to be stored, for at most `deadlineMs`, and then closes. Whoever still waits is told to try elsewhere. */
  async close(deadlineMs: number): Promise<void> {
    const { clock } = this.options;
    const untilMs = clock.nowMs() + deadlineMs;
    this.isClosing = true;
    this.goOn();
    while ((this.dirty.size > 0 || this.writing !== undefined) && clock.nowMs() < untilMs)
      await clock.sleep(10);
    this.stopping.abort();
    clock.clear(this.sweeping);
    clock.clear(this.timer);
    this.goOn();
    const givenUp = new AppError("bus.stream_unavailable", `partition ${this.partition} was given up`);
    for (const kept of this.all()) {
      this.uncount(kept);
      tell(kept, givenUp);
    }
    this.tenants.clear();
    this.dirty.clear();
    this.aging.clear();
  }

  private all(): Kept[] {
    const found: Kept[] = [];
    for (const tree of this.tenants.values()) {
      tree.forEach((kept) => {
        found.push(kept);
      });
    }
    return found;
  }

  private put(message: RetainedMessage): Kept {
    const { tenant, topic, isEmpty, stamp } = message;
    let tree = this.tenants.get(tenant);
    if (tree === undefined) {
      tree = new TopicTree();
      this.tenants.set(tenant, tree);
    }
    let kept = tree.get(topic);
    if (kept === undefined) {
      kept = { tenant, topic, isGone: false, waiting: undefined, stamp, ...NOTHING };
      tree.set(topic, kept);
    } else this.uncount(kept);
    const { clock, budget } = this.options;
    kept.message = message;
    kept.bytes = message.envelope.length;
    kept.isCleared = isEmpty;
    kept.stamp = stamp;
    kept.expiresAtUs = isEmpty ? clock.wallUs() + CLEARED_MS * 1_000 : message.expiresAtUs;
    if (kept.expiresAtUs > 0) this.aging.add(kept);
    else this.aging.delete(kept);
    if (!isEmpty) budget.messages += 1;
    budget.bytes += kept.bytes;
    budget.memoryBytes += kept.bytes;
    return kept;
  }

  private uncount(kept: Kept): void {
    const { budget } = this.options;
    if (!kept.isCleared) budget.messages -= 1;
    budget.bytes -= kept.bytes;
    if (kept.message !== undefined) budget.memoryBytes -= kept.bytes;
  }

  /** Lets go of the bytes of a message that is stored where memory is short. */
  private release(kept: Kept): void {
    const { budget } = this.options;
    if (budget.hasMemory || kept.message === undefined || kept.isGone || this.dirty.has(kept)) return;
    kept.message = undefined;
    budget.memoryBytes -= kept.bytes;
  }

  private async writeAll(): Promise<void> {
    const { pace } = this.options;
    const isHurried = (): boolean => this.isClosing || this.dirty.size >= MANY;
    while (this.dirty.size > 0 && !this.closed) {
      if (!isHurried()) await this.pause(GATHER_MS);
      const error = await pace.take(isHurried, () => this.writeRound(this.nextRound()));
      if (this.closed) return;
      if (error === undefined) {
        this.waits.reset();
        this.failing = this.isRefused = false;
        continue;
      }
      if (!this.failing) {
        this.options.log.warn(
          { err: error, partition: this.partition },
          "retained messages cannot be stored, will retry",
        );
      }
      this.failing = true;
      await this.pause(this.waits.nextMs());
    }
    this.writing = undefined;
  }

  /** Ends early when the shard closes. */
  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.goOn = resolve;
      this.timer = this.options.clock.setTimeout(resolve, ms);
    });
  }

  private nextRound(): Writing[] {
    const round: Writing[] = [];
    let bytes = 0;
    const nowUs = this.options.clock.wallUs();
    for (const kept of this.dirty) {
      if (round.length === STORED_TOGETHER || bytes >= STORED_TOGETHER_BYTES) break;
      this.dirty.delete(kept);
      const { message, waiting, expiresAtUs } = kept;
      kept.waiting = undefined;
      if (message === undefined) continue;
      bytes += kept.bytes;
      const ttlMs = expiresAtUs === 0 ? 0 : Math.max(1_000, (expiresAtUs - nowUs) / 1_000);
      round.push({ kept, waiting, message, ttlMs });
    }
    return round;
  }

  /** Together where that is worth it. What the stream refuses so is tried one by one, which tells whom it refuses. */
  private async writeRound(round: readonly Writing[]): Promise<AppError | undefined> {
    const { store } = this.options;
    if (round.length >= WORTH_A_BATCH && !this.isRefused) {
      const error = await failureOf(store.storeAll(this.partition, round));
      if (error === undefined || !isRefusal(error)) {
        for (const writing of round) this.written(writing, error);
        return error;
      }
      this.isRefused = true;
    }
    const one = async (writing: Writing): Promise<AppError | undefined> => {
      const error = await failureOf(store.store(this.partition, writing));
      this.written(writing, error);
      return error;
    };
    return (await Promise.all(round.map(one))).find((error) => error !== undefined);
  }

  private written({ kept, waiting }: Writing, error: AppError | undefined): void {
    if (error === undefined) {
      for (const stored of waiting ?? []) stored(undefined);
      this.release(kept);
      return;
    }
    // A newer message of the topic waits for its own turn; whoever waited for this one waits for that.
    if (waiting !== undefined) kept.waiting = [...waiting, ...(kept.waiting ?? [])];
    if (this.closed) tell(kept, error);
    else this.dirty.add(kept);
  }

  private sweep(): void {
    const nowUs = this.options.clock.wallUs();
    for (const kept of this.aging) {
      if (kept.expiresAtUs > nowUs || this.dirty.has(kept) || kept.waiting !== undefined) continue;
      this.aging.delete(kept);
      this.uncount(kept);
      kept.isGone = true;
      const tree = this.tenants.get(kept.tenant);
      tree?.delete(kept.topic);
      if (tree?.size === 0) this.tenants.delete(kept.tenant);
    }
  }
}

/** A message on its way to the stream. */
interface Writing extends RetainedEntry {
  readonly kept: Kept;
  readonly waiting: Stored[] | undefined;
}

async function failureOf(storing: Promise<void>): Promise<AppError | undefined> {
  try {
    await storing;
    return undefined;
  } catch (thrown) {
    return AppError.from(thrown);
  }
}

/** The stream has answered. */
function isRefusal({ code }: AppError): boolean {
  return code !== "bus.disconnected" && code !== "request.timeout" && code !== "request.no_responder";
}

const NOTHING = {
  message: undefined,
  bytes: 0,
  isCleared: false,
  expiresAtUs: 0,
};

/** What comes again after a crash, or late out of another partition, must not take the place of what came after it. */
function isStale(message: RetainedStamp, known: RetainedStamp, redelivered: boolean): boolean {
  return isBefore(message, known) || (redelivered && message.ingestTimeUs < known.ingestTimeUs);
}

function isThere({ isGone, isCleared, expiresAtUs }: Kept, nowUs: number): boolean {
  return !isGone && !isCleared && (expiresAtUs === 0 || expiresAtUs > nowUs);
}

function tell(kept: Kept, error: AppError): void {
  for (const stored of kept.waiting ?? []) stored(error);
  kept.waiting = undefined;
}
