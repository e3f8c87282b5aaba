/** Every driver: one line each. Key = folder; the names of its drivers are the key, or begin with the key and a dash. */
import type { AnyDriver } from "./adapter.js";

/** A folder exports the drivers in it, each of which fits a name. */
export type DriverRegistry = Readonly<
  Record<string, () => Promise<{ readonly drivers: readonly AnyDriver[] }>>
>;

/** Loaded on first use, so what nobody asks for is never in memory. */
export const drivers = {
  modbus: () => import("./modbus/index.js"),
  simulated: () => import("./simulated/index.js"),
} satisfies DriverRegistry;
