/** The partitions of this instance: takes its share, keeps it, gives it up. */
import { type Clock, type ComponentCondition, systemClock, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { KeyValue, LiveInstance, Liveness, Ownership, PartitionOwner } from "./api.js";
import { preferredOwners } from "./lease.js";
import { type LeaseContext, PartitionLease } from "./partition-lease.js";

/** `store` opens the bucket of leases; `liveness` is that of the service that owns partitions. */
export interface PartitionOwnerOptions {
  readonly partitions: number;
  readonly instance: string;
  readonly incarnation: number;
  readonly store: () => Promise<Pick<KeyValue, "entries" | "put">>;
  readonly liveness: Pick<Liveness, "instances">;
  readonly logger: Logger;
  readonly clock?: Clock;
}

const LOOK_MS = 250;
const FENCE_CHECK_MS = 50;
/** An instance is given partitions when it has been heard for this long: it may be going round in a crash loop. */
const SETTLED_MS = 1_500;

export class LeasedPartitionOwner implements PartitionOwner {
  readonly name = "partition-owner";
  readonly #options: PartitionOwnerOptions;
  readonly #clock: Clock;
  readonly #leases: PartitionLease[] = [];
  #store: Pick<KeyValue, "entries" | "put"> | undefined;
  #handlers: Parameters<PartitionOwner["onChange"]>[0] = {
    acquired: async () => undefined,
    released: async () => undefined,
  };
  #looking: Timer | undefined;
  #fencing: Timer | undefined;
  #isLooking = false;
  #isStopping = false;
  #isBlind = false;

  constructor(options: PartitionOwnerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get owned(): ReadonlyMap<number, Ownership> {
    const owned = new Map<number, Ownership>();
    for (const { partition, ownership } of this.#leases) {
      if (ownership !== undefined) owned.set(partition, ownership);
    }
    return owned;
  }

  condition(): ComponentCondition {
    return this.#isBlind ? { state: "degraded", reason: "the leases cannot be read" } : { state: "running" };
  }

  onChange(handlers: Parameters<PartitionOwner["onChange"]>[0]): void {
    this.#handlers = handlers;
  }

  async start(): Promise<void> {
    const { partitions, instance, incarnation, store, logger } = this.#options;
    this.#store = await store();
    const context: LeaseContext = {
      store: this.#store,
      instance,
      incarnation,
      clock: this.#clock,
      handlers: () => this.#handlers,
      onError: (error, text, partition) => logger.error({ err: error, partition }, text),
      preferred: (partition, except) => preferredOwners(partitions, this.#candidates(except))[partition],
    };
    for (let p = 0; p < partitions; p++) this.#leases.push(new PartitionLease(context, p));
    this.#fencing = this.#clock.setInterval(() => {
      for (const lease of this.#leases) lease.checkFence();
    }, FENCE_CHECK_MS);
    this.#looking = this.#clock.setInterval(() => void this.#look(), LOOK_MS);
    await this.#look();
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    // Renewals go on while the handlers end their work.
    await Promise.all(this.#leases.map((lease) => lease.release("stop")));
    await Promise.all(this.#leases.map((lease) => lease.settled));
    this.#clock.clear(this.#looking);
    this.#clock.clear(this.#fencing);
  }

  async #look(): Promise<void> {
    if (this.#isLooking || this.#store === undefined) return;
    this.#isLooking = true;
    try {
      for (const { key, value, revision } of await this.#store.entries()) {
        this.#leases[Number(key)]?.observe(revision, value);
      }
      this.#isBlind = false;
    } catch {
      // What cannot be seen is not taken by surprise: taking compares revisions, and keeping ends at the fence.
      this.#isBlind = true;
    } finally {
      this.#isLooking = false;
    }
    let mayGive = !this.#isStopping;
    for (const lease of this.#leases) {
      if (lease.tick(mayGive, !this.#isStopping && !this.#isBlind) === "gave") mayGive = false;
    }
  }

  /** This instance, and every other that has been there for a while and stays. */
  *#candidates(except: string | undefined): Iterable<string> {
    const { instance, liveness } = this.#options;
    const settledMs = this.#clock.nowMs() - SETTLED_MS;
    if (instance !== except) yield instance;
    for (const other of liveness.instances.values() as Iterable<LiveInstance>) {
      if (other.instance === instance || other.instance === except || other.draining) continue;
      if (other.sinceMs <= settledMs) yield other.instance;
    }
  }
}
