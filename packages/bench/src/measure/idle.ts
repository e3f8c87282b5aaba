/** Memory of many connections on which nothing happens. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { Driver, DriverOptions } from "../driver/driver.js";
import type { Running } from "../systems/system.js";
import { numberIn } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { coresBetween, readCpu, readMemory, readMemoryByRole } from "./usage.js";

/** `settleSeconds` pass before each look at the memory, so that start-up garbage is not counted. */
export interface IdleOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly protocol: "mqtt" | "tcp";
  readonly connections: number;
  readonly settleSeconds: number;
  /** More options of the driver's role, such as a filter for each. */
  readonly more?: DriverOptions;
}

const CONNECT_MS = 300_000;
const KEEP_ALIVE_SECONDS = 60;

/**
 * Figures: `bytes_per_connection` over all processes, `<role>_bytes_per_connection` per duty, `connected`,
 * `connects_per_second`, `refused_tries` (a refused device comes again), `system_cores` while they only keep alive. Bytes are
 * proportional set size; `rss_bytes_per_connection` is the plain sum over the processes.
 * @throws AppError `setup.process_failed` when not all of them stand at the end: there is no honest quotient then.
 */
export async function measureIdle(options: IdleOptions): Promise<Figures> {
  const { driver, running, protocol, connections, settleSeconds } = options;
  await delay(settleSeconds * 1000);
  const before = { all: readMemory(running), roles: readMemoryByRole(running) };
  await using holder = await driver.start("idle", holderOptions(options), CONNECT_MS);
  const ready = await holder.snapshot();
  const from = readCpu(running);
  await delay(settleSeconds * 1000);
  const cores = coresBetween(from, readCpu(running));
  const after = { all: readMemory(running), roles: readMemoryByRole(running) };
  const held = await holder.stop();
  if (numberIn(held, "open") !== connections) {
    throw new AppError(
      "setup.process_failed",
      `${numberIn(held, "open")} of ${connections} ${protocol} connections stood (${String(held.error)})`,
    );
  }
  const figures: Record<string, number> = {
    connected: numberIn(held, "open"),
    refused_tries: numberIn(held, "retries"),
    connects_per_second: Math.round(numberIn(ready, "connected") / numberIn(ready, "connect_seconds")),
    // Pages that several processes share (the program itself) are there once: PSS counts them so, a sum of RSS does not.
    bytes_per_connection: Math.round((after.all.pssBytes - before.all.pssBytes) / connections),
    rss_bytes_per_connection: Math.round((after.all.rssBytes - before.all.rssBytes) / connections),
    rss_mb: significant(after.all.rssBytes / 1e6),
    system_cores: significant(cores, 3),
  };
  for (const [role, memory] of Object.entries(after.roles)) {
    const grown = memory.pssBytes - (before.roles[role]?.pssBytes ?? 0);
    figures[`${role}_bytes_per_connection`] = Math.round(grown / connections);
  }
  return figures;
}

function holderOptions({ running, protocol, connections, more }: IdleOptions): DriverOptions {
  const common = { connections, protocol, keepalive: KEEP_ALIVE_SECONDS, ...more };
  if (protocol === "mqtt") return { ...common, port: running.mqttPort };
  const hex = (bytes: Uint8Array | undefined): string | undefined =>
    bytes && Buffer.from(bytes).toString("hex");
  const { hello, ping } = running.tcpGreeting ?? {};
  return { ...common, port: running.tcpPort, hello: hex(hello), ping: hex(ping) };
}
