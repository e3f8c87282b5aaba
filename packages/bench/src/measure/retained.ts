/** How long a new wildcard subscriber waits for all retained messages. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { Driver } from "../driver/driver.js";
import type { Running } from "../systems/system.js";
import { numberIn } from "./reports.js";
import { type Figures, significant } from "./stats.js";

/** `messages` topics get one retained message each. */
export interface RetainedOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly messages: number;
  readonly payloadBytes: number;
  readonly qos: 0 | 1;
}

const PUBLISHED_MS = 60_000;
const GIVE_UP_MS = 20_000;
/** The first ones after the messages were published, while a store is still written: counted apart. */
const WARM_UP = 4;
const SUBSCRIBERS = 9;
const LOOK_EVERY_MS = 5;

/**
 * Figures: `first_ms` from SUBSCRIBE to the last of the messages for the first subscriber, which comes at once behind the last acknowledgement;
 * `all_ms` the same for later ones, the median of several one after the other; and `store_per_second`, how fast they were acknowledged as published.
 * @throws AppError `operation.timeout` when they do not all come: what is not kept is not measured.
 */
export async function measureRetained(options: RetainedOptions): Promise<Figures> {
  const { driver, running, messages } = options;
  const port = running.mqttPort;
  await using publisher = await driver.start("publish", {
    port,
    connections: 10,
    topics: messages,
    topic: "bench/{c}/{t}",
    payload: options.payloadBytes,
    qos: 1,
    window: 100,
    count: messages,
    retain: true,
  });
  const published = await publisher.report("done", PUBLISHED_MS);
  const every: number[] = [];
  for (let one = 0; one < WARM_UP + SUBSCRIBERS; one++) every.push(await oneSubscriber(options, one));
  const all = every.slice(WARM_UP).sort((a, b) => a - b);
  return {
    first_ms: significant(every[0]!),
    all_ms: significant(all[SUBSCRIBERS >> 1]!),
    store_per_second: significant(numberIn(published, "acked") / numberIn(published, "seconds")),
  };
}

async function oneSubscriber(options: RetainedOptions, number: number): Promise<number> {
  const { driver, running, messages, qos } = options;
  await using subscriber = await driver.start("subscribe", {
    port: running.mqttPort,
    connections: 1,
    client: `late-${number}-`,
    qos,
  });
  const end = performance.now() + GIVE_UP_MS;
  for (;;) {
    const seen = await subscriber.snapshot();
    const received = numberIn(seen, "received");
    if (received >= messages) return numberIn(seen, "since_subscribe") * 1000;
    if (performance.now() > end) {
      throw new AppError("operation.timeout", `${received} of ${messages} retained messages came`);
    }
    await delay(LOOK_EVERY_MS);
  }
}
