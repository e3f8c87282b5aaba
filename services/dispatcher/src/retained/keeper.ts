/** Keeps the retained messages of the partitions this process owns, and answers who asks for them. */
import { partitionOf, retained, subjects } from "@myelin/contract";
import { AppError, backoff, type Clock, type Component, type Timer } from "@myelin/kernel";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import { Answers } from "./answers.js";
import { RetainedBudget, type RetainedLimits } from "./budget.js";
import { clearing, type RetainedMessage, retainedFrom } from "./message.js";
import { type Kept, type RetainedStore, Shard } from "./shard.js";
import { Pace, Turns } from "./turns.js";

/** NATS as the keeper sees it. */
export interface KeeperPorts {
  readonly instance: string;
  readonly incarnation: number;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly store: RetainedStore;
  publish(subject: string, data: Uint8Array): boolean;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** How full the stream is, 0 … 1. */
  streamFill(): Promise<number>;
  /** Resolves when every event is routed that was stored when this was called; or some time later, where that cannot be told. */
  eventsRouted(): Promise<void>;
  /** The other dispatchers that live. */
  others(): readonly string[];
}

/** Whoever brings messages here; asked before a query is answered. */
export interface RetainedSource {
  /** Resolves when everything that was routed before was given to the keepers of its topics. */
  handedOver(): Promise<void>;
}

/** `stored`: they must be in the stream. `redelivered`: those that are older than what is kept change nothing. */
export interface How {
  readonly stored: boolean;
  readonly redelivered: boolean;
}

interface Owned {
  readonly shard: Shard;
  readonly answers: Answers;
  readonly loaded: Promise<void>;
  isReady: boolean;
  readonly releases: Release[];
}

const STATE_MS = 1_000;
const KEEP_TIMEOUT_MS = 5_000;
const SYNC_TIMEOUT_MS = 1_000;
/** What takes longer waits for a keeper that is not there, and the subscriber should not. */
const HAND_OVER_MS = 1_000;
const CLOSE_MS = 2_000;
/** Most bytes of an answer, whatever was asked for. */
const MAX_ANSWER_BYTES = 512 * 1024;

/** One per process. */
export class RetainedKeeper implements Component {
  readonly name = "retained";
  readonly budget: RetainedBudget;
  /** Telemetry that was not kept because there are too many. */
  refused = 0;
  private readonly owned = new Map<number, Owned>();
  private readonly sources = new Set<RetainedSource>();
  private readonly releases: Release[] = [];
  private readonly answering = new Turns();
  private readonly pace: Pace;
  private timer: Timer | undefined;
  private wasFull = false;
  private round: Promise<void> = Promise.resolve();
  private nextRound: Promise<void> | undefined;
  private isChanged = true;
  private telling: Promise<void> | undefined;

  constructor(
    private readonly ports: KeeperPorts,
    limits: RetainedLimits,
  ) {
    this.budget = new RetainedBudget(limits, ports.partitions);
    this.pace = new Pace(ports.clock);
  }

  async start(): Promise<void> {
    const { clock, instance, serve } = this.ports;
    this.releases.push(serve(subjects.retainedSync(instance), async () => await this.onSync()));
    this.timer = clock.setInterval(() => void this.tell(), STATE_MS).unref();
  }

  async stop(): Promise<void> {
    this.ports.clock.clear(this.timer);
    for (const release of this.releases.splice(0)) release();
    for (const partition of [...this.owned.keys()]) await this.release(partition, false);
  }

  addSource(source: RetainedSource): void {
    this.sources.add(source);
  }

  /** The lease of a partition was taken. What is stored is read in the background; until then its queries find nobody. */
  acquire({ partition }: Ownership): void {
    const { store, clock, log } = this.ports;
    const { budget } = this;
    const shard = new Shard({ partition, store, budget, clock, log, pace: this.pace });
    const answers = new Answers(shard, this.ports, () => clock.nowMs(), this.answering);
    budget.owned += 1;
    const owned: Owned = { shard, answers, loaded: this.load(shard), isReady: false, releases: [] };
    this.owned.set(partition, owned);
    void owned.loaded.then(() => this.ready(owned));
  }

  /** The lease ends. With `settle` what was taken is stored first. */
  async release(partition: number, settle: boolean): Promise<void> {
    const owned = this.owned.get(partition);
    if (owned === undefined) return;
    this.owned.delete(partition);
    this.budget.owned -= 1;
    for (const release of owned.releases.splice(0)) release();
    await owned.shard.close(settle ? CLOSE_MS : 0);
  }

  /** Partition of a topic. */
  partitionOf({ tenant, topic }: RetainedMessage): number {
    return partitionOf(tenant, topic, this.ports.partitions);
  }

  /**
   * Gives messages of one partition to their keeper in this process, which finds them as soon as this returns. Undefined: it is not here, or
   * not ready. "kept": nothing is to be waited for. Else it resolves when they are stored.
   */
  keepHere(
    partition: number,
    messages: readonly RetainedMessage[],
    how: How,
  ): "kept" | Promise<void> | undefined {
    const owned = this.owned.get(partition);
    if (owned?.isReady !== true) return undefined;
    return this.keepIn(owned.shard, messages, how);
  }

  /**
   * The same, wherever the keeper is; `stored` false: resolves when they are kept.
   * @throws AppError, always worth another try
   */
  async keep(partition: number, messages: readonly RetainedMessage[], how: How): Promise<void> {
    await this.owned.get(partition)?.loaded;
    const here = this.keepHere(partition, messages, how);
    if (here === undefined) await this.keepElsewhere(partition, messages, how);
    else if (here !== "kept") await here;
  }

  private keepIn(
    shard: Shard,
    messages: readonly RetainedMessage[],
    { stored, redelivered }: How,
  ): "kept" | Promise<void> {
    this.isChanged = true;
    if (!stored) {
      for (const message of messages) if (!shard.keep(message, redelivered, undefined)) this.refused += 1;
      this.tellIfFull();
      return "kept";
    }
    let left = messages.length;
    return new Promise((resolve, reject) => {
      const onStored = (error: AppError | undefined): void => {
        if (error !== undefined) reject(error);
        else if (--left === 0) resolve();
      };
      for (const message of messages) {
        if (shard.keep(message, redelivered, onStored)) continue;
        reject(new AppError("bus.stream_full", "there are more retained messages than may be"));
        break;
      }
      this.tellIfFull();
    });
  }

  private async keepElsewhere(
    partition: number,
    messages: readonly RetainedMessage[],
    how: How,
  ): Promise<void> {
    const envelopes = messages.map(({ envelope }) => envelope);
    const request = retained.KeepRequest.encode({ partition, ...how, envelopes }).finish();
    await this.ports.request(subjects.retainedKeep(partition), request, KEEP_TIMEOUT_MS);
  }

  private async load(shard: Shard): Promise<void> {
    const { clock, log } = this.ports;
    const waits = backoff({ initialMs: 100, maxMs: 5_000 });
    while (!shard.closed) {
      try {
        await shard.load();
        return;
      } catch (err) {
        log.warn({ err, partition: shard.partition }, "retained messages cannot be read, will retry");
        await clock.sleep(waits.nextMs());
      }
    }
  }

  private ready(owned: Owned): void {
    const { shard, releases } = owned;
    const { partition } = shard;
    if (this.owned.get(partition) !== owned) return;
    owned.isReady = true;
    const { serve } = this.ports;
    releases.push(
      serve(subjects.retainedKeep(partition), (data) => this.onKeep(owned, data)),
      serve(subjects.retainedQuery(partition), (data) => this.onQuery(owned, data)),
      serve(subjects.retainedClear(partition), (data) => this.onClear(owned, data)),
    );
  }

  private async onKeep({ shard }: Owned, data: Uint8Array): Promise<Uint8Array> {
    const { envelopes, stored, redelivered } = retained.KeepRequest.decode(data);
    const refusedBefore = this.refused;
    const messages = envelopes.map((bytes) => retainedFrom(bytes));
    const kept = this.keepIn(shard, messages, { stored, redelivered });
    const refused = this.refused - refusedBefore;
    if (kept !== "kept") await kept;
    return retained.KeepAnswer.encode({ refused }).finish();
  }

  private async onQuery({ answers }: Owned, data: Uint8Array): Promise<Uint8Array> {
    const { wants, maxBytes } = retained.QueryRequest.decode(data);
    // The subscriber's listener has told every dispatcher of the subscription before it asks: what they have routed without it must be here.
    // Whoever asks for the rest has waited for that already.
    if (wants.some(({ after }) => after === "")) {
      await Promise.all([this.handedOver(), ...this.ports.others().map((other) => this.sync(other))]);
    }
    const found = await answers.of(wants, Math.min(maxBytes, MAX_ANSWER_BYTES));
    return retained.QueryAnswer.encode({ found }).finish();
  }

  private async onClear({ shard }: Owned, data: Uint8Array): Promise<Uint8Array> {
    const { tenant, filter } = retained.ClearRequest.decode(data);
    const found = shard.match(tenant, filter);
    await Promise.all(found.map((kept) => clearOne(shard, kept, this.ports.clock.wallUs())));
    this.isChanged = true;
    return retained.ClearAnswer.encode({ cleared: found.length }).finish();
  }

  private async onSync(): Promise<Uint8Array> {
    await this.handedOver();
    return retained.SyncAnswer.encode({}).finish();
  }

  /** Whoever asks while a round runs needs the next one, and shares it. */
  private handedOver(): Promise<void> {
    this.nextRound ??= this.round.then(() => {
      this.round = this.nextRound!;
      this.nextRound = undefined;
      return this.handOver();
    });
    return this.nextRound;
  }

  private async handOver(): Promise<void> {
    // What was acknowledged to its publisher must be found by those who subscribe from then on.
    await this.ports.eventsRouted();
    const all = Promise.all([...this.sources].map((source) => source.handedOver()));
    await Promise.race([all, this.ports.clock.sleep(HAND_OVER_MS)]);
  }

  /** A dispatcher that does not answer is about to be none: what it had comes again from the stream, to the subscriber too. */
  private async sync(other: string): Promise<void> {
    try {
      await this.ports.request(subjects.retainedSync(other), new Uint8Array(0), SYNC_TIMEOUT_MS);
    } catch (err) {
      this.ports.log.debug({ err, other }, "a dispatcher does not say what it has handed over");
    }
  }

  /** At once: what is accepted until publishers are refused has no place. */
  private tellIfFull(): void {
    if (this.wasFull || this.telling !== undefined || !this.budget.isFull) return;
    this.telling = this.tell().finally(() => {
      this.telling = undefined;
    });
  }

  /** Publishers are refused by what this says. */
  private async tell(): Promise<void> {
    const { budget, ports } = this;
    if (this.owned.size === 0) return;
    if (this.isChanged || this.wasFull) {
      this.isChanged = false;
      try {
        budget.streamFill = await ports.streamFill();
      } catch (err) {
        this.isChanged = true;
        ports.log.debug({ err }, "the room for retained messages cannot be looked at, will retry");
      }
    }
    const full = budget.isFull;
    if (full !== this.wasFull) {
      if (full)
        ports.log.error({ messages: budget.messages }, "retained messages are refused: there are too many");
      else ports.log.info({ messages: budget.messages }, "retained messages are taken again");
    }
    this.wasFull = full;
    const { messages, bytes } = budget;
    const state = { dispatcher: ports.instance, full, messages, bytes };
    ports.publish(subjects.retainedState(), retained.KeeperState.encode(state).finish());
  }
}

async function clearOne(shard: Shard, kept: Kept, nowUs: number): Promise<void> {
  const cleared = clearing(kept.tenant, kept.topic, nowUs);
  await new Promise<void>((resolve, reject) => {
    shard.keep(cleared, false, (error) => (error === undefined ? resolve() : reject(error)));
  });
}
