import { envelope } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RetainedBudget } from "./budget.js";
import { type RetainedMessage, retainedFrom } from "./message.js";
import { type RetainedEntry, type RetainedStore, Shard } from "./shard.js";
import { Pace } from "./turns.js";

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const messageOf = (path: string, text: string, ingestTimeUs: number): RetainedMessage =>
  retainedFrom(
    envelope.Envelope.encode(
      envelope.Envelope.fromPartial({ path, payload: Buffer.from(text), ingestTimeUs, retain: true }),
    ).finish(),
  );

const textOf = ({ envelope: bytes }: RetainedMessage): string =>
  Buffer.from(envelope.Envelope.decode(bytes).payload).toString();

/** A stream that says what was written how, and answers when it is told to. */
class HeldStore implements RetainedStore {
  readonly content = new Map<string, string>();
  readonly rounds: string[] = [];
  /** What becomes of the next ones; empty: they are stored. */
  readonly failures: (AppError | undefined)[] = [];
  refuses = (_entry: RetainedEntry): boolean => false;
  private readonly waiting: (() => void)[] = [];

  get underWay(): number {
    return this.waiting.length;
  }

  answer(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  store(_partition: number, entry: RetainedEntry): Promise<void> {
    return this.take([entry], "one");
  }

  storeAll(_partition: number, entries: readonly RetainedEntry[]): Promise<void> {
    return this.take(entries, `all ${entries.length}`);
  }

  async *read(): AsyncIterable<Buffer> {}

  async get(): Promise<undefined> {}

  private async take(entries: readonly RetainedEntry[], how: string): Promise<void> {
    this.rounds.push(how);
    const failure = this.failures.shift();
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (failure !== undefined) throw failure;
    if (entries.some((entry) => this.refuses(entry))) throw new AppError("bus.stream_full", "no room");
    for (const { message } of entries) this.content.set(message.topic, textOf(message));
  }
}

async function rig() {
  const store = new HeldStore();
  const clock = new FakeClock();
  const budget = new RetainedBudget({ messages: 100_000, memoryBytes: 100_000_000 }, 1);
  budget.owned = 1;
  const shard = new Shard({ partition: 0, store, budget, clock, log: SILENT, pace: new Pace(clock) });
  await shard.load();
  /** Everything that is under way, and what comes of it. */
  const settle = async (): Promise<void> => {
    for (let idle = 0; idle < 40; idle++) {
      await clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
      if (store.underWay > 0) idle = -1;
      store.answer();
    }
  };
  return { store, clock, shard, settle };
}

describe("what a shard writes", () => {
  it("goes together where it is much, and one by one where it is little", async () => {
    const { store, shard, settle } = await rig();
    const stored: string[] = [];
    const keep = (from: number, count: number): void => {
      for (let i = from; i < from + count; i++)
        shard.keep(messageOf(`t${i}`, "x", i + 1), false, () => stored.push(`t${i}`));
    };
    keep(0, 3);
    await settle();
    expect([store.rounds, stored.length]).toEqual([["one", "one", "one"], 3]);
    keep(10, 2_500);
    await settle();
    expect(store.rounds.slice(3)).toEqual(["all 1000", "all 1000", "all 500"]);
    expect([stored.length, store.content.size]).toEqual([2_503, 2_503]);
  });

  it("is tried one by one where the stream refuses it together, so that only what has no room waits", async () => {
    const { store, shard, settle, clock } = await rig();
    const stored = new Set<number>();
    store.refuses = ({ message }) => message.topic === "t7";
    for (let i = 0; i < 20; i++)
      shard.keep(messageOf(`t${i}`, "x", i + 1), false, (error) => error ?? stored.add(i));
    await settle();
    expect(store.rounds.slice(0, 21)).toEqual(["all 20", ...Array<string>(20).fill("one")]);
    expect([stored.size, stored.has(7)]).toEqual([19, false]);
    store.refuses = () => false;
    await clock.advance(10_000);
    await settle();
    expect(stored.has(7)).toBe(true);
    for (let i = 0; i < 20; i++) shard.keep(messageOf(`t${i}`, "y", i + 100), false, undefined);
    await settle();
    expect(store.rounds.at(-1)).toBe("all 20");
  });

  it("comes again together where there was no answer", async () => {
    const { store, shard, settle } = await rig();
    store.failures.push(new AppError("request.timeout", "no answer"));
    let stored = 0;
    for (let i = 0; i < 20; i++) shard.keep(messageOf(`t${i}`, "x", i + 1), false, () => stored++);
    await settle();
    expect([store.rounds, store.content.size, stored]).toEqual([["all 20", "all 20"], 20, 20]);
  });

  it("is on its way until it is stored: a partition that is given up in peace waits for it", async () => {
    const { store, shard, settle, clock } = await rig();
    for (let i = 0; i < 20; i++) shard.keep(messageOf(`t${i}`, "x", i + 1), false, undefined);
    let closed = false;
    const closing = shard.close(2_000).then(() => {
      closed = true;
    });
    await clock.advance(20);
    expect([store.underWay, closed]).toEqual([1, false]);
    await settle();
    await closing;
    expect(store.content.size).toBe(20);
  });

  it("waits for what else comes, is written once however often it changes, and leaves time to others, unless it is much", async () => {
    const { store, shard, clock } = await rig();
    /** Until the stream is asked again; it takes 20 ms to answer. */
    const nextAfterMs = async (): Promise<number> => {
      const sinceMs = clock.nowMs();
      while (store.underWay === 0) await clock.advance(1);
      const waitedMs = clock.nowMs() - sinceMs;
      await clock.advance(20);
      store.answer();
      await clock.advance(0);
      return waitedMs;
    };
    const change = (count: number): void => {
      for (let i = 0; i < count; i++) shard.keep(messageOf(`t${i}`, "x", clock.wallUs()), false, undefined);
    };
    change(1);
    change(1);
    expect(await nextAfterMs()).toBe(50);
    change(30);
    expect(await nextAfterMs()).toBe(60);
    change(2_500);
    const waits = [await nextAfterMs(), await nextAfterMs(), await nextAfterMs()];
    expect(waits).toEqual([50, 60, 60]);
    expect(store.rounds).toEqual(["one", "all 30", "all 1000", "all 1000", "all 500"]);
  });

  it("ends as the newest message of each topic, and everybody hears once that it is stored, whatever fails between", async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          keep: fc.integer({ min: 0, max: 30 }),
          times: fc.integer({ min: 1, max: 30 }),
        }),
      },
      fc.constant("answer" as const),
      fc.constant("turn" as const),
      fc.constant("fails" as const),
      fc.constant("refuses" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { store, shard, settle, clock } = await rig();
        const newest = new Map<string, string>();
        const heard: number[] = [];
        let time = 0;
        for (const what of steps) {
          if (what === "answer") store.answer();
          else if (what === "fails") store.failures.push(new AppError("request.timeout", "no answer"));
          else if (what === "refuses") store.failures.push(new AppError("bus.stream_full", "no room"));
          else if (what === "turn") await clock.advance(100);
          else {
            for (let i = 0; i < what.times; i++) {
              const number = heard.push(0) - 1;
              const topic = `t${(what.keep + i) % 40}`;
              newest.set(topic, String(++time));
              shard.keep(messageOf(topic, String(time), time), false, (error) => {
                expect(error).toBeUndefined();
                // What the stream holds then is this message or a newer one of its topic.
                expect(Number(store.content.get(topic))).toBeGreaterThan(number);
                heard[number]! += 1;
              });
            }
          }
        }
        store.failures.length = 0;
        for (let i = 0; i < 4; i++) {
          await settle();
          await clock.advance(10_000);
        }
        await settle();
        expect(store.content).toEqual(newest);
        expect(heard.every((times) => times === 1)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
