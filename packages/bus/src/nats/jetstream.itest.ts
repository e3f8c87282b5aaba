import {
  BatchView,
  BUCKETS,
  createChannel,
  EMPTY_HEAD,
  partitionOf,
  STREAMS,
  subjects,
} from "@myelin/contract";
import type { AppError } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { afterEach, describe, expect, test } from "vitest";
import type { Bus, EventConsumer, EventDelivery, EventSender, EventTicket } from "../api.js";
import { createEventConsumer } from "./event-consumer.js";
import { createEventSender } from "./event-transport.js";
import { openKeyValue } from "./key-value.js";
import { createBus } from "./nats-bus.js";
import { createStreamWriter } from "./stream-writer.js";
import { ensureStreams, type StreamOverrides } from "./streams.js";

const MIB = 1024 * 1024;
const PARTITIONS = 2;
const SMALL: StreamOverrides = { maxBytes: 256 * MIB };
const ALL_SMALL = Object.fromEntries(Object.keys(STREAMS).map((name) => [name, SMALL]));

const started: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const component of started.splice(0).reverse()) await component.stop();
});

async function connect(nats: NatsServer, instance = "test-0"): Promise<Bus> {
  const bus = createBus({ servers: [nats.url], instance, service: "test", logger: silentLogger });
  started.push(bus);
  await bus.start(AbortSignal.timeout(10_000));
  return bus;
}

async function setUp(nats: NatsServer, events: StreamOverrides = SMALL): Promise<Bus> {
  const bus = await connect(nats);
  const streams = { ...ALL_SMALL, events };
  await ensureStreams(bus, { partitions: PARTITIONS, streams });
  return bus;
}

async function sender(bus: Bus): Promise<EventSender> {
  const made = createEventSender(bus, { partitions: PARTITIONS });
  started.push(made);
  await made.start(AbortSignal.timeout(10_000));
  return made;
}

async function consumer(
  bus: Bus,
  epoch: number,
  handler: (delivery: EventDelivery) => void,
  partition = 0,
): Promise<EventConsumer> {
  const made = createEventConsumer(bus, { partition, epoch });
  started.push(made);
  made.onDelivery(handler);
  await made.start(AbortSignal.timeout(10_000));
  return made;
}

const devices = ["a", "b", "c", "d"].map((deviceId, i) =>
  createChannel(i + 1, { ...EMPTY_HEAD, deviceId }, partitionOf("", deviceId, PARTITIONS)),
);

/** Numbers in batch order. */
function numbersOf(data: Uint8Array): number[] {
  const view = new BatchView().reset(data);
  const numbers: number[] = [];
  while (view.next()) numbers.push(view.payload().readUInt32LE());
  return numbers;
}

class Outcomes implements EventTicket {
  readonly byNumber = new Map<number, string>();
  doubled = 0;
  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      if (this.byNumber.has(numbers[i]!)) this.doubled++;
      this.byNumber.set(numbers[i]!, error?.code ?? "stored");
    }
  }
  count(outcome: string): number {
    return [...this.byNumber.values()].filter((value) => value === outcome).length;
  }
}

/** Appends numbered events until told to stop, in small groups and as the clock ticks, as devices do. */
class Load {
  readonly outcomes = new Outcomes();
  readonly appended = devices.map(() => [] as number[]);
  next = 0;
  readonly #clock: NodeJS.Timeout;

  constructor(to: EventSender, payloadBytes = 100) {
    this.#clock = setInterval(() => {
      for (let i = 0; i < 50 && !to.congested; i++) this.#append(to, payloadBytes);
    }, 1);
  }
  #append(to: EventSender, payloadBytes: number): void {
    const n = this.next++;
    const payload = Buffer.alloc(payloadBytes);
    payload.writeUInt32LE(n);
    to.append(devices[n % devices.length]!, payload, 0, payloadBytes, this.outcomes, n);
    this.appended[n % devices.length]!.push(n);
  }
  end(): void {
    clearInterval(this.#clock);
  }
}

/** What an owner sees, and whether it was in order. */
class Seen {
  readonly numbers: number[] = [];
  readonly doubles: number[] = [];
  readonly #known = new Set<number>();
  lastSequence = 0;
  lastOrdinal = 0;
  gaps = 0;

  readonly take = (delivery: EventDelivery): void => {
    const { hop } = new BatchView().reset(delivery.data);
    if (hop.sequence !== this.lastSequence + 1 || hop.firstOrdinal !== this.lastOrdinal) this.gaps++;
    this.lastSequence = hop.sequence;
    this.lastOrdinal = hop.firstOrdinal + hop.count;
    for (const n of numbersOf(delivery.data)) {
      if (this.#known.has(n)) this.doubles.push(n);
      this.#known.add(n);
      this.numbers.push(n);
    }
    delivery.ack();
  };
}

const ordered = (numbers: readonly number[]): boolean =>
  numbers.every((n, i) => i === 0 || numbers[i - 1]! < n);

describe("the event lane", () => {
  test("stores before it says so and delivers in order", async () => {
    await using nats = await startNats({ syncInterval: "always" });
    const bus = await setUp(nats);
    const seen = [new Seen(), new Seen()] as const;
    for (const p of [0, 1]) await consumer(bus, 1, seen[p]!.take, p);
    const load = new Load(await sender(bus));
    await waitFor(() => load.outcomes.count("stored") > 5_000, { what: "stored events", deadlineMs: 20_000 });
    load.end();
    await waitFor(() => seen[0].numbers.length + seen[1].numbers.length === load.next, {
      what: "all events",
    });
    expect(load.outcomes.count("stored")).toBe(load.next);
    for (const { numbers, doubles, gaps } of seen) {
      expect(ordered(numbers)).toBe(true);
      expect({ doubles, gaps }).toEqual({ doubles: [], gaps: 0 });
    }
  });

  test("settles every event once when NATS is killed under load, and what it called stored is there, gapless", async () => {
    await using nats = await startNats({ syncInterval: "always" });
    const bus = await setUp(nats);
    const load = new Load(await sender(bus));
    for (let round = 1; round <= 3; round++) {
      const before = load.outcomes.count("stored");
      const enough = () => load.outcomes.count("stored") > before + 1_000;
      await waitFor(enough, { what: `events of round ${round}`, deadlineMs: 30_000 });
      await nats.restart();
    }
    load.end();
    const settled = () => load.outcomes.byNumber.size === load.next;
    await waitFor(settled, { what: "all answers", deadlineMs: 30_000 });
    expect(load.outcomes.doubled).toBe(0);
    expect(load.outcomes.count("stored")).toBe(load.next);
    const seen = [new Seen(), new Seen()] as const;
    for (const p of [0, 1]) await consumer(bus, 1, seen[p]!.take, p);
    const total = () => seen[0].numbers.length + seen[1].numbers.length >= load.next;
    await waitFor(total, { what: "the whole stream", deadlineMs: 30_000 });
    for (const { numbers, doubles, gaps } of seen) {
      expect(ordered(numbers)).toBe(true);
      expect({ doubles, gaps }).toEqual({ doubles: [], gaps: 0 });
    }
  });

  test("refuses new events when the stream is full, discards none, and goes on when there is room", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats, { maxBytes: 2 * MIB });
    const load = new Load(await sender(bus), 10_000);
    const refused = () => load.outcomes.count("bus.stream_full") > 100;
    await waitFor(refused, { what: "refusals", deadlineMs: 20_000 });
    expect(load.outcomes.count("stored")).toBeGreaterThan(50);
    const seen = [new Seen(), new Seen()] as const;
    for (const p of [0, 1]) await consumer(bus, 1, seen[p]!.take, p);
    const before = load.outcomes.count("stored");
    await waitFor(() => load.outcomes.count("stored") > before + 500, {
      what: "room again",
      deadlineMs: 20_000,
    });
    load.end();
    await waitFor(() => load.outcomes.byNumber.size === load.next, {
      what: "all answers",
      deadlineMs: 20_000,
    });
    const stored = [...load.outcomes.byNumber].filter(([, outcome]) => outcome === "stored").map(([n]) => n);
    const got = () => seen[0].numbers.length + seen[1].numbers.length >= stored.length;
    await waitFor(got, { what: "what was stored" });
    expect([...seen[0].numbers, ...seen[1].numbers].sort((x, y) => x - y)).toEqual(
      stored.sort((x, y) => x - y),
    );
    for (const { doubles, gaps, numbers } of seen) {
      expect(ordered(numbers)).toBe(true);
      expect({ doubles, gaps }).toEqual({ doubles: [], gaps: 0 });
    }
    expect(load.outcomes.count("stored") + load.outcomes.count("bus.stream_full")).toBe(load.next);
  });

  test("waits for a frozen NATS without telling anybody anything, then settles everything", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const load = new Load(await sender(bus));
    await waitFor(() => load.outcomes.count("stored") > 500, { what: "stored events", deadlineMs: 20_000 });
    await nats.pause();
    await waitFor(() => !bus.connected, { what: "the silence to be noticed", deadlineMs: 15_000 });
    const during = load.outcomes.byNumber.size;
    expect(load.outcomes.count("stored")).toBe(during);
    nats.resume();
    await waitFor(() => load.outcomes.count("stored") > during + 500, { what: "more", deadlineMs: 20_000 });
    load.end();
    await waitFor(() => load.outcomes.byNumber.size === load.next, {
      what: "all answers",
      deadlineMs: 20_000,
    });
    const seen = [new Seen(), new Seen()] as const;
    for (const p of [0, 1]) await consumer(bus, 1, seen[p]!.take, p);
    await waitFor(() => seen[0].numbers.length + seen[1].numbers.length >= load.next, { what: "the stream" });
    for (const { doubles, gaps, numbers } of seen) {
      expect(ordered(numbers)).toBe(true);
      expect({ doubles, gaps }).toEqual({ doubles: [], gaps: 0 });
    }
  });
});

describe("the event consumer", () => {
  test("holds no more than its bounds and goes on as batches are acknowledged", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const writer = createStreamWriter(bus);
    for (let n = 0; n < 60; n++) await writer.store(subjects.eventBatch(0), Buffer.alloc(100_000), `m${n}`);
    const deliveries: EventDelivery[] = [];
    const made = createEventConsumer(bus, {
      partition: 0,
      epoch: 1,
      maxMessages: 1_000,
      maxBytes: 1_000_000,
    });
    started.push(made);
    made.onDelivery((delivery) => deliveries.push(delivery));
    await made.start(AbortSignal.timeout(10_000));
    await waitFor(() => deliveries.length >= 5, { what: "a first share" });
    await bus.flush();
    expect(made.pending * 100_000).toBeLessThanOrEqual(1_000_000);
    expect(await made.hasAll()).toBe(false);
    for (let n = 0; n < 60; n++) {
      await waitFor(() => deliveries.length > n, { what: `delivery ${n}` });
      expect(made.pending).toBeLessThanOrEqual(10);
      deliveries[n]!.ack();
      deliveries[n]!.ack();
    }
    expect([made.pending, await made.hasAll()]).toEqual([0, true]);
    expect(deliveries.map((delivery) => delivery.streamSequence)).toEqual(
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
  });

  test("goes on in order after NATS was killed with batches in hand, and delivers none twice", async () => {
    await using nats = await startNats({ syncInterval: "always" });
    const bus = await setUp(nats);
    const writer = createStreamWriter(bus);
    for (let n = 1; n <= 30; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
    const deliveries: EventDelivery[] = [];
    const made = await consumer(bus, 1, (delivery) => deliveries.push(delivery));
    await waitFor(() => deliveries.length === 30, { what: "all batches" });
    for (const n of [0, 1, 5, 7]) deliveries[n]!.ack();
    await nats.kill();
    // Acknowledged while NATS is away: the server must learn of it afterwards.
    for (const n of [2, 3, 4]) deliveries[n]!.ack();
    await nats.restart();
    await waitFor(() => bus.connected, { what: "the connection", deadlineMs: 15_000 });
    for (let n = 31; n <= 40; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
    await waitFor(() => deliveries.length === 40, { what: "the later batches", deadlineMs: 15_000 });
    expect(deliveries.map((delivery) => delivery.data.toString())).toEqual(
      Array.from({ length: 40 }, (_, i) => `m${i + 1}`),
    );
    for (const delivery of deliveries) delivery.ack();
    expect(await made.drain(5_000)).toBe(true);
    const again: EventDelivery[] = [];
    await consumer(bus, 2, (delivery) => again.push(delivery));
    await writer.store(subjects.eventBatch(0), Buffer.from("last"), "last");
    await waitFor(() => again.length > 0, { what: "the last batch" });
    expect(again.map((delivery) => delivery.data.toString())).toEqual(["last"]);
  });

  test("hands over under load without loss, double or disorder", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const load = new Load(await sender(bus));
    const seen = new Seen();
    let current = await consumer(bus, 1, seen.take);
    for (let epoch = 2; epoch <= 6; epoch++) {
      const before = seen.numbers.length;
      await waitFor(() => seen.numbers.length > before + 500, { what: `events of epoch ${epoch - 1}` });
      expect(await current.drain(5_000)).toBe(true);
      current = await consumer(bus, epoch, seen.take);
    }
    load.end();
    const mine = devices.flatMap((device, i) => (device.partition === 0 ? load.appended[i]! : []));
    await waitFor(() => seen.numbers.length >= mine.length, { what: "all events" });
    expect(ordered(seen.numbers)).toBe(true);
    expect(seen.numbers).toHaveLength(mine.length);
    expect(seen.doubles).toEqual([]);
  });

  test("gives what a dead owner held to the next one at once, in order and marked, and shuts the old one out", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const writer = createStreamWriter(bus);
    for (let n = 1; n <= 10; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
    const first: EventDelivery[] = [];
    const old = await consumer(await connect(nats, "old"), 1, (delivery) => first.push(delivery));
    await waitFor(() => first.length === 10, { what: "the first owner's batches" });
    first[0]!.ack();
    first[4]!.ack();
    await bus.flush();
    const second: EventDelivery[] = [];
    await consumer(await connect(nats, "new"), 2, (delivery) => second.push(delivery));
    for (let n = 11; n <= 15; n++) await writer.store(subjects.eventBatch(0), Buffer.from(`m${n}`), `m${n}`);
    await waitFor(() => second.length === 13, { what: "the second owner's batches" });
    expect(second.map(({ data, redelivered }) => `${data}${redelivered ? "!" : ""}`)).toEqual(
      "m2! m3! m4! m6! m7! m8! m9! m10! m11 m12 m13 m14 m15".split(" "),
    );
    expect(first).toHaveLength(10);
    await old.stop();
    const late = createEventConsumer(bus, { partition: 0, epoch: 1 });
    await expect(late.start(AbortSignal.timeout(5_000))).rejects.toMatchObject({ code: "bus.stale_epoch" });
  });

  test("goes on by itself when somebody deletes its consumer", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const writer = createStreamWriter(bus);
    const got: string[] = [];
    await consumer(bus, 1, (delivery) => {
      got.push(delivery.data.toString());
      delivery.ack();
    });
    await writer.store(subjects.eventBatch(0), Buffer.from("before"), "1");
    await waitFor(() => got.length === 1, { what: "the first batch" });
    const deletion = `$JS.API.CONSUMER.DELETE.${STREAMS.events.name}.owner-0-1`;
    await bus.request(deletion, Buffer.alloc(0), 2_000);
    await writer.store(subjects.eventBatch(0), Buffer.from("after"), "2");
    await waitFor(() => got.length === 2, { what: "the second batch", deadlineMs: 10_000 });
    expect(got).toEqual(["before", "after"]);
  });

  test("delivers again, locally and after the delay, what its owner gave back", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    let tries = 0;
    const made = await consumer(bus, 1, (delivery) => {
      tries += 1;
      if (tries < 3) delivery.nak(20);
      else delivery.ack();
    });
    await createStreamWriter(bus).store(subjects.eventBatch(0), Buffer.from("x"), "x");
    await waitFor(() => tries === 3 && made.pending === 0, { what: "the third try" });
  });
});

describe("streams and buckets", () => {
  test("are made by many at once, and hold a deployment to its number of partitions", async () => {
    await using nats = await startNats();
    const buses = await Promise.all(["a", "b", "c"].map((instance) => connect(nats, instance)));
    const streams = ALL_SMALL;
    await Promise.all(buses.map((bus) => ensureStreams(bus, { partitions: 8, streams })));
    await ensureStreams(buses[0]!, { partitions: 8, streams });
    for (const partitions of [4, 16]) {
      await expect(ensureStreams(buses[1]!, { partitions, streams })).rejects.toMatchObject({
        code: "config.invalid",
        details: { path: "partitions", value: partitions },
      });
    }
    const jsz = (await (await fetch(`${nats.monitorUrl}/jsz?streams=true&config=true`)).json()) as {
      account_details: { stream_detail: { name: string; config: Record<string, unknown> }[] }[];
    };
    const details = jsz.account_details[0]!.stream_detail;
    for (const spec of Object.values(STREAMS)) {
      const config = details.find((stream) => stream.name === spec.name)!.config;
      expect(config).toMatchObject({
        retention: spec.retention === "work" ? "workqueue" : "limits",
        discard: spec.whenFull === "refuse_new" ? "new" : "old",
        storage: "file",
        max_bytes: SMALL.maxBytes,
        duplicate_window: spec.duplicateWindowMs * 1_000_000,
      });
    }
  });

  test("write many keys as one, all or none, and erase without a trace", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const bucket = await openKeyValue(bus, BUCKETS.devices);
    const entry = (key: string, expected = 0) => ({ key, value: Buffer.from(key), expected });
    const keys = Array.from({ length: 1_000 }, (_, i) => `0.k${i}`);
    const revisions = await bucket.putAll(keys.map((key) => entry(key)));
    expect(revisions).toEqual(keys.map((_, i) => revisions[0]! + i));
    expect(await bucket.get("0.k7")).toMatchObject({ revision: revisions[7], value: Buffer.from("0.k7") });
    const wrong = bucket.putAll([entry("0.new"), entry("0.k1", 5_000), entry("0.other")]);
    await expect(wrong).rejects.toMatchObject({ code: "store.conflict" });
    expect([await bucket.get("0.new"), await bucket.get("0.other")]).toEqual([undefined, undefined]);

    const later = await bucket.put("0.k1", Buffer.from("later"), revisions[1]);
    await bucket.erase("0.k1", revisions[1]!);
    expect(await bucket.get("0.k1")).toMatchObject({ revision: later });
    await bucket.erase("0.k1", later);
    expect(await bucket.get("0.k1")).toBeUndefined();
    expect((await bucket.putAll([entry("0.k1"), entry("0.new")])).length).toBe(2);
  });

  test("store a message id once", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const writer = createStreamWriter(bus);
    const subject = subjects.unroutedBatch(1);
    const sequence = await writer.store(subject, Buffer.from("x"), "same");
    expect(await writer.store(subject, Buffer.from("x"), "same")).toBe(sequence);
    await expect(writer.store("mln.nowhere", Buffer.from("x"), "1")).rejects.toMatchObject({
      code: expect.stringMatching(/^bus\.(stream_unavailable|no_responders)$/) as string,
    });
  });

  test("keep values, compare revisions and tell of changes", async () => {
    await using nats = await startNats();
    const bus = await setUp(nats);
    const store = await openKeyValue(bus, BUCKETS.apps);
    const bytes = (text: string): Buffer => Buffer.from(text);
    expect(await store.get("x")).toBeUndefined();
    expect(await store.entries()).toEqual([]);
    const first = await store.put("x", bytes("1"), 0);
    await expect(store.put("x", bytes("2"), 0)).rejects.toMatchObject({ code: "store.conflict" });
    const second = await store.put("x", bytes("2"), first);
    await expect(store.put("x", bytes("3"), first)).rejects.toMatchObject({ code: "store.conflict" });
    expect(await store.get("x")).toMatchObject({ revision: second, value: bytes("2") });
    await store.put("y", bytes("1"));
    const entries = await store.entries();
    expect(entries.map(({ key, value }) => `${key}=${Buffer.from(value)}`).sort()).toEqual(["x=2", "y=1"]);
    const end = new AbortController();
    const changes: string[] = [];
    const watching = (async () => {
      for await (const { key, value } of store.watch(end.signal)) {
        changes.push(`${key}=${value === undefined ? "-" : Buffer.from(value)}`);
      }
    })();
    await waitFor(() => changes.length === 2, { what: "the values there are" });
    await store.delete("x");
    await waitFor(() => changes.length === 3, { what: "the change" });
    expect(changes).toEqual(["x=2", "y=1", "x=-"]);
    expect(await store.get("x")).toBeUndefined();
    expect((await store.entries()).map(({ key }) => key)).toEqual(["y"]);
    await store.put("x", bytes("again"), 0);
    end.abort();
    await watching;
    await nats.kill();
    await waitFor(() => !bus.connected, { what: "the loss" });
    await expect(store.get("x")).rejects.toMatchObject({ code: "bus.disconnected" });
  });
});
