/** `myelin up`: the box in the foreground until Ctrl-C. */
import { availableParallelism } from "node:os";
import { AppError } from "@myelin/kernel";
import { banner } from "../box/banner.js";
import { Box } from "../box/box.js";
import { type BoxLayout, boxLayout, boxPorts, MAX_LISTENER_WORKERS } from "../box/layout.js";
import type { Durability } from "../box/nats-conf.js";
import { EXIT, note, print, printJson } from "../output.js";
import { releaseStartMemory } from "../release-memory.js";

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
}

/** Runs until SIGINT or SIGTERM; a second signal does not wait for the drain. */
export async function up(options: UpOptions): Promise<number> {
  const layout: BoxLayout = boxLayout(options.dataDir);
  const ports = boxPorts(options.portOffset);
  const highest = Math.max(...Object.values(ports)) + MAX_LISTENER_WORKERS;
  if (highest > 65_535 || Math.min(...Object.values(ports)) < 1) {
    throw new AppError(
      "config.invalid",
      `--port-offset ${options.portOffset} moves a port out of 1 to 65535.`,
    );
  }
  const report = (line: string): void => note(options.json ? JSON.stringify({ event: line }) : line);
  const box = new Box({
    layout,
    ports,
    host: options.host,
    durability: options.durability,
    partitions: options.partitions,
    workers: options.workers ?? Math.min(MAX_LISTENER_WORKERS, Math.max(1, availableParallelism() - 1)),
    maxStoreBytes: options.maxStore,
    natsServer: options.natsServer,
    self: [process.execPath, ...process.execArgv, process.argv[1] as string],
    version: options.version,
    report,
  });
  const asked = stopRequest();
  const began = performance.now();
  const started = await Promise.race([box.start(), asked]);
  if (started !== undefined) {
    if (options.json) printJson(started);
    else for (const line of banner(started, layout, options, performance.now() - began)) print(line);
    releaseStartMemory();
    await asked;
  }
  report("Draining; a second Ctrl-C ends at once.");
  await box.stop();
  return EXIT.ok;
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
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}
