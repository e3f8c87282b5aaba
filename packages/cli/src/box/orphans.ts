/** Ends what a killed supervisor left behind, so that a new start finds its ports and its store free. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { BoxFile } from "./box-file.js";
import type { BoxLayout } from "./layout.js";
import { commandLine, isAlive } from "./process-id.js";

const TERM_WAIT_MS = 5_000;
const POLL_MS = 50;

/** Ends the processes that the last box file names, if they still are what it says. */
export async function endOrphans(layout: BoxLayout, report: (line: string) => void): Promise<void> {
  for (const child of (await lastBoxFile(layout))?.processes ?? []) {
    if (child.pid === undefined || !isAlive(child.pid) || !(await belongsTo(child.pid, layout))) continue;
    report(`${child.name} of an earlier start still runs (process ${child.pid}); ending it.`);
    await end(child.pid);
  }
}

async function lastBoxFile(layout: BoxLayout): Promise<BoxFile | undefined> {
  try {
    return JSON.parse(await readFile(layout.boxFile, "utf8")) as BoxFile;
  } catch {
    // No file, or torn: nothing is known about earlier processes, and the port check will name what is in the way.
    return undefined;
  }
}

/** Process ids are reused: its command line must name a file of this box. Only where /proc tells; elsewhere never kill. */
async function belongsTo(pid: number, layout: BoxLayout): Promise<boolean> {
  const args = await commandLine(pid);
  return args?.some((arg) => arg.includes(layout.run)) ?? false;
}

async function end(pid: number): Promise<void> {
  signal(pid, "SIGTERM");
  const deadline = performance.now() + TERM_WAIT_MS;
  while (isAlive(pid) && performance.now() < deadline) await sleep(POLL_MS);
  if (isAlive(pid)) signal(pid, "SIGKILL");
  while (isAlive(pid) && performance.now() < deadline + TERM_WAIT_MS) await sleep(POLL_MS);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone in between, which is what was wanted.
  }
}
