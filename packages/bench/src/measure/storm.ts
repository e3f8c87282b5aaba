/** Many clients connect as fast as they are let in, on an otherwise idle system or beside traffic that must not notice. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { Driver } from "../driver/driver.js";
import type { Running } from "../systems/system.js";
import { latencyFigures, numberIn } from "./reports.js";
import { type Figures, significant } from "./stats.js";

const CONNECT_MS = 120_000;
const KEEP_ALIVE_SECONDS = 60;
const PUBLISHERS = 50;

/** With `ratePerSecond` so many QoS 0 messages run from MQTT to MQTT meanwhile, and their latency is measured. */
export interface StormOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly connections: number;
  readonly ratePerSecond?: number;
  readonly payloadBytes: number;
  readonly warmUpSeconds: number;
}

/**
 * Figures: `connects_per_second` (from the first TCP connect to the last CONNACK), `refused_tries`, and with traffic the latency of
 * messages that were delivered while clients connected.
 * @throws AppError `setup.process_failed` when not all of them stand at the end
 */
export async function measureStorm(options: StormOptions): Promise<Figures> {
  const { driver, running, connections } = options;
  const port = running.mqttPort;
  await using traffic = new AsyncDisposableStack();
  const { ratePerSecond } = options;
  const subscriber =
    ratePerSecond === undefined
      ? undefined
      : traffic.use(await driver.start("subscribe", { port, connections: 1, client: "sub-", stamp: true }));
  if (ratePerSecond !== undefined) {
    traffic.use(
      await driver.start("publish", {
        port,
        connections: PUBLISHERS,
        payload: options.payloadBytes,
        rate: ratePerSecond,
        stamp: true,
      }),
    );
    await delay(options.warmUpSeconds * 1000);
    await subscriber?.reset();
  }
  await using holder = await driver.start(
    "idle",
    { port, connections, protocol: "mqtt", keepalive: KEEP_ALIVE_SECONDS },
    CONNECT_MS,
  );
  const delivered = await subscriber?.snapshot();
  const stood = await holder.snapshot();
  if (numberIn(stood, "open") !== connections) {
    throw new AppError(
      "setup.process_failed",
      `${numberIn(stood, "open")} of ${connections} connections stood (${String(stood.error)})`,
    );
  }
  return {
    connects_per_second: significant(connections / numberIn(stood, "connect_seconds")),
    refused_tries: numberIn(stood, "retries"),
    ...(delivered === undefined ? {} : latencyFigures(delivered)),
  };
}
