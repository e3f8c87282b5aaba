/** The store that the settings name. */
import type { Bus } from "@myelin/bus";
import type { Clock } from "@myelin/kernel";
import type { DispatcherConfig } from "../config.js";
import { RedisDeviceStore } from "./redis-store.js";
import { type DeviceStore, KeyValueDeviceStore } from "./store.js";

/** Opens nothing yet. */
export function createDeviceStore(
  bus: Bus,
  settings: DispatcherConfig["registry"]["store"],
  clock: Clock,
): DeviceStore {
  return settings.kind === "redis" ? new RedisDeviceStore(settings, clock) : new KeyValueDeviceStore(bus);
}
