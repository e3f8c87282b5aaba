import { BatchView, createChannel, EMPTY_HEAD, Lane } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Bus, LinkAcker, LinkReader, MessageHandler, Subscription, TelemetrySender } from "./api.js";
import { createLinkAcker } from "./link-acker.js";
import { createLinkReader } from "./link-reader.js";
import { OWNER_SILENCE_MS } from "./links.js";
import { createTelemetrySender } from "./telemetry-sender.js";

/** A core NATS of one process: subscriptions by exact subject or prefix, and an answer when nobody listens. */
class LoopbackBus implements Bus {
  readonly name = "bus";
  readonly instance = "listener-0";
  readonly incarnation = 11;
  readonly maxPayloadBytes = 1024 * 1024;
  connected = true;
  #inboxes = 0;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #wire: (() => void)[] = [];

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  onConnectionChange(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  setConnected(connected: boolean): void {
    this.connected = connected;
    if (!connected) this.#wire.length = 0;
    for (const listener of this.#listeners) listener(connected);
  }
  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    if (!this.connected) return false;
    this.#wire.push(() => {
      const handler = this.#find(subject);
      if (handler !== undefined) handler(data, subject, reply);
      else if (reply !== undefined) this.#find(reply)?.(Buffer.alloc(0), reply, undefined);
    });
    return true;
  }
  /** Lets the server pass on everything published so far, and what that causes. */
  deliver(): void {
    for (let next = this.#wire.shift(); next !== undefined; next = this.#wire.shift()) next();
  }
  /** As if the server had thrown away the oldest message. */
  lose(): void {
    this.#wire.shift();
  }
  subscribe(subject: string, handler: MessageHandler): Subscription {
    this.#handlers.set(subject, handler);
    const end = (): void => void this.#handlers.delete(subject);
    return Object.assign(end, { drain: async () => end() });
  }
  newInbox(): string {
    return `inbox-${this.#inboxes++}`;
  }
  request(): Promise<Uint8Array> {
    throw new AppError("internal.unreachable", "not part of this test");
  }
  requestMany(): Promise<Uint8Array[]> {
    throw new AppError("internal.unreachable", "not part of this test");
  }
  serve(): Subscription {
    throw new AppError("internal.unreachable", "not part of this test");
  }
  async flush(): Promise<void> {}
  async rttMs(): Promise<number> {
    return 0;
  }
  #find(subject: string): MessageHandler | undefined {
    const prefix = [...this.#handlers.keys()].find(
      (s) => s.endsWith(".>") && subject.startsWith(s.slice(0, -1)),
    );
    return this.#handlers.get(subject) ?? (prefix === undefined ? undefined : this.#handlers.get(prefix));
  }
}

/** The owner of partition 0. */
class TestOwner {
  readonly got: number[] = [];
  readonly reader: LinkReader = createLinkReader();
  readonly #bus: LoopbackBus;
  readonly #acker: LinkAcker;
  #end: () => void = () => undefined;

  constructor(bus: LoopbackBus, clock: FakeClock, epoch: number) {
    this.#bus = bus;
    this.#acker = createLinkAcker(bus, { lane: Lane.TELEMETRY, epoch, clock });
  }
  async start(): Promise<void> {
    await this.#acker.start(AbortSignal.abort());
    const view = new BatchView();
    this.#end = this.#bus.subscribe("mln.tel.batch.0", (data) => {
      if (!this.reader.accept(view.reset(data))) return;
      while (view.next()) this.got.push(view.payload().readUInt32LE());
      this.#acker.consumed(view);
    });
  }
  /** Ends the subscription, then tells the producers how far it came. */
  async leave(): Promise<void> {
    this.#end();
    await this.#acker.stop();
  }
}

const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "a" }, 0);

function reading(number: number, size = 4): Buffer {
  const payload = Buffer.alloc(Math.max(size, 4));
  payload.writeUInt32LE(number);
  return payload;
}

async function setUp(): Promise<{ bus: LoopbackBus; clock: FakeClock; sender: TelemetrySender }> {
  const bus = new LoopbackBus();
  const clock = new FakeClock();
  const sender = createTelemetrySender(bus, { partitions: 1, clock });
  await sender.start(AbortSignal.abort());
  return { bus, clock, sender };
}

function append(sender: TelemetrySender, number: number, size = 4): void {
  const payload = reading(number, size);
  sender.append(channel, payload, 0, payload.length);
}

/** Runs the clock in small steps and lets messages pass in between. */
async function run(bus: LoopbackBus, clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    bus.deliver();
    await clock.advance(50);
    bus.deliver();
  }
}

describe("the telemetry sender", () => {
  it("publishes what one turn brought as one batch", async () => {
    const { bus, clock, sender } = await setUp();
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    for (let n = 0; n < 10; n++) append(sender, n);
    expect(sender.counters.queued()).toBe(10);
    await new Promise((resolve) => setImmediate(resolve));
    bus.deliver();
    expect(owner.got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(owner.reader.positions()).toMatchObject([{ sequence: 1, ordinal: 10 }]);
    expect(sender.counters).toMatchObject({ received: 10, forwarded: 10, dropped: {} });
  });

  it("slows its inputs down when the owner is slow, and loses nothing", async () => {
    const { bus, clock, sender } = await setUp();
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    const changes: boolean[] = [];
    sender.onCongestion((congested) => changes.push(congested));
    let n = 0;
    for (; !sender.congested; n++) append(sender, n, 30_000);
    expect(n * 30_000).toBeGreaterThanOrEqual(8 * 1024 * 1024 - 60_000);
    for (let more = 0; more < 20; more++) append(sender, n++, 30_000);
    await run(bus, clock, 500);
    expect(changes).toEqual([true, false]);
    expect(owner.got).toHaveLength(n);
    expect(sender.counters).toMatchObject({ forwarded: n, dropped: {} });
  });

  it("drops beyond its bound while the owner is silent, then gives up on it and lets the inputs read on", async () => {
    const { bus, clock, sender } = await setUp();
    bus.subscribe("mln.tel.batch.0", () => undefined);
    for (let n = 0; n < 600; n++) append(sender, n, 30_000);
    expect(sender.congested).toBe(true);
    expect(sender.counters.dropped.queue_full).toBeGreaterThan(0);
    await run(bus, clock, OWNER_SILENCE_MS + 200);
    expect(sender.congested).toBe(false);
    for (let n = 0; n < 100; n++) append(sender, n, 30_000);
    expect(sender.counters.dropped.no_owner).toBeGreaterThan(100);
    const { received, forwarded, dropped } = sender.counters;
    expect(received).toBe(forwarded + sum(dropped) + sender.counters.queued());
  });

  it("drops and counts while NATS is away, and numbers go on without a gap", async () => {
    const { bus, clock, sender } = await setUp();
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    append(sender, 1);
    await run(bus, clock, 100);
    bus.setConnected(false);
    append(sender, 2);
    await run(bus, clock, 100);
    bus.setConnected(true);
    append(sender, 3);
    await run(bus, clock, 100);
    expect(owner.got).toEqual([1, 3]);
    expect(sender.counters.dropped).toEqual({ bus_down: 1 });
    expect(owner.reader.lostInTransit).toBe(0);
  });

  it("has its losses on the way booked by the receiver", async () => {
    const { bus, clock, sender } = await setUp();
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    for (let n = 0; n < 6; n++) {
      append(sender, n);
      sender.flush();
      if (n === 2 || n === 3) bus.lose();
      bus.deliver();
    }
    expect(owner.got).toEqual([0, 1, 4, 5]);
    expect(owner.reader.lostInTransit).toBe(2);
    expect(clock.nowMs()).toBe(0);
  });

  it("hands over between owners without loss, double or disorder", async () => {
    const { bus, clock, sender } = await setUp();
    const owners = [new TestOwner(bus, clock, 1), new TestOwner(bus, clock, 2)] as const;
    await owners[0].start();
    let n = 0;
    const send = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        append(sender, n++);
        append(sender, n++);
        await run(bus, clock, 50);
      }
    };
    await send(10);
    await owners[0].leave();
    await send(10);
    await owners[1].start();
    await send(10);
    await run(bus, clock, 300);
    expect([...owners[0].got, ...owners[1].got]).toEqual(Array.from({ length: n }, (_, i) => i));
    expect(sender.counters).toMatchObject({ received: n, forwarded: n, dropped: {} });
    expect(owners[1].reader.lostInTransit).toBe(0);
  });

  it("counts exactly what no owner took when none comes for long, and finds the next one by itself", async () => {
    const { bus, clock, sender } = await setUp();
    let n = 0;
    for (let i = 0; i < 60; i++) {
      append(sender, n++);
      await run(bus, clock, 50);
    }
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    for (let i = 0; i < 20; i++) {
      append(sender, n++);
      await run(bus, clock, 50);
    }
    const { received, forwarded, dropped } = sender.counters;
    expect(owner.got.length).toBe(forwarded);
    expect(owner.got.at(-1)).toBe(n - 1);
    expect(forwarded).toBeGreaterThan(10);
    expect(received).toBe(forwarded + (dropped.no_owner ?? 0));
    expect(owner.reader.positions()).toMatchObject([{ start: 1 }]);
  });

  it("shows the next owner no gap for what it has counted as dropped itself", async () => {
    const { bus, clock, sender } = await setUp();
    const first = new TestOwner(bus, clock, 1);
    await first.start();
    append(sender, 0);
    await run(bus, clock, 200);
    await first.leave();
    for (let n = 1; n < 80; n++) {
      append(sender, n);
      await run(bus, clock, 50);
    }
    const second = new TestOwner(bus, clock, 2);
    second.reader.restore(first.reader.positions());
    await second.start();
    await run(bus, clock, 500);
    append(sender, 80);
    await run(bus, clock, 500);
    expect(sender.counters.dropped.no_owner).toBeGreaterThan(20);
    expect(second.got.at(-1)).toBe(80);
    expect(second.reader.lostInTransit).toBe(0);
    expect(first.got.length + second.got.length).toBe(sender.counters.forwarded);
  });

  it("drops only the message that is larger than NATS takes", async () => {
    const { bus, clock, sender } = await setUp();
    const owner = new TestOwner(bus, clock, 1);
    await owner.start();
    append(sender, 1);
    append(sender, 2, 1_500_000);
    append(sender, 3);
    await run(bus, clock, 100);
    expect(owner.got).toEqual([1, 3]);
    expect(sender.counters.dropped).toEqual({ too_large: 1 });
  });

  it("keeps its books whatever happens to NATS and owners", async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 20 }), size: fc.nat(50_000) }) },
      { weight: 4, arbitrary: fc.constantFrom("run", "come", "leave", "wait") },
      { weight: 1, arbitrary: fc.constantFrom("lose", "cut", "join") },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
        const { bus, clock, sender } = await setUp();
        const owners: TestOwner[] = [];
        let current: TestOwner | undefined;
        let n = 0;
        const come = async (): Promise<void> => {
          if (current !== undefined) return;
          current = new TestOwner(bus, clock, owners.length + 1);
          current.reader.restore(owners.at(-1)?.reader.positions() ?? []);
          owners.push(current);
          await current.start();
        };
        for (const s of steps) {
          if (typeof s === "object") for (let i = 0; i < s.append; i++) append(sender, n++, s.size);
          else if (s === "run") await run(bus, clock, 100);
          else if (s === "wait") await run(bus, clock, 1_500);
          else if (s === "come") await come();
          else if (s === "leave") {
            await current?.leave();
            current = undefined;
          } else if (s === "lose") bus.lose();
          else bus.setConnected(s === "join");
        }
        bus.setConnected(true);
        await come();
        await run(bus, clock, 3_000);
        for (let i = 0; i < 3; i++) {
          append(sender, n++);
          await run(bus, clock, 500);
        }
        const got = owners.flatMap((owner) => owner.got);
        expect(got).toEqual([...new Set(got)].sort((a, b) => a - b));
        const { received, forwarded, dropped, queued } = sender.counters;
        expect(received).toBe(n);
        expect(received).toBe(forwarded + sum(dropped) + queued());
        expect(queued()).toBe(0);
        const lost = owners.reduce((total, owner) => total + owner.reader.lostInTransit, 0);
        // What was lost before any owner had heard of the link is nobody's to book.
        const unheard = owners.find((o) => o.got.length > 0)?.reader.positions()[0];
        expect(got.length + lost).toBeLessThanOrEqual(forwarded);
        if (unheard?.start === 1) expect(got.length + lost).toBe(forwarded);
      }),
      { numRuns: 100 },
    );
  });
});

function sum(dropped: Record<string, number>): number {
  return Object.values(dropped).reduce((total, count) => total + count, 0);
}
