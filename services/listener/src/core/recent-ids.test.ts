import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecentIds } from "./recent-ids.js";

const id = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff]);

describe("RecentIds", () => {
  it("knows an id again, and no other", () => {
    const ids = new RecentIds(10);
    expect(ids.add(id(1))).toBe(true);
    expect(ids.add(id(2))).toBe(true);
    expect(ids.add(id(1))).toBe(false);
  });

  it("copies what it is given", () => {
    const ids = new RecentIds(10);
    const bytes = id(1);
    ids.add(bytes);
    bytes.fill(7);
    expect(ids.add(id(1))).toBe(false);
  });

  it("never forgets one of the last of a generation, nor remembers more than two of them", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 300 }), (numbers) => {
        const ids = new RecentIds(8);
        const fresh: number[] = [];
        for (const n of numbers) {
          const at = fresh.lastIndexOf(n);
          const distance = at < 0 ? Number.POSITIVE_INFINITY : fresh.length - at;
          const isNew = ids.add(id(n));
          if (distance <= 8) expect(isNew).toBe(false);
          if (distance > 16) expect(isNew).toBe(true);
          if (isNew) fresh.push(n);
        }
      }),
    );
  });
});
