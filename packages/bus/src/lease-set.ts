/** The leases that an instance strives for: looks at them, takes and renews what is due, hands over, gives up in time. */
import type { AppError, Clock, ComponentCondition, Timer } from "@myelin/kernel";
import type { KeyValue, LiveInstance, Liveness, ReleaseReason } from "./api.js";
import { HeldLease, type LeaseContext, type Tenure } from "./held-lease.js";

/** `store` opens the bucket of leases; `liveness` is that of the service whose instances share the leases. */
export interface LeaseSetOptions<T extends Tenure> {
  readonly instance: string;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly store: () => Promise<Pick<KeyValue, "entries" | "put">>;
  readonly liveness: Pick<Liveness, "instances">;
  readonly describe: (key: string) => string;
  readonly tenureOf: LeaseContext<T>["tenureOf"];
  /** Who should have a lease, of `candidates`. */
  readonly preferred: (key: string, candidates: Iterable<string>) => string | undefined;
  readonly handlers: () => LeaseHandlers<T>;
  readonly onError: (error: AppError, text: string, key: string) => void;
}

/** Per key they never overlap. */
export interface LeaseHandlers<T> {
  acquired(tenure: T): Promise<void>;
  released(tenure: T, reason: ReleaseReason): Promise<void>;
}

const LOOK_MS = 250;
const FENCE_CHECK_MS = 50;
/** An instance is given leases when it has been heard for this long: it may be going round in a crash loop. */
const SETTLED_MS = 1_500;

export class LeaseSet<T extends Tenure> {
  readonly #options: LeaseSetOptions<T>;
  readonly #leases = new Map<string, HeldLease<T>>();
  readonly #context: LeaseContext<T>;
  #store: Pick<KeyValue, "entries" | "put"> | undefined;
  #looking: Timer | undefined;
  #fencing: Timer | undefined;
  #isLooking = false;
  #isStopping = false;
  #isBlind = false;

  constructor(options: LeaseSetOptions<T>) {
    this.#options = options;
    const { instance, incarnation, clock, handlers, onError, describe, tenureOf, preferred } = options;
    this.#context = {
      // Leases are taken after a look, which needs the store.
      store: { put: (...args) => (this.#store as Pick<KeyValue, "put">).put(...args) },
      instance,
      incarnation,
      clock,
      handlers,
      onError,
      describe,
      tenureOf,
      preferred: (key, except) => preferred(key, this.#candidates(except)),
    };
  }

  /** What is held now. */
  *held(): Iterable<T> {
    for (const { ownership } of this.#leases.values()) if (ownership !== undefined) yield ownership;
  }

  condition(): ComponentCondition {
    return this.#isBlind ? { state: "degraded", reason: "the leases cannot be read" } : { state: "running" };
  }

  /** Looks for the first time before it resolves. @throws AppError `bus.*` when the bucket cannot be opened */
  async start(): Promise<void> {
    const { store, clock } = this.#options;
    this.#store = await store();
    this.#fencing = clock.setInterval(() => {
      for (const lease of this.#leases.values()) lease.checkFence();
    }, FENCE_CHECK_MS);
    this.#looking = clock.setInterval(() => void this.#look(), LOOK_MS);
    await this.#look();
  }

  /** Strives for this lease too; before `start` as well. */
  add(key: string): void {
    if (this.#isStopping || this.#leases.has(key)) return;
    this.#leases.set(key, new HeldLease(this.#context, key));
  }

  /** Strives for it no longer: ends the work, then frees the lease. */
  async remove(key: string): Promise<void> {
    const lease = this.#leases.get(key);
    if (lease === undefined) return;
    await lease.release("stop");
    await lease.settled;
    // Not before: it must be renewed while its work ends.
    if (this.#leases.get(key) === lease) this.#leases.delete(key);
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const leases = [...this.#leases.values()];
    // Renewals go on while the handlers end their work.
    await Promise.all(leases.map((lease) => lease.release("stop")));
    await Promise.all(leases.map((lease) => lease.settled));
    this.#options.clock.clear(this.#looking);
    this.#options.clock.clear(this.#fencing);
  }

  async #look(): Promise<void> {
    if (this.#isLooking || this.#store === undefined || this.#leases.size === 0) return;
    this.#isLooking = true;
    try {
      for (const { key, value, revision } of await this.#store.entries()) {
        this.#leases.get(key)?.observe(revision, value);
      }
      this.#isBlind = false;
    } catch {
      // What cannot be seen is not taken by surprise: taking compares revisions, and keeping ends at the fence.
      this.#isBlind = true;
    } finally {
      this.#isLooking = false;
    }
    let mayGive = !this.#isStopping;
    for (const lease of this.#leases.values()) {
      if (lease.tick(mayGive, !this.#isStopping && !this.#isBlind) === "gave") mayGive = false;
    }
  }

  /** This instance, and every other that has been there for a while and stays. */
  *#candidates(except: string | undefined): Iterable<string> {
    const { instance, liveness, clock } = this.#options;
    const settledMs = clock.nowMs() - SETTLED_MS;
    if (instance !== except) yield instance;
    for (const other of liveness.instances.values() as Iterable<LiveInstance>) {
      if (other.instance === instance || other.instance === except || other.draining) continue;
      if (other.sinceMs <= settledMs) yield other.instance;
    }
  }
}
