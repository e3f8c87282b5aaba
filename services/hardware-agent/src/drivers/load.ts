/** Finds the driver of a name, and loads its folder when it is the first one that is asked for. */
import { AppError } from "@myelin/kernel";
import type { AnyDriver } from "./adapter.js";
import { drivers } from "./registry.js";

/** @throws AppError `hardware.unfit` for a name that no driver has */
export async function loadDriver(name: string): Promise<AnyDriver> {
  const [folder = ""] = name.split("-");
  if (!Object.hasOwn(drivers, folder)) throw unknown(name, Object.keys(drivers));
  const found = await drivers[folder as keyof typeof drivers]();
  const driver = found.drivers.find((one) => one.name === name);
  if (driver !== undefined) return driver;
  throw unknown(
    name,
    found.drivers.map((one) => one.name),
  );
}

function unknown(name: string, known: readonly string[]): AppError {
  return new AppError("hardware.unfit", `there is no driver ${name}; known are ${known.join(", ")}`);
}
