/** The store that the settings name. */
import type { Bus } from "@myelin/bus";
import { AppError, type Clock } from "@myelin/kernel";
import type { DispatcherConfig } from "../config.js";
import { RedisDeviceStore } from "./redis-store.js";
import { type DeviceStore, KeyValueDeviceStore } from "./store.js";

/** Opens nothing yet. @throws AppError `config.invalid` */
export function createDeviceStore(
  bus: Bus,
  settings: DispatcherConfig["registry"]["store"],
  clock: Clock,
): DeviceStore {
  if (settings.kind === "redis" && settings.topology === "cluster" && settings.replicas > 0)
    throw new AppError("config.invalid", "registry.store.replicas is for the topology single");
  return settings.kind === "redis" ? new RedisDeviceStore(settings, clock) : new KeyValueDeviceStore(bus);
}
