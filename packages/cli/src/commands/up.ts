/** `myelin up`: sees that a box can start, then becomes the supervisor that runs it. */
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { AppError, sharesPorts, usefulWorkers } from "@myelin/kernel";
import { boxLayout, boxPorts, MAX_LISTENER_WORKERS } from "../box/layout.js";
import type { Durability } from "../box/nats-conf.js";
import { preflight } from "../box/preflight.js";
import { EXIT } from "../output.js";
import { SUPERVISE } from "../service-names.js";
import { reporter, type Supervision, supervise } from "./supervise.js";

export interface UpOptions {
  readonly dataDir: string;
  readonly portOffset: number;
  readonly host: string;
  readonly durability: Durability;
  readonly partitions: number;
  readonly workers?: number;
  readonly maxStore: number;
  readonly natsServer: string;
  readonly json: boolean;
  readonly version: string;
  readonly command: string;
}

/** A supervisor has no work that a compiler could make faster: compilers alone would be 3 MB of it. */
const SUPERVISOR_FLAGS = ["--jitless", "--max-semi-space-size=1"];
/** Time for the sentence about a hanging disk to be written. */
const LAST_WORDS_MS = 500;

/**
 * Runs until SIGINT or SIGTERM.
 * @throws AppError `setup.*`, `config.invalid`
 */
export async function up(options: UpOptions): Promise<number> {
  const startedMs = performance.timeOrigin;
  const layout = boxLayout(options.dataDir);
  const self = process.argv[1] as string;
  const draft = {
    layout,
    ports: boxPorts(options.portOffset),
    host: options.host,
    durability: options.durability,
    partitions: options.partitions,
    workers: workersFor(options.workers),
    maxStoreBytes: options.maxStore,
    natsServer: options.natsServer,
    self: [process.execPath, ...process.execArgv, self] as const,
    version: options.version,
  };
  try {
    const plan = await preflight(draft, reporter(options.json));
    const { json, command } = options;
    const supervision: Supervision = { plan, json, command, startedMs };
    await writeFile(layout.supervision, JSON.stringify(supervision, null, 2), { mode: 0o600 });
  } catch (error) {
    if (AppError.is(error) && error.code === "setup.disk_hangs") endInSpiteOfThreads(EXIT.unavailable);
    throw error;
  }
  // In the same process, so that whoever started it can signal it and wait for it; the memory that finding out all of the
  // above took is gone. Where the system has no such call, this image goes on.
  const flags = [...process.execArgv, ...SUPERVISOR_FLAGS];
  process.execve?.(process.execPath, [process.execPath, ...flags, self, SUPERVISE, layout.supervision]);
  return supervise(layout.supervision);
}

/** @throws AppError `config.invalid` for more workers than can share a port */
function workersFor(wanted: number | undefined): number {
  if (wanted !== undefined && wanted > 1 && !sharesPorts()) {
    throw new AppError(
      "config.invalid",
      `--workers ${wanted}: on ${process.platform} one process has a port to itself, so one worker is all there can be`,
    );
  }
  return wanted ?? usefulWorkers(availableParallelism(), MAX_LISTENER_WORKERS);
}

/** A call that hangs in the system keeps its thread, and an exit would wait for that; a new image does not. */
function endInSpiteOfThreads(code: number): void {
  setTimeout(() => process.execve?.("/bin/sh", ["sh", "-c", `exit ${code}`]), LAST_WORDS_MS).unref();
}
