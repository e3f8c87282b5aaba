/** The partitions of this instance: takes its share, keeps it, gives it up. */
import { type Clock, type ComponentCondition, systemClock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { KeyValue, Liveness, Ownership, PartitionOwner } from "./api.js";
import { preferredOwners } from "./lease.js";
import { LeaseSet } from "./lease-set.js";

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

export class LeasedPartitionOwner implements PartitionOwner {
  readonly name = "partition-owner";
  readonly #leases: LeaseSet<Ownership>;
  #handlers: Parameters<PartitionOwner["onChange"]>[0] = {
    acquired: async () => undefined,
    released: async () => undefined,
  };

  constructor(options: PartitionOwnerOptions) {
    const { partitions, logger, clock = systemClock } = options;
    this.#leases = new LeaseSet({
      ...options,
      clock,
      describe: (key) => `partition ${key}`,
      tenureOf: (key, epoch, isHeld) => ({
        partition: Number(key),
        epoch,
        get held() {
          return isHeld();
        },
      }),
      preferred: (key, candidates) => preferredOwners(partitions, candidates)[Number(key)],
      handlers: () => this.#handlers,
      onError: (err, text, key) => logger.error({ err, partition: Number(key) }, text),
    });
    for (let partition = 0; partition < partitions; partition++) this.#leases.add(String(partition));
  }

  get owned(): ReadonlyMap<number, Ownership> {
    return new Map(Array.from(this.#leases.held(), (ownership) => [ownership.partition, ownership]));
  }

  condition(): ComponentCondition {
    return this.#leases.condition();
  }

  onChange(handlers: Parameters<PartitionOwner["onChange"]>[0]): void {
    this.#handlers = handlers;
  }

  start(): Promise<void> {
    return this.#leases.start();
  }

  stop(): Promise<void> {
    return this.#leases.stop();
  }
}
