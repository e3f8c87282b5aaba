/** Commands to devices that answer at once, on a schedule, from the request to VERIFIED. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { Commanded } from "../systems/system.js";
import { latencyFigures, numberIn } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { coresBetween, readCpu } from "./usage.js";

export interface CommandsOptions {
  readonly running: Commanded;
  readonly ratePerSecond: number;
  readonly devices: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Figures: `p50_ms`, `p99_ms`, `p999_ms` from schedule to VERIFIED, `verified_per_second`, `failed`, `system_cores`, `driver_cores`. */
export async function measureCommands(options: CommandsOptions): Promise<Figures> {
  const { running, ratePerSecond, devices, seconds } = options;
  await using commander = await running.commander(devices, ratePerSecond);
  await delay(options.warmUpSeconds * 1000);
  const before = await commander.reset();
  const from = readCpu(running);
  await delay(seconds * 1000);
  const cores = coresBetween(from, readCpu(running));
  const measured = await commander.snapshot();
  const failed = numberIn(measured, "failed");
  if (failed > 0 && numberIn(measured, "received") === 0)
    throw new AppError("setup.process_failed", `no command was verified: ${String(measured.last_failure)}`);
  const driverCores = (numberIn(measured, "cpu_seconds") - numberIn(before, "cpu_seconds")) / seconds;
  return {
    ...latencyFigures(measured),
    verified_per_second: significant(numberIn(measured, "received") / seconds),
    failed,
    system_cores: significant(cores, 3),
    driver_cores: significant(driverCores, 3),
  };
}
