/** One latency run: messages on a schedule, each stamped with its scheduled time. */
import { setTimeout as delay } from "node:timers/promises";
import type { Driver } from "../driver/driver.js";
import type { Running } from "../systems/system.js";
import { startConsumer } from "./consume.js";
import { latencyFigures, numberIn } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { coresBetween, readCpu } from "./usage.js";

/** `ratePerSecond` is over all connections together. */
export interface LatencyOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly ratePerSecond: number;
  readonly connections: number;
  readonly payloadBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Figures: `p50_ms`, `p99_ms`, `p999_ms`, `max_ms` from schedule to consumer, `latency_samples`, `system_cores`. */
export async function measureLatency(options: LatencyOptions): Promise<Figures> {
  const { driver, running, ratePerSecond } = options;
  await using consumer = await startConsumer(driver, running, {
    lane: "telemetry",
    mode: "batch",
    stamp: true,
  });
  await using sender = await driver.start("publish", {
    port: running.mqttPort,
    connections: options.connections,
    payload: options.payloadBytes,
    topic: "bench/{c}/data",
    qos: 0,
    rate: ratePerSecond,
    stamp: true,
  });
  await delay(options.warmUpSeconds * 1000);
  await consumer.reset();
  const from = readCpu(running);
  await delay(options.seconds * 1000);
  const cores = coresBetween(from, readCpu(running));
  const measured = await consumer.snapshot();
  const sent = await sender.stop();
  return {
    // The driver stamps the schedule, so a system that pushes back cannot hide it by being sent less.
    ...latencyFigures(measured),
    sent_per_second: significant(numberIn(sent, "send_rate")),
    system_cores: significant(cores, 3),
  };
}
