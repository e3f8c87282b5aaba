/** What `myelin up` becomes when everything is made ready: the box in the foreground until Ctrl-C. */
import { readFile } from "node:fs/promises";
import { banner } from "../box/banner.js";
import { Box, type BoxPlan, type Report } from "../box/box.js";
import { EXIT, note, outliveReader, print, printJson, reportError } from "../output.js";
import { releaseStartMemory } from "../release-memory.js";

/** What is handed over in a file: plain data. */
export interface Supervision {
  readonly plan: BoxPlan;
  readonly json: boolean;
  readonly command: string;
  /** When the command was given, as `performance.timeOrigin` counts. */
  readonly startedMs: number;
}

/** Tells an operator one sentence a line. */
export function reporter(json: boolean): Report {
  return (line) => note(json ? JSON.stringify({ event: line }) : line);
}

/** Runs until SIGINT, SIGTERM or SIGHUP and gives the exit code; a second signal does not wait for the drain. */
export async function supervise(file: string): Promise<number> {
  outliveReader();
  const asked = stopRequest();
  const { plan, json, command, startedMs } = JSON.parse(await readFile(file, "utf8")) as Supervision;
  const report = reporter(json);
  const box = new Box(plan, report);
  try {
    const started = await Promise.race([box.start(), asked]);
    if (started !== undefined) {
      const tookMs = performance.timeOrigin + performance.now() - startedMs;
      if (json) printJson(started);
      else for (const line of banner(started, plan, command, tookMs)) print(line);
      releaseStartMemory();
      await asked;
    }
    report("Draining; a second Ctrl-C ends at once.");
    await box.stop();
    return EXIT.ok;
  } catch (error) {
    return reportError(error, json);
  }
}

/** npm and the terminal both pass Ctrl-C on, so the first one arrives twice within a moment. */
const SAME_SIGNAL_MS = 500;

/** Resolves at the first signal; a later one ends the process, whose children then end by their closed channel. */
function stopRequest(): Promise<undefined> {
  return new Promise((resolve) => {
    let first: number | undefined;
    const onSignal = (): void => {
      const now = performance.now();
      first ??= now;
      if (now - first > SAME_SIGNAL_MS) process.exit(EXIT.failed);
      resolve(undefined);
    };
    // SIGHUP: its terminal was closed.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, onSignal);
  });
}
