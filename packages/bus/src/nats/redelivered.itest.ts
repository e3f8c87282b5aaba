import { subjects } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { afterEach, expect, test } from "vitest";
import type { Bus, EventConsumer, EventDelivery } from "../api.js";
import { createEventConsumer } from "./event-consumer.js";
import { createBus } from "./nats-bus.js";
import { createStreamWriter } from "./stream-writer.js";
import { ensureStreams } from "./streams.js";

const SMALL = { maxBytes: 64 * 1024 * 1024 };

const started: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const component of started.splice(0).reverse()) await component.stop();
});

async function connect(nats: NatsServer): Promise<Bus> {
  const bus = createBus({ servers: [nats.url], instance: "test-0", service: "test", logger: silentLogger });
  started.push(bus);
  await bus.start(AbortSignal.timeout(10_000));
  return bus;
}

async function consume(
  bus: Bus,
  epoch: number,
  handler: (delivery: EventDelivery) => void,
  maxMessages = 256,
): Promise<EventConsumer> {
  const made = createEventConsumer(bus, { partition: 0, epoch, maxMessages });
  started.push(made);
  made.onDelivery(handler);
  await made.start(AbortSignal.timeout(10_000));
  return made;
}

test("marks what any earlier owner was given, also when a later one was not given as much", async () => {
  await using nats = await startNats();
  const bus = await connect(nats);
  await ensureStreams(bus, {
    partitions: 1,
    streams: {
      events: SMALL,
      unrouted: SMALL,
      overflow: SMALL,
      dedupe: SMALL,
      sessions: SMALL,
      retained: SMALL,
    },
  });
  const writer = createStreamWriter(bus);
  for (let n = 1; n <= 10; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
  let first = 0;
  await consume(bus, 1, () => first++);
  await waitFor(() => first === 10, { what: "the first owner's batches" });
  let second = 0;
  await consume(bus, 2, () => second++, 4);
  await waitFor(() => second === 4, { what: "the second owner's batches" });
  const third: EventDelivery[] = [];
  await consume(bus, 3, (delivery) => third.push(delivery));
  await writer.store(subjects.eventBatch(0), Buffer.from("m11"), "m11");
  await waitFor(() => third.length === 11, { what: "the third owner's batches" });
  expect(third.map(({ redelivered }) => redelivered)).toEqual([...Array(10).fill(true), false]);
});

test("marks what an owner may have been given when NATS has forgotten it", async () => {
  await using nats = await startNats({ syncInterval: "always" });
  const bus = await connect(nats);
  await ensureStreams(bus, {
    partitions: 1,
    streams: {
      events: SMALL,
      unrouted: SMALL,
      overflow: SMALL,
      dedupe: SMALL,
      sessions: SMALL,
      retained: SMALL,
    },
  });
  const writer = createStreamWriter(bus);
  for (let n = 1; n <= 3; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
  let first = 0;
  const old = await consume(bus, 1, () => first++);
  await waitFor(() => first === 3, { what: "the first owner's batches" });
  await old.stop();
  await nats.kill();
  await nats.restart();
  await waitFor(() => bus.connected, { what: "the connection", deadlineMs: 15_000 });
  const second: EventDelivery[] = [];
  await consume(bus, 2, (delivery) => second.push(delivery));
  await writer.store(subjects.eventBatch(0), Buffer.from("m4"), "m4");
  await waitFor(() => second.length === 4, { what: "the second owner's batches" });
  expect(second.map(({ redelivered }) => redelivered)).toEqual([true, true, true, false]);
});
