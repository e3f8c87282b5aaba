import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Backlog } from "./backlog.js";
import { type Chunk, SegmentLog, type SegmentLogLimits } from "./segment-log.js";
import { MemoryFolder } from "./testcases/memory-folder.js";

const LIMITS: SegmentLogLimits = {
  maxBytes: 1 << 20,
  segmentBytes: 400,
  pendingBytes: 1 << 20,
  syncAfterMs: 100,
};

async function rig(folder = new MemoryFolder(), limits: Partial<SegmentLogLimits> = {}, atLeast = 0) {
  const clock = new FakeClock();
  const done: Chunk[] = [];
  const removed: [number, number][] = [];
  const log = new SegmentLog(
    folder,
    clock,
    { ...LIMITS, ...limits },
    {
      chunkDone: (chunk) => done.push(chunk),
      removed: (from, to) => removed.push([from, to]),
    },
  );
  return { folder, clock, log, done, removed, opened: await log.open(atLeast) };
}

/** Records of one sample each, with their ordinal as payload; each is written before the next. */
async function write(log: SegmentLog, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    log.append(Buffer.from(`sample ${log.nextOrdinal}`), 1);
    await log.written();
  }
}

/** Everything that can be read of `[0, to)`, and what is told to be gone. */
async function readAll(log: SegmentLog, to: number): Promise<{ read: number[]; gone: number[] }> {
  const read: number[] = [];
  const gone: number[] = [];
  let at = 0;
  const backlog = new Backlog(log, (a, b) => {
    for (at = a; at < b; at++) gone.push(at);
  });
  while (at < to) {
    const found = await backlog.find(at);
    if (found === undefined) continue;
    const { buffer, place } = found.reader;
    expect(buffer.toString("utf8", place.payloadStart, place.end)).toBe(`sample ${place.ordinal}`);
    read.push(place.ordinal);
    at = place.ordinal + place.samples;
  }
  await backlog.close();
  return { read, gone };
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count - from }, (_, i) => from + i);

describe("the segments of an outbox", () => {
  it("give back what was written, over many files and starts", async () => {
    const first = await rig();
    await write(first.log, 40);
    expect(first.folder.segments.length).toBeGreaterThan(2);
    const second = await rig(first.folder.afterKill());
    expect(second.opened).toMatchObject({ firstOrdinal: 0, nextOrdinal: 40, cutBytes: 0 });
    await write(second.log, 20);
    expect(await readAll(second.log, 60)).toEqual({ read: upTo(60), gone: [] });
  });

  it("write what comes in one turn at once", async () => {
    const { log, done } = await rig();
    for (let i = 0; i < 5; i++) log.append(Buffer.from("x"), 3);
    await log.written();
    expect(log.counters.writes).toBe(1);
    expect(done).toMatchObject([{ ordinal: 0, samples: 15, isDurable: true }]);
  });

  it("lose nothing that was synced when the power goes, and begin the sync within its time", async () => {
    const { log, folder, clock } = await rig();
    await write(log, 10);
    expect((await rig(folder.afterPowerLoss())).opened.nextOrdinal).toBe(0);
    await clock.advance(100);
    expect(log.counters.syncs).toBe(1);
    expect((await rig(folder.afterPowerLoss())).opened.nextOrdinal).toBe(10);
    await log.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("cut a torn end off, wherever it was torn, and go on behind it", async () => {
    const whole = await rig();
    await write(whole.log, 9);
    const last = whole.folder.segments.at(-1)!;
    const { bytes } = whole.folder.files.get(last)!;
    for (let cut = 0; cut <= bytes.length; cut++) {
      const folder = whole.folder.afterKill();
      folder.files.get(last)!.bytes = bytes.subarray(0, cut);
      const { log, opened } = await rig(folder);
      const { nextOrdinal } = opened;
      await write(log, 3);
      expect(await readAll(log, nextOrdinal + 3)).toEqual({ read: upTo(nextOrdinal + 3), gone: [] });
      const size = 24 + "sample 0".length;
      expect(opened.cutBytes).toBe(cut % size);
    }
  });

  it("tell exactly which samples damage has taken, whichever bit has turned", async () => {
    const whole = await rig();
    await write(whole.log, 20);
    const place = fc.nat(whole.folder.segments.length - 2);
    await fc.assert(
      fc.asyncProperty(place, fc.nat(300), fc.nat(7), async (file, byte, bit) => {
        const folder = whole.folder.afterKill();
        const { bytes } = folder.files.get(folder.segments[file]!)!;
        bytes[byte % bytes.length]! ^= 1 << bit;
        const { read, gone } = await readAll((await rig(folder)).log, 20);
        expect(gone).toHaveLength(1);
        expect([...read, ...gone].sort((a, b) => a - b)).toEqual(upTo(20));
      }),
    );
  });

  it("remove the oldest segment when there is no more room, and say what it held", async () => {
    const { log, removed } = await rig(undefined, { maxBytes: 1_000 });
    await write(log, 100);
    expect(log.bytes).toBeLessThanOrEqual(1_000);
    const lost = removed.at(-1)![1];
    expect(removed[0]![0]).toBe(0);
    const { read, gone } = await readAll(log, 100);
    expect(gone).toEqual(upTo(lost));
    expect(read).toEqual(upTo(100, lost));
  });

  it("make room on a full disk at the cost of the oldest, and go on without the disk where that does not help", async () => {
    const { log, folder, clock, done, removed } = await rig();
    await write(log, 40);
    folder.capacityBytes = folder.usedBytes;
    await write(log, 1);
    expect(removed).toHaveLength(1);
    expect(done.at(-1)!.isDurable).toBe(true);
    folder.capacityBytes = 0;
    await write(log, 1);
    expect(done.at(-1)!.isDurable).toBe(false);
    expect(log.trouble).toContain("ENOSPC");
    const { writeErrors } = log.counters;
    await write(log, 5);
    // A disk that has just refused is left alone for a second.
    expect(log.counters.writeErrors).toBe(writeErrors);
    folder.capacityBytes = Number.POSITIVE_INFINITY;
    await clock.advance(1_000);
    await write(log, 1);
    expect(done.at(-1)!.isDurable).toBe(true);
    expect(log.trouble).toBeUndefined();
    const { read, gone } = await readAll(log, log.nextOrdinal);
    expect(gone).toEqual([...upTo(removed.at(-1)![1]), ...upTo(47, 41)]);
    expect(read.at(-1)).toBe(47);
  });

  it("hand on what waits too long for a disk that hangs", async () => {
    const { log, folder, done } = await rig(undefined, { pendingBytes: 300 * 1024 });
    let release = (): void => {};
    folder.held = new Promise((resolve) => {
      release = resolve;
    });
    const large = Buffer.alloc(200 * 1024);
    for (let i = 0; i < 6; i++) {
      log.append(large, 1);
      await new Promise(setImmediate);
    }
    expect(done.length).toBeGreaterThan(0);
    expect(done.every(({ isDurable }) => !isDurable)).toBe(true);
    expect(log.firstPending).toBe(0);
    release();
    await log.written();
    expect(done.map(({ ordinal }) => ordinal).sort()).toEqual(upTo(6));
    expect(log.firstPending).toBe(6);
  });

  it("begin a new file after a sync that failed", async () => {
    const { log, folder, clock } = await rig();
    await write(log, 1);
    const sync = clock.advance(100);
    folder.failure = "EIO";
    await sync;
    expect(log.counters.syncErrors).toBe(1);
    folder.failure = undefined;
    await write(log, 1);
    expect(folder.segments).toHaveLength(2);
    expect(await readAll(log, 2)).toEqual({ read: [0, 1], gone: [] });
  });

  it("keep a segment until nothing of it is owed", async () => {
    const { log, folder } = await rig();
    await write(log, 40);
    const before = folder.segments;
    await log.release((from, to) => from <= 20 && to > 20);
    const left = folder.segments;
    expect(left).toHaveLength(2);
    expect(left.at(-1)).toBe(before.at(-1));
    expect((await readAll(log, 40)).read).toContain(20);
  });

  it("refuse a record that no reader would take back", async () => {
    const { log } = await rig();
    expect(() => log.append(Buffer.alloc(1024 * 1024 + 1), 1)).toThrow(RangeError);
    expect(() => log.append(Buffer.alloc(1), 0)).toThrow(RangeError);
  });
});
