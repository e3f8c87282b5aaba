/** The consuming end: the system's own app where it has one, else the driver subscribing over MQTT. */
import { AppError } from "@myelin/kernel";
import type { Driver } from "../driver/driver.js";
import type { ConsumeOptions, Consumer, Running } from "../systems/system.js";

/** Where the driver publishes, so where its subscriber listens. */
export const FILTER = "bench/#";

/** `gather` makes the driver's subscriber look once per millisecond, which spares message-by-message brokers wake-ups. */
export interface ReadingOptions {
  readonly gather?: boolean;
}

export function startConsumer(
  driver: Driver,
  running: Running,
  options: ConsumeOptions & ReadingOptions,
): Promise<Consumer> {
  if (running.consume !== undefined) return running.consume(options);
  if (running.mqttPort === undefined) {
    throw new AppError("internal.invalid_argument", "a system without MQTT must bring its own consumer");
  }
  return driver.start("subscribe", {
    port: running.mqttPort,
    connections: 1,
    client: "consumer-",
    filter: FILTER,
    qos: options.lane === "event" ? 1 : 0,
    stamp: options.stamp,
    gather: options.gather,
  });
}
