import { BatchView, createChannel, EMPTY_HEAD, partitionOf } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventTicket, Unsubscribe } from "./api.js";
import type { PublishAnswer } from "./event-link.js";
import { BatchingEventSender, type EventTransport } from "./event-sender.js";
import { EVENT_WINDOW_BYTES } from "./links.js";

const PARTITIONS = 2;

type AnswerListener = (partition: number, token: number, answer: PublishAnswer) => void;

interface Publish {
  partition: number;
  token: number;
  data: Buffer;
  messageId: string;
}

/** A stream with a server in front of it: what is published waits until the test lets the server take it. */
class TestStream implements EventTransport {
  readonly sender = "listener-0";
  readonly incarnation = 7;
  connected = true;
  maxPayloadBytes = 1024 * 1024;
  readonly arriving: Publish[] = [];
  readonly stored: Publish[] = [];
  readonly #ids = new Set<string>();
  #answer: AnswerListener = () => undefined;
  #connection: (connected: boolean) => void = () => undefined;

  publish(partition: number, token: number, data: Buffer, messageId: string): boolean {
    if (this.connected) this.arriving.push({ partition, token, data: Buffer.from(data), messageId });
    return this.connected;
  }
  onAnswer(listener: AnswerListener): Unsubscribe {
    this.#answer = listener;
    return () => undefined;
  }
  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe {
    this.#connection = listener;
    return () => undefined;
  }
  connect(connected: boolean): void {
    this.connected = connected;
    this.#connection(connected);
  }
  /** The server takes the oldest publish. `lost`: it never sees it; `mute`: it stores it, but the answer is lost. */
  take(how: "store" | "mute" | "lost" | "refuse" | "again"): boolean {
    const publish = this.arriving.shift();
    if (publish === undefined || how === "lost") return false;
    const { partition, token, messageId } = publish;
    const known = this.#ids.has(messageId);
    if (!known && how === "refuse") {
      this.#answer(partition, token, { kind: "refused", error: new AppError("bus.stream_full", "full") });
    } else if (!known && how === "again") this.#answer(partition, token, { kind: "again" });
    else {
      if (!known) this.stored.push(publish);
      this.#ids.add(messageId);
      if (how !== "mute") this.#answer(partition, token, { kind: "stored" });
    }
    return true;
  }
}

class TestTicket implements EventTicket {
  readonly outcomes = new Map<number, string>();
  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      if (this.outcomes.has(numbers[i]!)) throw new AppError("internal.unexpected", "settled twice");
      this.outcomes.set(numbers[i]!, error?.code ?? "stored");
    }
  }
}

const channels = ["a", "b", "c", "d", "e"].map((deviceId, i) =>
  createChannel(i + 1, { ...EMPTY_HEAD, deviceId }, partitionOf("", deviceId, PARTITIONS)),
);

async function started(clock: FakeClock, stream: TestStream): Promise<BatchingEventSender> {
  const sender = new BatchingEventSender(stream, { partitions: PARTITIONS, clock, logger: silentLogger });
  await sender.start();
  return sender;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Numbers of the events in the order in which the stream holds them. */
function storedNumbers(stream: TestStream, partition: number): number[] {
  const numbers: number[] = [];
  const view = new BatchView();
  for (const publish of stream.stored.filter((p) => p.partition === partition)) {
    view.reset(publish.data);
    while (view.next()) numbers.push(view.payload().readUInt32LE());
  }
  return numbers;
}

function event(number: number, size = 4): Buffer {
  const payload = Buffer.alloc(Math.max(4, size));
  payload.writeUInt32LE(number);
  return payload;
}

describe("the event sender", () => {
  it("sends a single event before the event loop has turned twice", async () => {
    const stream = new TestStream();
    const sender = await started(new FakeClock(), stream);
    sender.append(channels[0]!, event(1), 0, 4, new TestTicket(), 1);
    await turn();
    expect(stream.arriving).toHaveLength(1);
  });

  it("grows the next batch while one is on the way", async () => {
    const stream = new TestStream();
    const sender = await started(new FakeClock(), stream);
    const ticket = new TestTicket();
    for (let n = 0; n < 500; n++) {
      sender.append(channels[0]!, event(n, 1000), 0, 1000, ticket, n);
      if (n % 10 === 0) await turn();
    }
    await turn();
    expect(stream.arriving).toHaveLength(1);
    stream.take("store");
    await turn();
    expect(stream.arriving).toHaveLength(1);
    stream.take("store");
    expect(ticket.outcomes.size).toBe(500);
    expect(stream.stored[1]!.data.length).toBeGreaterThan(400_000);
  });

  it("gives a large event a batch of its own and refuses what NATS does not take", async () => {
    const stream = new TestStream();
    const sender = await started(new FakeClock(), stream);
    const ticket = new TestTicket();
    sender.append(channels[0]!, event(1), 0, 4, ticket, 1);
    sender.append(channels[0]!, event(2, 500_000), 0, 500_000, ticket, 2);
    sender.append(channels[0]!, event(3, 2_000_000), 0, 2_000_000, ticket, 3);
    sender.append(channels[0]!, event(4), 0, 4, ticket, 4);
    expect(ticket.outcomes.size).toBe(0);
    do await turn();
    while (stream.take("store"));
    expect(Object.fromEntries(ticket.outcomes)).toEqual({
      1: "stored",
      2: "stored",
      3: "bus.too_large",
      4: "stored",
    });
    expect(stream.stored).toHaveLength(3);
  });

  it("counts nothing of an event that the wire cannot carry", async () => {
    const sender = await started(new FakeClock(), new TestStream());
    const append = (): void =>
      sender.append(channels[0]!, event(1), 0, 4, new TestTicket(), 1, { expiresAtUs: 2 ** 53 });
    expect(append).toThrow(expect.objectContaining({ code: "contract.bad_envelope" }));
    expect([sender.counters.received, sender.counters.queued()]).toEqual([0, 0]);
  });

  it("is congested from one window on and refuses events beyond two, without losing count", async () => {
    const stream = new TestStream();
    const sender = await started(new FakeClock(), stream);
    const ticket = new TestTicket();
    const changes: boolean[] = [];
    sender.onCongestion((congested) => changes.push(congested));
    const size = 100_000;
    const count = (4 * EVENT_WINDOW_BYTES) / size;
    for (let n = 0; n < count; n++) {
      sender.append(channels[0]!, event(n, size), 0, size, ticket, n);
      if (n * size > 2 * EVENT_WINDOW_BYTES) expect(sender.congested).toBe(true);
      await turn();
    }
    const refused = [...ticket.outcomes.values()];
    expect(new Set(refused)).toEqual(new Set(["queue.full"]));
    expect(refused.length * size).toBeGreaterThan(EVENT_WINDOW_BYTES);
    do await turn();
    while (stream.take("store"));
    expect(ticket.outcomes.size).toBe(Math.ceil(count));
    expect(changes).toEqual([true, false]);
    const { received, stored, dropped, queued } = sender.counters;
    expect({ received, stored, dropped, queued: queued() }).toEqual({
      received: Math.ceil(count),
      stored: Math.ceil(count) - refused.length,
      dropped: { "queue.full": refused.length },
      queued: 0,
    });
  });

  it("does not reuse the number of a batch that may still be stored", async () => {
    const clock = new FakeClock();
    const stream = new TestStream();
    const sender = await started(clock, stream);
    const ticket = new TestTicket();
    sender.append(channels[0]!, event(1), 0, 4, ticket, 1);
    await turn();
    const first = stream.arriving[0]!;
    stream.take("lost");
    await clock.advance(5_100);
    stream.take("refuse");
    sender.append(channels[0]!, event(2), 0, 4, ticket, 2);
    await clock.advance(200);
    expect(stream.arriving[0]!.messageId).not.toBe(first.messageId);
    expect(new BatchView().reset(stream.arriving[0]!.data).hop).toMatchObject({
      sequence: 2,
      firstOrdinal: 0,
    });
  });

  it("leaves a stream that refuses alone for a while, then uses the number again for other content", async () => {
    const clock = new FakeClock();
    const stream = new TestStream();
    const sender = await started(clock, stream);
    const ticket = new TestTicket();
    sender.append(channels[0]!, event(1), 0, 4, ticket, 1);
    await turn();
    const first = stream.arriving[0]!;
    stream.take("refuse");
    expect(ticket.outcomes.get(1)).toBe("bus.stream_full");
    sender.append(channels[0]!, event(2), 0, 4, ticket, 2);
    await turn();
    expect(stream.arriving).toHaveLength(0);
    await clock.advance(200);
    expect(new BatchView().reset(stream.arriving[0]!.data).hop).toMatchObject({
      sequence: 1,
      firstOrdinal: 0,
    });
    expect(stream.arriving[0]!.messageId).not.toBe(first.messageId);
  });

  it("reports what has no answer when it must stop", async () => {
    const clock = new FakeClock();
    const stream = new TestStream();
    const sender = await started(clock, stream);
    const ticket = new TestTicket();
    sender.append(channels[0]!, event(1), 0, 4, ticket, 1);
    await turn();
    sender.append(channels[0]!, event(2), 0, 4, ticket, 2);
    const stopped = sender.stop();
    await clock.advance(5_000);
    await stopped;
    expect([...ticket.outcomes]).toEqual([
      [1, "bus.timeout"],
      [2, "bus.timeout"],
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("settles every event once, in order, and stores exactly what it calls stored, whatever the server does", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ append: fc.nat(4), size: fc.nat(40_000), times: fc.nat(4) }) },
      { weight: 3, arbitrary: fc.constant("store" as const) },
      {
        weight: 1,
        arbitrary: fc.constantFrom("refuse", "again", "lost", "mute", "cut", "join", "wait", "turn"),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clock = new FakeClock();
        const stream = new TestStream();
        const sender = await started(clock, stream);
        const tickets = [new TestTicket(), new TestTicket()];
        const appended: number[][] = channels.map(() => []);
        let number = 0;
        for (const s of steps) {
          if (typeof s === "object") {
            for (let i = 0; i <= s.times; i++) {
              const payload = event(number, s.size);
              sender.append(channels[s.append]!, payload, 0, payload.length, tickets[number % 2]!, number);
              appended[channels[s.append]!.partition]!.push(number++);
            }
          } else if (s === "cut") {
            stream.connect(false);
            stream.arriving.length = 0;
          } else if (s === "join") stream.connect(true);
          else if (s === "wait") await clock.advance(5_100);
          else if (s === "turn") await turn();
          else stream.take(s);
        }
        stream.connect(true);
        for (let i = 0; i < 200 && sender.counters.queued() > 0; i++) {
          await clock.advance(300);
          while (stream.take("store"));
        }
        const outcomes = new Map([...tickets[0]!.outcomes, ...tickets[1]!.outcomes]);
        expect(outcomes.size).toBe(number);
        for (let p = 0; p < PARTITIONS; p++) {
          const inStream = storedNumbers(stream, p);
          const promised = appended[p]!.filter((n) => outcomes.get(n) === "stored");
          // A batch whose first answer was lost may be refused later and yet be in the stream: never the other way round.
          expect(inStream.filter((n) => outcomes.get(n) === "stored")).toEqual(promised);
          expect(inStream).toEqual([...inStream].sort((a, b) => a - b));
          let nextOrdinal = 0;
          let lastSequence = 0;
          for (const publish of stream.stored.filter((x) => x.partition === p)) {
            const { hop } = new BatchView().reset(publish.data);
            expect(hop.firstOrdinal).toBeLessThanOrEqual(nextOrdinal);
            expect(hop.sequence).toBeGreaterThan(lastSequence);
            nextOrdinal = hop.firstOrdinal + hop.count;
            lastSequence = hop.sequence;
          }
        }
        const { received, stored, dropped } = sender.counters;
        const dropCount = Object.values(dropped).reduce((sum, n) => sum + n, 0);
        expect(received).toBe(stored + dropCount);
      }),
      { numRuns: 60 },
    );
  });
});
