import { randomBytes } from "node:crypto";
import {
  BATCH_FLAGS,
  BatchBuilder,
  createChannel,
  type envelope,
  Kind,
  Lane,
  Protocol,
  Stamp,
} from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AckTracker } from "./ack-tracker.js";
import type { ConsumerPorts, Work } from "./consumer.js";
import { Heads } from "./heads.js";
import { MessageBatch } from "./message-batch.js";
import { MessageConsumer } from "./message-consumer.js";
import { toSettings } from "./options.js";
import { ReconnectSchedule } from "./reconnect.js";

const heads = new Heads();
const link = {
  sender: "d",
  incarnation: 7,
  partition: 0,
  lane: Lane.EVENT,
  target: "a",
  targetInstance: "i",
};

/** A batch of `device:text` messages. */
function batchOf(
  messages: readonly string[],
  builder = new BatchBuilder(link, new Stamp(randomBytes(10))),
): Buffer {
  const channels = new Map<string, ReturnType<typeof createChannel>>();
  for (const message of messages) {
    const device = message.slice(0, 1);
    const text = message.slice(2);
    const head = {
      tenant: "",
      deviceId: device,
      path: "p",
      kind: Kind.EVENT,
      protocol: Protocol.MQTT,
      contentType: "",
      port: "m",
      profile: "",
    };
    const number = 1 + [..."abcdef"].indexOf(device);
    channels.set(device, channels.get(device) ?? createChannel(number, head, 0));
    const bytes = Buffer.from(text);
    builder.append(channels.get(device)!, bytes, 0, bytes.length);
  }
  return builder.finish()!;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("MessageBatch", () => {
  it("moves one cursor over all messages and shares the strings of equal heads", () => {
    const batch = new MessageBatch(batchOf(["a:1", "b:2", "a:3"]), heads);
    const cursors = new Set<object>();
    const seen: string[] = [];
    const headsSeen = new Set<object>();
    for (const m of batch) {
      cursors.add(m);
      headsSeen.add(m.head);
      seen.push(`${m.deviceId}:${m.text()}`);
    }
    expect(seen).toEqual(["a:1", "b:2", "a:3"]);
    expect(cursors.size).toBe(1);
    expect(headsSeen.size).toBe(2);
    expect([...batch].length).toBe(3);
    expect(batch).toMatchObject({ lane: "event", partition: 0, count: 3, redelivered: false });
  });

  it("makes messages that stay what they are when the cursor moves on", () => {
    const batch = new MessageBatch(batchOf(["a:1", 'b:{"t":2}']), heads);
    const kept = Array.from(batch, (m) => m.toMessage());
    expect(kept.map((m) => [m.deviceId, m.text(), m.kind, m.protocol, m.port])).toEqual([
      ["a", "1", "event", "mqtt", "m"],
      ["b", '{"t":2}', "event", "mqtt", "m"],
    ]);
    expect(kept[1]!.json()).toEqual({ t: 2 });
    expect(kept[0]!.id).toMatch(/^[0-9a-f]{32}$/);
    expect(kept[0]!.quality).toBe("good");
    expect(kept[0]!.envelope().deviceId).toBe("a");
  });

  it("throws nothing but contract.bad_envelope for mutated and cut bytes, and ends", () => {
    const good = batchOf(["a:one", "b:two", "c:three"]);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, cut) => {
        const bytes = Buffer.from(good);
        bytes[at] = byte;
        try {
          for (const m of new MessageBatch(bytes.subarray(0, cut), new Heads())) m.toMessage().text();
        } catch (error) {
          expect(AppError.is(error) && error.code).toBe("contract.bad_envelope");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("AckTracker", () => {
  const hop = (sequence: number, epoch = 1, partition = 0): envelope.Hop => ({
    ...new MessageBatch(batchOf(["a:1"]), heads).hop,
    sequence,
    epoch,
    partition,
  });

  it("never acknowledges past a batch that is not done, in whatever order they end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8]), async (order) => {
        const acks: number[] = [];
        const tracker = new AckTracker(({ sequence }) => void acks.push(sequence));
        const tickets = [1, 2, 3, 4, 5, 6, 7, 8].map((s) => tracker.take(hop(s)));
        const done = new Set<number>();
        for (const sequence of order) {
          tickets[sequence - 1]!.done();
          done.add(sequence);
          tracker.flush();
          for (let s = 1; s <= (acks.at(-1) ?? 0); s++) expect(done.has(s)).toBe(true);
        }
        let expected = 0;
        while (done.has(expected + 1)) expected++;
        expect(acks.at(-1) ?? 0).toBe(expected);
        expect(tracker.open).toBe(8 - done.size);
      }),
    );
  });

  it("sends one acknowledgement per link and turn, and none after its connection is gone", async () => {
    const acks: unknown[] = [];
    const tracker = new AckTracker((ack) => acks.push(ack));
    const tickets = [hop(1), hop(2), hop(1, 1, 3), hop(1, 2)].map((h) => tracker.take(h));
    for (const ticket of tickets) ticket.done();
    await settled();
    expect(acks).toEqual([
      { partition: 0, lane: Lane.EVENT, epoch: 1, sequence: 2 },
      { partition: 3, lane: Lane.EVENT, epoch: 1, sequence: 1 },
      { partition: 0, lane: Lane.EVENT, epoch: 2, sequence: 1 },
    ]);
    const late = tracker.take(hop(3));
    tracker.close();
    late.done();
    await settled();
    expect(acks).toHaveLength(3);
  });
});

describe("MessageConsumer", () => {
  function portsOf(change: Partial<ConsumerPorts> = {}): ConsumerPorts & { readonly errors: AppError[] } {
    const errors: AppError[] = [];
    return {
      clock: new FakeClock(),
      counters: { received: 0, handled: 0, handlerErrors: 0, skipped: 0, malformed: 0 },
      concurrency: () => 3,
      policy: () => ({ policy: "retry", maxAttempts: 0 }),
      onError: (error) => void errors.push(error),
      halt: () => undefined,
      errors,
      ...change,
    };
  }

  function workOf(messages: readonly string[], done: () => void, gone = () => false): Work {
    return { batch: new MessageBatch(batchOf(messages), heads), ticket: { done }, gone };
  }

  it("keeps the order of each device and its limit, and acknowledges when all is handled", async () => {
    const message = fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.boolean());
    const batches = fc.array(fc.array(message, { minLength: 1, maxLength: 8 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(batches, fc.infiniteStream(fc.nat(7)), async (made, picks) => {
        const open: { name: string; resolve: () => void }[] = [];
        const begun: string[] = [];
        const running = new Map<string, number>();
        const ports = portsOf();
        const later = new Set<string>();
        const consumer = new MessageConsumer((m) => {
          const name = `${m.deviceId}:${m.text()}`;
          begun.push(name);
          if (!later.has(name)) return undefined;
          running.set(m.deviceId, (running.get(m.deviceId) ?? 0) + 1);
          expect(running.get(m.deviceId)).toBe(1);
          expect([...running.values()].reduce((a, b) => a + b)).toBeLessThanOrEqual(3);
          return new Promise<void>((resolve) => {
            open.push({
              name,
              resolve: () => {
                running.set(m.deviceId, 0);
                resolve();
              },
            });
          });
        }, ports);
        let serial = 0;
        const all: string[] = [];
        const acked: number[] = [];
        made.forEach((batch, i) => {
          const names = batch.map(([device, isAsync]) => {
            const name = `${device}:${++serial}`;
            if (isAsync) later.add(name);
            return name;
          });
          all.push(...names);
          consumer.push(workOf(names, () => acked.push(i)));
        });
        while (open.length > 0) {
          const [picked] = open.splice((picks.next().value ?? 0) % open.length, 1);
          picked!.resolve();
          await settled();
        }
        for (const device of "abcd") {
          const of = (names: string[]): string[] => names.filter((n) => n.startsWith(device));
          expect(of(begun)).toEqual(of(all));
        }
        expect([...acked].sort()).toEqual(made.map((_, i) => i));
        expect(ports.counters.handled).toBe(all.length);
        expect(consumer.running).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it("does not acknowledge what was in hand when it stopped", async () => {
    const acked: string[] = [];
    const resolves: (() => void)[] = [];
    const consumer = new MessageConsumer(
      () => new Promise<void>((resolve) => resolves.push(resolve)),
      portsOf(),
    );
    consumer.push(workOf(["a:1", "a:2"], () => acked.push("first")));
    consumer.push(workOf(["b:1"], () => acked.push("second")));
    expect(resolves).toHaveLength(2);
    consumer.stop();
    for (const resolve of resolves) resolve();
    await settled();
    expect(acked).toEqual(["second"]);
  });

  it("begins no event of a connection that is gone, and gives up retrying one", async () => {
    const clock = new FakeClock();
    const acked: string[] = [];
    let gone = false;
    let calls = 0;
    const consumer = new MessageConsumer(() => {
      calls++;
      throw new Error("no");
    }, portsOf({ clock }));
    consumer.push(
      workOf(
        ["a:1"],
        () => acked.push("first"),
        () => gone,
      ),
    );
    await settled();
    gone = true;
    consumer.push(
      workOf(
        ["b:1"],
        () => acked.push("second"),
        () => gone,
      ),
    );
    await clock.advance(60_000);
    expect(calls).toBe(1);
    expect(acked).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("skips after as many calls as the policy allows", async () => {
    const clock = new FakeClock();
    const acked: string[] = [];
    const ports = portsOf({ clock, policy: () => ({ policy: "retry", maxAttempts: 3 }) });
    const consumer = new MessageConsumer(() => Promise.reject(new Error("no")), ports);
    consumer.push(workOf(["a:1"], () => acked.push("done")));
    await clock.advance(60_000);
    expect(ports.counters).toMatchObject({ handlerErrors: 3, skipped: 1, handled: 0 });
    expect(ports.errors.map((e) => e.code)).toEqual(Array(3).fill("app.handler_failed"));
    expect(acked).toEqual(["done"]);
  });
});

describe("MessageConsumer and broken bytes", () => {
  it("counts a batch that breaks anywhere, heads included, and goes on with the next one", () => {
    const good = batchOf(["a:one", "b:two", "c:three"]);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const bytes = Buffer.from(good);
        bytes[at] = byte;
        let batch: MessageBatch;
        try {
          batch = new MessageBatch(bytes, new Heads());
        } catch {
          return;
        }
        const seen: string[] = [];
        const counters = { received: 0, handled: 0, handlerErrors: 0, skipped: 0, malformed: 0 };
        const consumer = new MessageConsumer((m) => void seen.push(m.text()), {
          clock: new FakeClock(),
          counters,
          concurrency: () => 1,
          policy: () => ({ policy: "retry", maxAttempts: 0 }),
          onError: () => undefined,
          halt: () => undefined,
        });
        const ticket = { done: () => undefined };
        consumer.push({ batch, ticket, gone: () => false });
        consumer.push({
          batch: new MessageBatch(batchOf(["a:last"]), new Heads()),
          ticket,
          gone: () => false,
        });
        expect(seen.at(-1)).toBe("last");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("ReconnectSchedule", () => {
  it("never makes more tries in a minute than its budget, and never waits for ever", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (perMinute, randoms) => {
          const schedule = new ReconnectSchedule(
            { perMinute, maxTries: 0, initialMs: 1_000 },
            () => randoms.next().value ?? 0,
          );
          const tries: number[] = [];
          let now = 0;
          for (let i = 0; i < 50; i++) {
            schedule.began(now);
            tries.push(now);
            const wait = schedule.waitMs(now);
            expect(wait).toBeLessThanOrEqual(60_000);
            now += wait;
          }
          tries.forEach((at, i) => {
            const earlier = tries[i - perMinute];
            if (earlier !== undefined) expect(at - earlier).toBeGreaterThanOrEqual(60_000 - 1e-6);
          });
        },
      ),
    );
  });

  it("tries soon again after a connection that held, and gives up only where told to", () => {
    const schedule = new ReconnectSchedule({ perMinute: 3, maxTries: 2, initialMs: 1_000 }, () => 1);
    for (let i = 0; i < 3; i++) schedule.began(0);
    expect(schedule.waitMs(0)).toBe(60_000);
    schedule.failures = 2;
    expect(schedule.exhausted).toBe(true);
    schedule.reset();
    expect(schedule.exhausted).toBe(false);
    expect(schedule.waitMs(0)).toBeLessThanOrEqual(1_000);
  });
});

describe("options", () => {
  it("are complete with defaults, and refused by name", () => {
    expect(toSettings({ app: "a" })).toMatchObject({
      target: "localhost:9090",
      reconnect: { perMinute: 3, maxTries: 0 },
    });
    for (const [change, option] of [
      [{ app: "" }, "app"],
      [{ target: "unix:" }, "target"],
      [{ concurrency: 0 }, "concurrency"],
      [{ credit: { bytes: -1 } }, "credit.bytes"],
      [{ requestTimeoutMs: Number.NaN }, "requestTimeoutMs"],
      [{ reconnect: { perMinute: 0 } }, "reconnect.perMinute"],
    ] as const) {
      expect(() => toSettings({ app: "a", ...change })).toThrow(option);
    }
  });
});

it("has the flag of a batch that was delivered before", () => {
  const builder = new BatchBuilder(link, new Stamp(randomBytes(10)));
  const bytes = batchOf(["a:1"], builder);
  const plain = new MessageBatch(bytes, heads);
  expect(plain.redelivered).toBe(false);
  const at = bytes.indexOf(Buffer.from([0x35]));
  bytes.writeUInt32LE(BATCH_FLAGS.redelivered, at + 1);
  expect(new MessageBatch(bytes, heads).redelivered).toBe(true);
});
