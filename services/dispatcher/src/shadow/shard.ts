/** The shadows of one partition: loaded when they are needed, changed in order, stored before anybody sees a change. */
import { AppError, backoff, type Clock, type Timer } from "@myelin/kernel";
import type { Profile, Sample } from "@myelin/profile";
import type { CoreLog } from "../core/ports.js";
import type { ShadowKey } from "./api.js";
import { ShadowDocument } from "./document.js";
import { dropKnown, type Gathered, gather } from "./gather.js";
import { fromRecord, type StoredShadow, toRecord } from "./records.js";
import type { Site } from "./stamp.js";
import type { ShadowRecord, ShadowStore } from "./store.js";

/** Something to be done with a shadow, in its turn. */
export interface ShadowTask {
  /**
   * Reads or changes the shadow, and gives what to do once that is stored. Called again, with the shadow as the store has it, when
   * storing has failed. @throws AppError the task is refused and has changed nothing
   */
  run(shadow: StoredShadow): () => void;
  refused(error: AppError): void;
}

/** What all shards of a process may hold in memory. */
export interface ShadowBudget {
  readonly bytes: number;
  used: number;
}

/** Plain numbers for metrics. */
export interface ShadowCounters {
  /** Readings that came, and those left out because the store does not keep up. */
  readings: number;
  dropped: number;
  loads: number;
  writes: number;
  evictions: number;
}

export interface ShardOptions {
  readonly partition: number;
  readonly epoch: number;
  readonly store: ShadowStore;
  /** Where this is; left out, the hub. */
  readonly site?: Site | undefined;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly budget: ShadowBudget;
  readonly counters: ShadowCounters;
  /** How long what is measured is gathered, where nobody waits for it. */
  readonly gatherMs: number;
  /** Takes what was gathered into a shadow; gives what to do once that is stored. */
  measured(key: ShadowKey, shadow: StoredShadow, gathered: Gathered): () => void;
  /** Called before a changed shadow is stored: last chance to say how it stands. */
  settle(key: ShadowKey, shadow: StoredShadow): void;
  /** Called when a change is stored, before those who made it are told. */
  stored(key: ShadowKey, shadow: StoredShadow): void;
}

interface Waiter {
  resolve(): void;
  reject(error: AppError): void;
}

interface Entry {
  readonly key: ShadowKey;
  shadow: StoredShadow | undefined;
  revision: number;
  bytes: number;
  isUsed: boolean;
  isBusy: boolean;
  tasks: ShadowTask[];
  /** Measured and not taken into the document. */
  gathered: Gathered | undefined;
  waiters: Waiter[];
  dueAtMs: number;
}

const TICK_MS = 50;
/** Stored at a time; NATS answers them together. */
const MAX_WRITERS = 128;
/** Requests of one shadow that wait, and of a whole partition. */
const MAX_TASKS = 32;
const MAX_ALL_TASKS = 20_000;
/** How long is gathered what somebody waits for or looks at. */
const SOON_MS = 200;
/** About what a shadow and a field take in memory. */
const ENTRY_BYTES = 700;
const FIELD_BYTES = 240;
/** Beyond so much of the budget nothing is loaded for what is only measured. */
const DROP_BEYOND = 2;
/** Shadows looked at for one that has to go. */
const MAX_SWEEP = 64;

export class ShadowShard {
  readonly #entries = new Map<string, Entry>();
  readonly #due = new Set<Entry>();
  /** Those with something gathered, in the order in which they become due. */
  readonly #later = new Set<Entry>();
  readonly #soon = new Set<Entry>();
  readonly #ending = new AbortController();
  readonly #waits = backoff({ initialMs: 100, maxMs: 5_000 });
  #hand: IterableIterator<Entry> | undefined;
  #tick: Timer | undefined;
  #writers = 0;
  #tasks = 0;
  #isFailing = false;

  constructor(private readonly options: ShardOptions) {}

  /** Shadows in memory. */
  get size(): number {
    return this.#entries.size;
  }

  /** Something is known of it here. */
  has(key: ShadowKey): boolean {
    return this.#entries.has(nameOf(key));
  }

  /** It is in memory, and not deleted. */
  isThere(key: ShadowKey): boolean {
    return this.#entries.get(nameOf(key))?.shadow?.document.isGone === false;
  }

  start(): void {
    this.#tick = this.options.clock.setInterval(() => this.#onTick(), TICK_MS).unref();
  }

  /** Stores what was gathered, for at most `deadlineMs`, and ends. Whoever still waits is told to try elsewhere. */
  async close(deadlineMs: number): Promise<void> {
    const { clock, budget, partition } = this.options;
    clock.clear(this.#tick);
    const untilMs = clock.nowMs() + deadlineMs;
    while (clock.nowMs() < untilMs) {
      this.#moveDue(Number.POSITIVE_INFINITY);
      if (this.#writers + this.#due.size === 0) break;
      await clock.sleep(5);
    }
    const error = new AppError("request.no_responder", `partition ${partition} is given up`);
    this.#ending.abort(error);
    for (const entry of this.#entries.values()) {
      budget.used -= entry.bytes;
      this.#fail(entry, error);
    }
    this.#entries.clear();
    for (const set of [this.#due, this.#later, this.#soon]) set.clear();
  }

  /** Takes what the store had at the beginning, as long as there is room; what is here already stays. */
  warm(key: ShadowKey, { record, revision }: ShadowRecord): void {
    const { budget } = this.options;
    if (budget.used > budget.bytes / 2 || this.#entries.has(nameOf(key))) return;
    const entry = this.#entryOf(key);
    entry.shadow = fromRecord(record, this.options.site);
    entry.revision = revision;
    this.#weigh(entry);
  }

  /** Puts a task behind those of its shadow. It is refused with `limit.rate` when too many wait. */
  submit(key: ShadowKey, task: ShadowTask): void {
    const entry = this.#entryOf(key);
    if (entry.tasks.length >= MAX_TASKS || this.#tasks >= MAX_ALL_TASKS) {
      task.refused(new AppError("limit.rate", `too many requests wait for a shadow of ${key.device}`));
      return;
    }
    this.#tasks += 1;
    entry.tasks.push(task);
    this.#dueNow(entry);
  }

  /** Takes what was measured. The hot path: nothing is stored here. */
  measure(
    tenant: string,
    device: string,
    samples: readonly Sample[],
    profile: Profile | undefined,
    isUrgent: boolean,
  ): void {
    this.#gather(tenant, device, samples, profile, isUrgent);
  }

  /** The same; resolves when it is stored. @throws AppError retryable when this owner will not do it */
  async measureStored(
    tenant: string,
    device: string,
    samples: readonly Sample[],
    profile: Profile | undefined,
  ): Promise<void> {
    const entry = this.#gather(tenant, device, samples, profile, true);
    if (entry === undefined)
      throw new AppError("target.unavailable", "shadows that wait to be stored take all the room there is");
    if (entry.gathered === undefined && !entry.isBusy) return;
    await new Promise<void>((resolve, reject) => {
      entry.waiters.push({ resolve, reject });
      if (!entry.isBusy) this.#dueWithin(entry, this.#soon, SOON_MS);
    });
  }

  #gather(
    tenant: string,
    device: string,
    samples: readonly Sample[],
    profile: Profile | undefined,
    isUrgent: boolean,
  ): Entry | undefined {
    const { budget, counters, gatherMs } = this.options;
    counters.readings += samples.length;
    let entry = this.#entries.get(`${tenant}\0${device}\0`);
    if (entry === undefined) {
      if (budget.used > budget.bytes * DROP_BEYOND) {
        counters.dropped += samples.length;
        return undefined;
      }
      entry = this.#entryOf({ tenant, device, name: "" });
    }
    entry.isUsed = true;
    const into = entry.gathered ?? new Map();
    if (gather(into, entry.shadow?.document, samples, profile) === 0) return entry;
    entry.gathered = into;
    if (isUrgent) this.#dueWithin(entry, this.#soon, SOON_MS);
    else this.#dueWithin(entry, this.#later, gatherMs);
    return entry;
  }

  #dueWithin(entry: Entry, set: Set<Entry>, withinMs: number): void {
    if (this.#due.has(entry) || this.#soon.has(entry)) return;
    if (set === this.#soon) this.#later.delete(entry);
    else if (set.has(entry)) return;
    entry.dueAtMs = this.options.clock.nowMs() + withinMs;
    set.add(entry);
  }

  #dueNow(entry: Entry): void {
    this.#later.delete(entry);
    this.#soon.delete(entry);
    if (entry.isBusy) return;
    this.#due.add(entry);
    this.#work();
  }

  #onTick(): void {
    this.#moveDue(this.options.clock.nowMs());
    this.#evict();
  }

  #moveDue(nowMs: number): void {
    for (const set of [this.#soon, this.#later])
      for (const entry of set) {
        if (entry.dueAtMs > nowMs) break;
        set.delete(entry);
        if (!entry.isBusy) this.#due.add(entry);
      }
    this.#work();
  }

  #work(): void {
    while (this.#writers < MAX_WRITERS && this.#due.size > this.#writers) {
      this.#writers += 1;
      void this.#write();
    }
  }

  async #write(): Promise<void> {
    // What else comes in this turn goes along.
    await Promise.resolve();
    try {
      for (const entry of this.#due) {
        this.#due.delete(entry);
        entry.isBusy = true;
        await this.#commit(entry);
        entry.isBusy = false;
        if (this.#ending.signal.aborted) return;
        if (entry.tasks.length > 0) this.#due.add(entry);
        else if (entry.waiters.length > 0) this.#dueWithin(entry, this.#soon, SOON_MS);
        else if (entry.gathered !== undefined) this.#dueWithin(entry, this.#later, this.options.gatherMs);
      }
    } finally {
      this.#writers -= 1;
    }
  }

  /** Does all that waits for a shadow and stores what came of it. Tried until it is stored, or this owner is none any more. */
  async #commit(entry: Entry): Promise<void> {
    const { signal } = this.#ending;
    const tasks = entry.tasks.splice(0);
    const waiters = entry.waiters.splice(0);
    const gathered = entry.gathered ?? new Map();
    entry.gathered = undefined;
    this.#tasks -= tasks.length;
    const round: Round = { tasks, gathered, attempt: undefined };
    for (;;) {
      try {
        signal.throwIfAborted();
        const after = await this.#try(entry, round);
        this.#recovered();
        for (const tell of after) tell();
        for (const { resolve } of waiters) resolve();
        this.#weigh(entry);
        return;
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (signal.aborted || !error.retryable || error.code === "request.no_responder") {
          for (const task of tasks) task.refused(error);
          for (const { reject } of waiters) reject(error);
          entry.shadow = undefined;
          return;
        }
        await this.#failed(entry, error);
      }
    }
  }

  async #try(entry: Entry, round: Round): Promise<(() => void)[]> {
    const { store, partition, epoch, clock, counters, site } = this.options;
    const { key } = entry;
    if (entry.shadow === undefined) {
      const found = await store.get(partition, key);
      counters.loads += 1;
      entry.revision = found?.revision ?? 0;
      entry.shadow =
        found === undefined
          ? { document: new ShadowDocument(site), condition: undefined, recent: [] }
          : fromRecord(found.record, site);
      if (found !== undefined && found.record.epoch > epoch)
        throw new AppError("request.no_responder", `partition ${partition} has a newer owner`);
      // The answer to the last try was lost, and it was stored.
      const { attempt } = round;
      if (
        attempt !== undefined &&
        found?.record.epoch === epoch &&
        found.record.version === attempt.version
      ) {
        this.options.stored(key, entry.shadow);
        return attempt.after;
      }
    }
    const { shadow } = entry;
    const { version } = shadow.document;
    const condition = shadow.condition;
    const after: (() => void)[] = [];
    dropKnown(round.gathered, shadow.document);
    if (round.gathered.size > 0) after.push(this.options.measured(key, shadow, round.gathered));
    for (const task of round.tasks) {
      try {
        after.push(task.run(shadow));
      } catch (thrown) {
        const error = AppError.from(thrown);
        after.push(() => task.refused(error));
      }
    }
    if (shadow.document.version !== version) this.options.settle(key, shadow);
    else if (shadow.condition === condition) return after;
    round.attempt = { version: shadow.document.version, after };
    const record = toRecord(key, shadow, epoch, clock.wallUs());
    entry.revision = await store.put(partition, key, record, entry.revision);
    counters.writes += 1;
    this.options.stored(key, shadow);
    return after;
  }

  async #failed(entry: Entry, error: AppError): Promise<void> {
    const { clock, log, partition } = this.options;
    // The store alone knows what holds.
    entry.shadow = undefined;
    if (error.code === "store.conflict") return;
    if (!this.#isFailing) log.warn({ err: error, partition }, "shadows cannot be stored, will retry");
    this.#isFailing = true;
    await clock.sleep(this.#waits.nextMs(), this.#ending.signal).catch(() => undefined);
  }

  #recovered(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#waits.reset();
    this.options.log.info({ partition: this.options.partition }, "shadows are stored again");
  }

  #entryOf(key: ShadowKey): Entry {
    const name = nameOf(key);
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = {
        key,
        shadow: undefined,
        revision: 0,
        bytes: 0,
        isUsed: true,
        isBusy: false,
        tasks: [],
        gathered: undefined,
        waiters: [],
        dueAtMs: 0,
      };
      this.#entries.set(name, entry);
      this.#weigh(entry);
    }
    entry.isUsed = true;
    return entry;
  }

  #weigh(entry: Entry): void {
    const { document } = entry.shadow ?? {};
    const fields = document === undefined ? 0 : document.desired.fields.size + document.reported.fields.size;
    const bytes = ENTRY_BYTES + fields * FIELD_BYTES;
    this.options.budget.used += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** Lets go of shadows that nobody has used since the hand came by last, until what is left fits. */
  #evict(): void {
    const { budget, counters } = this.options;
    for (let looked = 0; budget.used > budget.bytes && looked < MAX_SWEEP * 16; looked++) {
      this.#hand ??= this.#entries.values();
      const { value: entry, done } = this.#hand.next();
      if (done === true || entry === undefined) {
        this.#hand = undefined;
        if (this.#entries.size === 0) return;
        continue;
      }
      const isWaiting = entry.isBusy || entry.tasks.length > 0 || entry.gathered !== undefined;
      if (isWaiting) continue;
      if (entry.isUsed) {
        entry.isUsed = false;
        continue;
      }
      this.#entries.delete(nameOf(entry.key));
      budget.used -= entry.bytes;
      counters.evictions += 1;
    }
  }

  #fail(entry: Entry, error: AppError): void {
    this.#tasks -= entry.tasks.length;
    for (const task of entry.tasks.splice(0)) task.refused(error);
    for (const { reject } of entry.waiters.splice(0)) reject(error);
  }
}

/** What is done in one go, again and again until it is stored. */
interface Round {
  readonly tasks: readonly ShadowTask[];
  readonly gathered: Gathered;
  attempt: { readonly version: number; readonly after: (() => void)[] } | undefined;
}

function nameOf({ tenant, device, name }: ShadowKey): string {
  return `${tenant}\0${device}\0${name}`;
}
