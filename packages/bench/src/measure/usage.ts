/** What a running system uses of the machine. */
import { cpuSecondsOf, type Memory, memoryOf, withDescendants } from "../process/proc.js";
import type { Running } from "../systems/system.js";

/** CPU time of the system's processes and their children so far, with the time at which it was read. */
export interface CpuReading {
  readonly timeNs: bigint;
  readonly seconds: number;
}

export function readCpu(running: Running): CpuReading {
  return { timeNs: process.hrtime.bigint(), seconds: cpuSecondsOf(withDescendants(running.pids())) };
}

/** CPU seconds used per second between two readings: 1 is one busy core. */
export function coresBetween(from: CpuReading, to: CpuReading): number {
  return (to.seconds - from.seconds) / (Number(to.timeNs - from.timeNs) / 1e9);
}

export function readMemory(running: Running): Memory {
  return memoryOf(withDescendants(running.pids()));
}

/** Memory per duty, for systems of several processes; empty for those of one. */
export function readMemoryByRole(running: Running): Readonly<Record<string, Memory>> {
  const roles = running.roles?.() ?? {};
  return Object.fromEntries(
    Object.entries(roles).map(([role, pids]) => [role, memoryOf(withDescendants(pids))]),
  );
}
