/** CPU time and memory of processes, as the kernel counts them (Linux, proc(5)). */
import { readdirSync, readFileSync } from "node:fs";

// USER_HZ: what the kernel shows to programs is 100 on every architecture Node runs on.
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat that the bench needs; undefined when the process is gone. */
export interface ProcessStat {
  readonly parent: number;
  readonly cpuSeconds: number;
}

/** `text` is the content of /proc/PID/stat. The name in brackets may hold spaces and brackets itself. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // Counted from the third field, state: 4 is ppid, 14 utime, 15 stime in proc(5).
  return {
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
  };
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    // Gone between listing and reading.
    return undefined;
  }
}

/** The processes themselves and all that descend from them. */
export function withDescendants(pids: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    const parent = Number.isInteger(pid) ? readStat(pid)?.parent : undefined;
    if (parent === undefined) continue;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [pid]);
    else siblings.push(pid);
  }
  const found = new Set(pids);
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child);
  return [...found];
}

/** User and system time of all threads of these processes, in seconds, each pid once. */
export function cpuSecondsOf(pids: readonly number[]): number {
  return [...new Set(pids)].reduce((sum, pid) => sum + (readStat(pid)?.cpuSeconds ?? 0), 0);
}

/** `rssBytes` counts shared pages once per process, `pssBytes` divides them among those who share. */
export interface Memory {
  readonly rssBytes: number;
  readonly pssBytes: number;
}

/** `text` is the content of /proc/PID/smaps_rollup. */
export function parseSmapsRollup(text: string): Memory {
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return { rssBytes: field("Rss"), pssBytes: field("Pss") };
}

/** Memory of all these processes together, each pid once; one that is gone counts nothing. */
export function memoryOf(pids: readonly number[]): Memory {
  let rssBytes = 0;
  let pssBytes = 0;
  for (const pid of new Set(pids)) {
    try {
      const memory = parseSmapsRollup(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"));
      rssBytes += memory.rssBytes;
      pssBytes += memory.pssBytes;
    } catch {
      // ESRCH or ENOENT: the process ended.
    }
  }
  return { rssBytes, pssBytes };
}
