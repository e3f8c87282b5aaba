import { BatchBuilder, BatchView, createChannel, EMPTY_HEAD, Lane, Stamp } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventLinks } from "./event-links.js";
import { TrackedBatch } from "./event-tracker.js";

const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "d" }, 0);

/** Batches 1 … count of one sender, one envelope each. */
function batchesOf(sender: string, count: number): Buffer[] {
  const link = { sender, incarnation: 1, partition: 0, lane: Lane.EVENT, target: "", targetInstance: "" };
  const builder = new BatchBuilder(link, new Stamp(Buffer.alloc(10)));
  return Array.from({ length: count }, (_, i) => {
    const payload = Buffer.from(`${sender}${i + 1}`);
    builder.append(channel, payload, 0, payload.length);
    return builder.finish()!;
  });
}

function setUp(options: { settleMs?: number; maxHeld?: number } = {}) {
  const clock = new FakeClock();
  const released: string[] = [];
  const doubled: string[] = [];
  let missing = 0;
  const view = new BatchView();
  const textOf = (batch: TrackedBatch): string => {
    view.reset(batch.delivery.data).next();
    return view.payload().toString();
  };
  const links = new EventLinks({
    clock,
    waitMs: 5_000,
    settleMs: options.settleMs ?? 0,
    ...(options.maxHeld === undefined ? {} : { maxHeld: options.maxHeld }),
    release: (batch, late) => released.push(textOf(batch) + (late ? " late" : "")),
    double: (batch) => doubled.push(textOf(batch)),
    missing: (count) => {
      missing += count;
    },
  });
  let sequence = 0;
  const accept = (data: Buffer, redelivered = false): void => {
    const delivery = { data, streamSequence: ++sequence, redelivered, ack: () => undefined };
    links.accept(view.reset(data), new TrackedBatch(delivery, 0, () => undefined));
  };
  return { clock, links, released, doubled, accept, missing: () => missing };
}

describe("EventLinks", () => {
  it("restores the order of each producer out of any order of arrival, and drops doubles", () => {
    const orders = fc.array(fc.nat({ max: 19 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(orders, (picks) => {
        const { accept, released, doubled, links } = setUp();
        const batches = batchesOf("a", 20);
        accept(batches[0]!);
        for (const pick of picks) accept(batches[pick]!);
        for (const batch of batches) accept(batch);
        expect(released).toEqual(batches.map((_, i) => `a${i + 1}`));
        expect(doubled).toHaveLength(1 + picks.length + batches.length - 20);
        expect(links.heldEnvelopes).toBe(0);
      }),
    );
  });

  it("gives a missing batch up after its time, books it, and takes it all the same when it comes late", async () => {
    const { accept, released, clock, links, missing } = setUp();
    const [one, two, three, four] = batchesOf("a", 4) as [Buffer, Buffer, Buffer, Buffer];
    accept(one);
    accept(three);
    accept(four);
    await clock.advance(4_999);
    expect([released, links.heldEnvelopes]).toEqual([["a1"], 2]);
    await clock.advance(1);
    expect([released, missing()]).toEqual([["a1", "a3", "a4"], 1]);
    accept(two);
    accept(two);
    expect(released).toEqual(["a1", "a3", "a4", "a2 late"]);
  });

  it("waits for one producer without holding up another", () => {
    const { accept, released } = setUp();
    const a = batchesOf("a", 3);
    const b = batchesOf("b", 2);
    for (const batch of [a[0]!, a[2]!, b[0]!, b[1]!, a[1]!]) accept(batch);
    expect(released).toEqual(["a1", "b1", "b2", "a2", "a3"]);
  });

  it("gathers what comes right after a takeover, since it may come in the wrong order", async () => {
    const { accept, released, clock } = setUp({ settleMs: 100 });
    const a = batchesOf("a", 9);
    for (const i of [6, 5, 7]) accept(a[i]!);
    expect(released).toEqual([]);
    await clock.advance(100);
    expect(released).toEqual(["a6", "a7", "a8"]);
  });

  it("neither waits for nor misses what an earlier owner has acknowledged out of order", () => {
    const { accept, released, missing, links } = setUp();
    const a = batchesOf("a", 9);
    accept(a[1]!, true);
    accept(a[4]!, true);
    accept(a[6]!);
    accept(a[8]!);
    expect(released).toEqual(["a2", "a5", "a7"]);
    expect(links.heldEnvelopes).toBe(1);
    accept(a[7]!);
    expect(released).toEqual(["a2", "a5", "a7", "a8", "a9"]);
    expect(missing()).toBe(0);
  });

  it("holds a bounded number of batches", () => {
    const { accept, released } = setUp({ maxHeld: 3 });
    const a = batchesOf("a", 9);
    for (const i of [0, 2, 3, 4, 5]) accept(a[i]!);
    expect(released).toEqual(["a1", "a3", "a4", "a5", "a6"]);
  });
});
