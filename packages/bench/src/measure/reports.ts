/** Reading numbers out of the control protocol's reports. */
import { AppError } from "@myelin/kernel";
import type { ControlReport } from "../process/controlled.js";

/** @throws AppError `internal.invalid_argument` when the report lacks the number: the two sides disagree. */
export function numberIn(report: ControlReport, field: string): number {
  const value = report[field];
  if (typeof value === "number") return value;
  throw new AppError("internal.invalid_argument", `a "${report.event}" report lacks the number ${field}`);
}

/** Both ends may be reports of different processes: the monotonic clock is the machine's. */
export function secondsBetween(from: ControlReport, to: ControlReport): number {
  return Number(BigInt(String(to.time_ns)) - BigInt(String(from.time_ns))) / 1e9;
}

/** How much the field grew per second between two reports of one process, by that process's own clock. */
export function rateBetween(from: ControlReport, to: ControlReport, field: string): number {
  return (numberIn(to, field) - numberIn(from, field)) / secondsBetween(from, to);
}

/** Latency as the driver and consuming apps report it, in milliseconds. */
export function latencyFigures(report: ControlReport, field = "latency"): Record<string, number> {
  const latency = report[field] as Readonly<Record<string, number>> | undefined;
  if (latency === undefined || !latency.count) return {};
  const figures: Record<string, number> = { latency_samples: latency.count };
  for (const name of ["p50", "p99", "p999", "max"]) {
    const value = latency[`${name}_us`];
    if (value !== undefined) figures[`${name}_ms`] = value / 1000;
  }
  return figures;
}
