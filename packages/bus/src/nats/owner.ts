/** Owners of partitions and of named work whose leases lie in NATS. */
import { BUCKETS } from "@myelin/contract";
import type { Bus, Liveness, NamedLeases, PartitionOwner } from "../api.js";
import { LeasedNames } from "../named-leases.js";
import { LeasedPartitionOwner } from "../partition-owner.js";
import { openKeyValue } from "./key-value.js";
import { natsBusOf } from "./nats-bus.js";

/** Owns its share of `partitions` among the instances that `liveness` knows; `liveness` is started by the caller, before. */
export function createPartitionOwner(
  bus: Bus,
  options: { readonly partitions: number; readonly liveness: Liveness; readonly replicas?: number },
): PartitionOwner {
  const { instance, incarnation, clock, logger } = natsBusOf(bus);
  const { partitions, liveness, replicas = 1 } = options;
  const store = () => openKeyValue(bus, BUCKETS.leases, { replicas });
  return new LeasedPartitionOwner({ partitions, instance, incarnation, store, liveness, logger, clock });
}

/** Shares work by name among the instances that `liveness` knows, which is started by the caller, before. @param options.prefix a word for the work, part of its keys */
export function createNamedLeases(
  bus: Bus,
  options: { readonly prefix: string; readonly liveness: Liveness; readonly replicas?: number },
): NamedLeases {
  const { instance, incarnation, clock, logger } = natsBusOf(bus);
  const { prefix, liveness, replicas = 1 } = options;
  const store = () => openKeyValue(bus, BUCKETS.leases, { replicas });
  return new LeasedNames({ prefix, instance, incarnation, store, liveness, logger, clock });
}
