import { BatchView, createChannel, EMPTY_HEAD, Lane, subjects } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import type { Bus, LinkAcker, LinkReader, Subscription, TelemetrySender } from "../api.js";
import { createLinkAcker } from "../link-acker.js";
import { createLinkReader } from "../link-reader.js";
import { createTelemetrySender } from "../telemetry-sender.js";
import { createBus } from "./nats-bus.js";

const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "a" }, 0);

async function connect(nats: NatsServer, instance: string): Promise<Bus> {
  const bus = createBus({ servers: [nats.url], instance, service: "test", logger: silentLogger });
  await bus.start(AbortSignal.timeout(10_000));
  return bus;
}

class Owner {
  received = 0;
  isOrdered = true;
  last = -1;
  readonly reader: LinkReader = createLinkReader();
  readonly #acker: LinkAcker;
  readonly #bus: Bus;
  #subscription: Subscription | undefined;

  constructor(bus: Bus, epoch: number, before?: Owner) {
    this.#bus = bus;
    this.#acker = createLinkAcker(bus, { lane: Lane.TELEMETRY, epoch });
    if (before === undefined) return;
    this.reader.restore(before.reader.positions());
    this.last = before.last;
  }
  async start(): Promise<this> {
    await this.#acker.start(AbortSignal.timeout(1_000));
    const view = new BatchView();
    this.#subscription = this.#bus.subscribe(subjects.telemetryBatch(0), (data) => {
      if (!this.reader.accept(view.reset(data))) return;
      while (view.next()) {
        const n = view.payload().readUInt32LE();
        if (n <= this.last) this.isOrdered = false;
        this.last = n;
        this.received++;
      }
      this.#acker.consumed(view);
    });
    await this.#bus.flush();
    return this;
  }
  /** Takes what is still on its way here, then says how far it came. */
  async leave(): Promise<void> {
    await this.#subscription?.drain();
    await this.#acker.stop();
  }
}

class Load {
  next = 0;
  readonly #clock: NodeJS.Timeout;
  constructor(sender: TelemetrySender) {
    const payload = Buffer.alloc(64);
    this.#clock = setInterval(() => {
      for (let i = 0; i < 200 && !sender.congested; i++) {
        payload.writeUInt32LE(this.next++);
        sender.append(channel, payload, 0, payload.length);
      }
    }, 1);
  }
  end(): void {
    clearInterval(this.#clock);
  }
}

const sum = (dropped: Record<string, number>): number => Object.values(dropped).reduce((a, b) => a + b, 0);

test("telemetry passes from owner to owner under load without loss, double or disorder", async () => {
  await using nats = await startNats({ jetstream: false });
  const [producer, first, second] = await Promise.all([
    connect(nats, "listener-0"),
    connect(nats, "dispatcher-0"),
    connect(nats, "dispatcher-1"),
  ]);
  const sender = createTelemetrySender(producer, { partitions: 1 });
  await sender.start(AbortSignal.timeout(1_000));
  let owner = await new Owner(first, 1).start();
  const owners = [owner];
  const load = new Load(sender);
  for (let epoch = 2; epoch <= 6; epoch++) {
    const enough = owner.received + 2_000;
    const current = owner;
    await waitFor(() => current.received > enough, { what: `telemetry of epoch ${epoch - 1}` });
    await owner.leave();
    owner = await new Owner(epoch % 2 === 0 ? second : first, epoch, owner).start();
    owners.push(owner);
  }
  load.end();
  const received = (): number => owners.reduce((total, o) => total + o.received, 0);
  await waitFor(() => received() === load.next, { what: "the rest" });
  expect(owners.every((o) => o.isOrdered)).toBe(true);
  expect(owners.reduce((total, o) => total + o.reader.lostInTransit, 0)).toBe(0);
  expect(sender.counters).toMatchObject({ received: load.next, forwarded: load.next, dropped: {} });
  await Promise.all([sender.stop(), owner.leave()]);
  await Promise.all([producer.stop(), first.stop(), second.stop()]);
});

test("telemetry is lost and counted, and not one message more, when NATS is killed under load", async () => {
  await using nats = await startNats({ jetstream: false });
  const [producer, consumer] = await Promise.all([
    connect(nats, "listener-0"),
    connect(nats, "dispatcher-0"),
  ]);
  const sender = createTelemetrySender(producer, { partitions: 1 });
  await sender.start(AbortSignal.timeout(1_000));
  const owner = await new Owner(consumer, 1).start();
  const load = new Load(sender);
  for (let round = 1; round <= 3; round++) {
    const enough = owner.received + 2_000;
    await waitFor(() => owner.received > enough, { what: `telemetry of round ${round}`, deadlineMs: 15_000 });
    await nats.restart();
  }
  const enough = owner.received + 2_000;
  await waitFor(() => owner.received > enough, { what: "telemetry again", deadlineMs: 15_000 });
  load.end();
  const { counters } = sender;
  const booked = (): boolean => owner.received + owner.reader.lostInTransit === counters.forwarded;
  await waitFor(() => counters.queued() === 0 && booked(), { what: "the books to close" });
  expect(owner.isOrdered).toBe(true);
  expect(counters.received).toBe(load.next);
  expect(counters.received).toBe(counters.forwarded + sum(counters.dropped));
  expect(counters.dropped.bus_down).toBeGreaterThan(0);
  await Promise.all([sender.stop(), owner.leave()]);
  await Promise.all([producer.stop(), consumer.stop()]);
});
