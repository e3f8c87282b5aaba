/** A partition owner whose leases lie in NATS. */
import { BUCKETS } from "@myelin/contract";
import type { Bus, Liveness, PartitionOwner } from "../api.js";
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
