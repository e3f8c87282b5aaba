import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Outbox, type OutboxLimits } from "./outbox.js";
import { MemoryFolder } from "./testcases/memory-folder.js";
import { TestUplink } from "./testcases/test-uplink.js";

const LIMITS: OutboxLimits = {
  maxBytes: 1 << 20,
  segmentBytes: 1_000,
  pendingBytes: 1 << 20,
  syncAfterMs: 100,
  liveBytes: 1 << 20,
  memoryBytes: 1 << 20,
  windowBytes: 1 << 20,
  replaySamplesPerSecond: 1_000,
  stalledAfterMs: 30_000,
};

async function rig(folder = new MemoryFolder(), limits: Partial<OutboxLimits> = {}, run = 0) {
  const uplink = new TestUplink();
  const clock = new FakeClock();
  const outbox = new Outbox({
    folder,
    clock,
    logger: silentLogger,
    uplink,
    limits: { ...LIMITS, ...limits },
  });
  await outbox.start(AbortSignal.timeout(10_000));
  let count = run * 1_000_000;
  return {
    folder,
    clock,
    uplink,
    outbox,
    /** Each written before the next. Returns what they say. */
    async append(records: number, samples = 1): Promise<string[]> {
      const texts: string[] = [];
      for (let i = 0; i < records; i++) {
        const text = `record ${count++}`;
        texts.push(text);
        outbox.append(Buffer.from(text), samples);
        await outbox.log.written();
      }
      await turns();
      return texts;
    },
  };
}

/** Lets everything that does not wait for time come to its end. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 50) {
    await clock.advance(50);
    await turns();
  }
}

const books = ({ outbox }: { outbox: Outbox }): number => {
  const { taken, found, stored, lost } = outbox.counters;
  return taken + found - stored - lost.full - lost.damaged - lost.memory - lost.refused - outbox.owed;
};

describe("an outbox", () => {
  it("sends what was written, once and in order, and forgets what the hub has stored", async () => {
    const r = await rig();
    await r.append(100);
    expect(r.uplink.stored.map(({ text }) => text)).toEqual(
      Array.from({ length: 100 }, (_, i) => `record ${i}`),
    );
    expect(r.uplink.stored.some(({ replayed }) => replayed)).toBe(false);
    expect(r.outbox.owed).toBe(0);
    await pass(r.clock, 300);
    expect(r.folder.segments).toHaveLength(1);
    await r.outbox.stop();
    expect(r.clock.pendingTimers).toBe(0);
    const next = await rig(r.folder.afterKill());
    expect(next.outbox.counters.found).toBe(0);
    await pass(next.clock, 200);
    expect(next.uplink.sent).toEqual([]);
  });

  it("sends live records first after an outage, and the backlog marked, oldest first and at its pace", async () => {
    const r = await rig();
    r.uplink.isOpen = false;
    await r.append(100, 10);
    expect(r.uplink.sent).toEqual([]);
    expect(r.outbox.condition().state).toBe("degraded");
    r.uplink.isOpen = true;
    await r.append(1);
    expect(r.uplink.stored).toMatchObject([{ text: "record 100", replayed: false }]);
    await pass(r.clock, 500);
    const early = r.uplink.stored.length;
    // A tenth of a second's worth is saved up, then 1,000 samples a second.
    expect(early).toBeGreaterThan(50);
    expect(early).toBeLessThan(70);
    await r.append(1);
    await pass(r.clock, 1_000);
    const replayed = r.uplink.stored.filter((record) => record.replayed);
    expect(replayed.map(({ text }) => text)).toEqual(Array.from({ length: 100 }, (_, i) => `record ${i}`));
    expect(r.uplink.stored).toHaveLength(102);
    expect(r.outbox.owed).toBe(0);
    expect(r.outbox.counters).toMatchObject({ taken: 1_002, stored: 1_002, replayed: 1_000 });
    expect(r.outbox.condition().state).toBe("running");
  });

  it("sends again what was on the way when its process was killed, and nothing that was stored and noted", async () => {
    const r = await rig();
    await r.append(10);
    await pass(r.clock, 300);
    r.uplink.mode = "hold";
    await r.append(5);
    const next = await rig(r.folder.afterKill());
    expect(next.outbox.counters.found).toBe(5);
    await pass(next.clock, 200);
    expect(next.uplink.stored.map(({ text }) => text)).toEqual(
      [10, 11, 12, 13, 14].map((i) => `record ${i}`),
    );
    expect(next.uplink.stored.every(({ replayed }) => replayed)).toBe(true);
    // The same record has the same name both times, a later one never has it.
    const names = r.uplink.sent.slice(10).map(({ segment, ordinal }) => `${segment}/${ordinal}`);
    expect(next.uplink.stored.map(({ segment, ordinal }) => `${segment}/${ordinal}`)).toEqual(names);
  });

  it("removes nothing that its file still calls owed, whatever was stored while the file was written", async () => {
    const r = await rig();
    r.uplink.mode = "hold";
    await r.append(100);
    const replace = r.folder.replace.bind(r.folder);
    r.folder.replace = async (name, bytes) => {
      r.uplink.release(99);
      await replace(name, bytes);
    };
    r.uplink.release(1);
    await pass(r.clock, 200);
    const next = await rig(r.folder.afterKill());
    expect(next.outbox.counters).toMatchObject({ found: 99, lost: { damaged: 0 } });
  });

  it("never gives a record that was lost with the power the name of one that was sent", async () => {
    const r = await rig();
    await r.append(3);
    const next = await rig(r.folder.afterPowerLoss());
    await next.append(3);
    const names = [...r.uplink.sent, ...next.uplink.sent].map(
      ({ segment, ordinal }) => `${segment}/${ordinal}`,
    );
    expect(new Set(names).size).toBe(6);
  });

  it("waits after a refusal, then sends again; what can never be stored is given up and counted", async () => {
    const r = await rig();
    r.uplink.mode = new AppError("bus.stream_full", "full");
    await r.append(3);
    await pass(r.clock, 500);
    const tries = r.uplink.sent.length;
    expect(tries).toBeLessThanOrEqual(3);
    r.uplink.mode = "store";
    await pass(r.clock, 1_500);
    expect(r.uplink.stored).toHaveLength(3);
    r.uplink.mode = new AppError("bus.too_large", "large");
    await r.append(1, 7);
    await pass(r.clock, 500);
    expect(r.outbox.counters.lost.refused).toBe(7);
    expect(books(r)).toBe(0);
  });

  it("notices that the hub acknowledges nothing although the way is open", async () => {
    const r = await rig();
    await pass(r.clock, 60_000);
    expect(r.uplink.resets).toBe(0);
    r.uplink.mode = "hold";
    await r.append(3);
    await r.clock.advance(29_000);
    expect(r.outbox.condition().state).toBe("running");
    await r.clock.advance(2_000);
    expect(r.uplink.resets).toBe(1);
    expect(r.outbox.condition()).toMatchObject({ state: "degraded" });
  });

  it("goes on without a disk, tells it, and loses oldest first what memory has no room for", async () => {
    const r = await rig(undefined, { memoryBytes: 1_000 });
    r.folder.failure = "ENOSPC";
    await r.append(3);
    expect(r.uplink.stored).toHaveLength(3);
    expect(r.outbox.condition()).toMatchObject({ state: "degraded" });
    r.uplink.isOpen = false;
    await r.append(100);
    const { memory } = r.outbox.counters.lost;
    expect(memory).toBeGreaterThan(50);
    r.uplink.isOpen = true;
    await pass(r.clock, 1_000);
    expect(r.uplink.stored.map(({ text }) => text).slice(3)).toEqual(
      Array.from({ length: 100 - memory }, (_, i) => `record ${i + 3 + memory}`),
    );
    expect(books(r)).toBe(0);
    r.folder.failure = undefined;
    await r.append(1);
    await pass(r.clock, 500);
    expect(r.outbox.condition().state).toBe("running");
    expect(r.folder.segments).toHaveLength(1);
  });

  it("counts what falls out for want of room while the hub is away", async () => {
    const r = await rig(undefined, { maxBytes: 3_000 });
    r.uplink.isOpen = false;
    await r.append(200, 2);
    expect(r.outbox.counters.lost.full).toBeGreaterThan(100);
    expect(r.outbox.owed + r.outbox.counters.lost.full).toBe(400);
    r.uplink.isOpen = true;
    await pass(r.clock, 2_000);
    expect(r.uplink.stored.at(-1)!.text).toBe("record 199");
    expect(books(r)).toBe(0);
    expect(r.outbox.owed).toBe(0);
  });

  it("gives up a place of the disk that cannot be read, and goes on behind it", async () => {
    const r = await rig();
    r.uplink.isOpen = false;
    await r.append(60);
    r.uplink.isOpen = true;
    r.folder.readFailure = "EIO";
    await pass(r.clock, 200);
    expect(r.outbox.condition().state).toBe("degraded");
    await pass(r.clock, 100);
    r.folder.readFailure = undefined;
    await pass(r.clock, 1_000);
    const { damaged } = r.outbox.counters.lost;
    expect(damaged).toBeGreaterThan(0);
    expect(r.uplink.stored).toHaveLength(60 - damaged);
    expect(r.outbox.condition().state).toBe("running");
  });

  it("has stored, still owes or has counted every sample, whatever happens in whatever order", async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("append" as const),
        records: fc.nat(30),
        samples: fc.integer({ min: 1, max: 5 }),
      }),
      fc.record({ do: fc.constant("open" as const) }),
      fc.record({ do: fc.constant("close" as const) }),
      fc.record({ do: fc.constant("refuse" as const) }),
      fc.record({ do: fc.constant("pass" as const), ms: fc.nat(1_500) }),
      fc.record({ do: fc.constant("kill" as const) }),
      fc.record({ do: fc.constant("diskFails" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        let r = await rig(undefined, { memoryBytes: 2_000 });
        const written: string[] = [];
        const stored = new Set<string>();
        let runs = 0;
        let hasDiskFailed = false;
        const note = (): void => {
          for (const { text } of r.uplink.stored) stored.add(text);
        };
        for (const s of steps) {
          switch (s.do) {
            case "append":
              written.push(...(await r.append(s.records, s.samples)));
              break;
            case "open":
              r.uplink.isOpen = true;
              r.uplink.mode = "store";
              r.folder.failure = undefined;
              break;
            case "close":
              r.uplink.isOpen = false;
              break;
            case "refuse":
              r.uplink.mode = new AppError("bus.stream_full", "full");
              break;
            case "pass":
              await pass(r.clock, s.ms);
              break;
            case "diskFails":
              r.folder.failure = "EIO";
              hasDiskFailed = true;
              break;
            case "kill":
              note();
              runs += 1;
              r = await rig(r.folder.afterKill(), { memoryBytes: 2_000 }, runs);
              break;
          }
          expect(books(r)).toBe(0);
        }
        r.uplink.isOpen = true;
        r.uplink.mode = "store";
        r.folder.failure = undefined;
        await pass(r.clock, 4_000);
        note();
        expect(r.outbox.owed).toBe(0);
        expect(books(r)).toBe(0);
        if (hasDiskFailed) return;
        expect(written.filter((text) => !stored.has(text))).toEqual([]);
        expect(r.outbox.counters.lost).toEqual({ full: 0, damaged: 0, memory: 0, refused: 0 });
      }),
      { numRuns: 40 },
    );
  });
});
