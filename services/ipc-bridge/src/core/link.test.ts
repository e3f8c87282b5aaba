import { envelope, Lane } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Books } from "./books.js";
import { Deliveries } from "./deliveries.js";
import { EpochFence } from "./fence.js";
import { Link } from "./link.js";

const hop = (sequence: number, change: Partial<envelope.Hop> = {}): envelope.Hop =>
  envelope.Hop.create({
    sequence,
    firstOrdinal: (sequence - 1) * 2,
    count: 2,
    epoch: 1,
    lane: Lane.EVENT,
    ...change,
  });

const FRAME = Buffer.alloc(100);

describe("Link", () => {
  it("is never acknowledged past what was sent, whatever the app says", () => {
    const acks = fc.array(fc.nat(20), { maxLength: 20 });
    fc.assert(
      fc.property(fc.nat(10), acks, (sent, sequences) => {
        const link = new Link(hop(1));
        for (let s = 1; s <= 10; s++) {
          const { entry } = link.take(hop(s), FRAME);
          if (s <= sent) entry.frame = undefined;
        }
        let settled = 0;
        for (const sequence of sequences) {
          link.acknowledge(sequence, () => settled++);
          expect(link.ackedSequence).toBeLessThanOrEqual(sent);
          expect(link.ackedOrdinal).toBe(link.ackedSequence * 2);
        }
        const highest = Math.min(sent, Math.max(0, ...sequences));
        expect([link.ackedSequence, settled, link.outstanding]).toEqual([highest, highest, 10 - highest]);
      }),
    );
  });

  it("tells doubles and gaps apart, and counts what a gap swallowed", () => {
    const link = new Link(hop(1));
    link.take(hop(1), FRAME);
    expect([hop(1), hop(2), hop(4), hop(2, { firstOrdinal: 5 })].map((h) => link.judge(h))).toEqual([
      "double",
      "next",
      "gap",
      "gap",
    ]);
    expect(link.take(hop(4), FRAME).lost).toBe(4);
    expect(link.lost).toBe(4);
  });

  it("passes batches that were given up as soon as all before them are done", () => {
    const link = new Link(hop(1));
    const [first, second] = [1, 2].map((s) => link.take(hop(s), FRAME).entry);
    expect(link.giveUp(second!)).toBe(false);
    first!.frame = undefined;
    expect(link.acknowledge(1, () => undefined)).toBe(true);
    expect(link.ackedSequence).toBe(2);
    expect(link.outstanding).toBe(0);
  });
});

describe("EpochFence", () => {
  it("lets only the newest owner through, per partition", () => {
    const fence = new EpochFence();
    const verdicts = [
      [1, 5],
      [1, 5],
      [1, 7],
      [1, 5],
      [2, 3],
    ].map(([partition, epoch]) => fence.judge(partition!, epoch!));
    expect(verdicts).toEqual(["current", "current", "newer", "stale", "current"]);
  });
});

describe("Deliveries", () => {
  it("keep the books balanced and the credit unbroken under any order of batches, acks, new owners and blocking", () => {
    type Step =
      | { kind: "batch"; partition: number; lane: Lane }
      | { kind: "ack"; partition: number; lane: Lane; sequence: number }
      | { kind: "owner"; partition: number }
      | { kind: "block" }
      | { kind: "drain" };
    const partition = fc.nat(1);
    const lane = fc.constantFrom(Lane.TELEMETRY, Lane.EVENT);
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("batch" as const), partition, lane }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("ack" as const),
          partition,
          lane,
          sequence: fc.integer({ min: 1, max: 30 }),
        }),
      },
      fc.record({ kind: fc.constant("owner" as const), partition }),
      fc.record({ kind: fc.constant("block" as const) }),
      fc.record({ kind: fc.constant("drain" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const books = new Books();
        let failed = false;
        let blocked = false;
        const epochs = [1, 1];
        const sequences = new Map<string, number>();
        const deliveries: Deliveries = new Deliveries(
          {
            app: "a",
            instance: "i",
            tracing: undefined,
            books,
            heldBytes: 700,
            send: () => {
              expect(deliveries.sentEnvelopes).toBeLessThanOrEqual(6);
              return !blocked;
            },
            acknowledged: () => undefined,
            fail: () => {
              failed = true;
              deliveries.close();
            },
          },
          { envelopes: 6, bytes: 1_000_000 },
        );
        const balanced = (): void => {
          for (const account of books) {
            const dropped = Object.values(account.dropped).reduce((a, b) => a + b);
            expect(account.received).toBe(account.forwarded + account.queued + dropped);
            expect(account.queued).toBeGreaterThanOrEqual(0);
          }
        };
        for (const s of steps) {
          if (failed) break;
          if (s.kind === "batch") {
            const epoch = epochs[s.partition]!;
            const key = `${s.partition} ${s.lane} ${epoch}`;
            const sequence = (sequences.get(key) ?? 0) + 1;
            sequences.set(key, sequence);
            const change = { partition: s.partition, lane: s.lane, epoch };
            deliveries.offer({ hop: hop(sequence, change), bytes: FRAME } as never);
          } else if (s.kind === "ack") {
            const { partition: p, lane: l, sequence } = s;
            deliveries.acknowledge({ partition: p, lane: l, epoch: epochs[p]!, sequence });
          } else if (s.kind === "owner") {
            epochs[s.partition]! += 1;
            deliveries.retire(s.partition, epochs[s.partition]!);
          } else if (s.kind === "block") blocked = true;
          else {
            blocked = false;
            deliveries.unblocked();
          }
          balanced();
          expect(deliveries.heldBytes).toBeLessThanOrEqual(2 * 700 + 200);
        }
        deliveries.close();
        balanced();
        for (const account of books) expect(account.queued).toBe(0);
        expect(deliveries.sentEnvelopes).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
