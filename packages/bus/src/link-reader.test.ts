import { BatchView, HopHeader, Lane, type LinkIdentity } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLinkReader } from "./link-reader.js";

interface Batch {
  readonly sequence: number;
  readonly firstOrdinal: number;
  readonly count: number;
  readonly epoch?: number;
}

function batch(
  { sequence, firstOrdinal, count, epoch = 0 }: Batch,
  link: Partial<LinkIdentity> = {},
): BatchView {
  const identity: LinkIdentity = {
    sender: "listener-0",
    incarnation: 1,
    partition: 0,
    lane: Lane.TELEMETRY,
    target: "",
    targetInstance: "",
    ...link,
  };
  const header = new HopHeader(identity);
  const bytes = Buffer.alloc(header.bytes.length);
  header.writeTo(bytes, 0, { sequence, firstOrdinal, count, flags: 0, epoch });
  return new BatchView().reset(bytes);
}

/** Ten envelopes each. */
const nth = (sequence: number, link?: Partial<LinkIdentity>): BatchView =>
  batch({ sequence, firstOrdinal: (sequence - 1) * 10, count: 10 }, link);

describe("the link reader", () => {
  it("takes a link in order and refuses doubles", () => {
    const reader = createLinkReader();
    expect([1, 2, 2, 1, 3].map((n) => reader.accept(nth(n)))).toEqual([true, true, false, false, true]);
    expect(reader).toMatchObject({ lostInTransit: 0, doubled: 20 });
  });

  it("books a gap by the envelopes it held, once", () => {
    const reader = createLinkReader();
    expect([1, 4, 3, 5].map((n) => reader.accept(nth(n)))).toEqual([true, true, false, true]);
    expect(reader.lostInTransit).toBe(20);
  });

  it("books nothing where a number was skipped but no envelope is missing", () => {
    const reader = createLinkReader();
    reader.accept(nth(1));
    expect(reader.accept(batch({ sequence: 3, firstOrdinal: 10, count: 5 }))).toBe(true);
    expect(reader.lostInTransit).toBe(0);
  });

  it("starts anywhere, and counts as lost what then comes from before its start", () => {
    const reader = createLinkReader();
    expect(reader.accept(nth(7))).toBe(true);
    expect(reader.accept(nth(6))).toBe(false);
    expect(reader).toMatchObject({ lostInTransit: 10, doubled: 0 });
  });

  it("expects everything of a sender that restarted while it listened", () => {
    const reader = createLinkReader();
    reader.accept(nth(5));
    reader.accept(nth(3, { incarnation: 2 }));
    expect(reader.lostInTransit).toBe(20);
    reader.accept(nth(9, { sender: "listener-1" }));
    expect(reader.lostInTransit).toBe(20);
  });

  it("refuses owners of an older epoch, per partition", () => {
    const reader = createLinkReader();
    const from = (sender: string, epoch: number, partition = 0) =>
      reader.accept(batch({ sequence: 1, firstOrdinal: 0, count: 1, epoch }, { sender, partition }));
    expect([from("old", 5), from("new", 6), from("old", 5), from("old", 5, 1), from("old", 7)]).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
  });

  it("goes on where another reader stopped", () => {
    const first = createLinkReader();
    first.accept(nth(1));
    const second = createLinkReader();
    second.restore(JSON.parse(JSON.stringify(first.positions())));
    expect([nth(1), nth(4)].map((view) => second.accept(view))).toEqual([false, true]);
    expect(second).toMatchObject({ lostInTransit: 20, doubled: 10 });
  });

  it("forgets the link that was silent longest when there are too many", () => {
    const reader = createLinkReader({ maxLinks: 2 });
    for (const [i, sender] of ["a", "b", "a", "c"].entries()) reader.accept(nth(i + 1, { sender }));
    expect(reader.positions().map((position) => position.sender)).toEqual(["a", "c"]);
  });

  it("accounts for every envelope of a link from which any batches are missing", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(50), fc.boolean()), { minLength: 2 }), (batches) => {
        const reader = createLinkReader();
        let ordinal = 0;
        let taken = 0;
        const last = batches.length - 1;
        for (const [i, [count, arrives]] of batches.entries()) {
          // The first and the last arrive: without them nobody knows of a gap.
          if (arrives || i === 0 || i === last) {
            const view = batch({ sequence: i + 1, firstOrdinal: ordinal, count });
            if (reader.accept(view)) taken += count;
          }
          ordinal += count;
        }
        expect(taken + reader.lostInTransit).toBe(ordinal);
      }),
    );
  });
});
