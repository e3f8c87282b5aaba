import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrdinalRanges } from "./ordinal-ranges.js";

const steps = fc.array(
  fc.record({ isAdd: fc.boolean(), from: fc.nat(60), length: fc.nat(15), at: fc.nat(80) }),
  { maxLength: 60 },
);

describe("ranges of ordinals", () => {
  it("hold what a set of numbers holds", () => {
    fc.assert(
      fc.property(steps, (list) => {
        const ranges = new OrdinalRanges(1_000);
        const model = new Set<number>();
        for (const { isAdd, from, length, at } of list) {
          const to = from + length;
          const before = model.size;
          for (let i = from; i < to; i++) isAdd ? model.add(i) : model.delete(i);
          if (isAdd) ranges.add(from, to);
          else expect(ranges.remove(from, to)).toBe(before - model.size);
          const sorted = [...model].sort((a, b) => a - b);
          expect(ranges.total).toBe(model.size);
          expect(ranges.first).toBe(sorted[0]);
          expect(ranges.next(at)).toBe(sorted.find((i) => i >= at));
          expect(ranges.count(from, to)).toBe(sorted.filter((i) => i >= from && i < to).length);
          expect(ranges.ranges.flatMap(([a, b]) => Array.from({ length: b - a }, (_, i) => a + i))).toEqual(
            sorted,
          );
        }
        const all = ranges.ranges;
        expect(all.every(([a, b], i) => a < b && (i === 0 || all[i - 1]![1] < a))).toBe(true);
      }),
    );
  });

  it("close the narrowest hole when there would be too many, and forget nothing", () => {
    const ranges = new OrdinalRanges(2);
    ranges.add(0, 100);
    ranges.remove(10, 20);
    ranges.remove(50, 53);
    expect(ranges.ranges).toEqual([
      [0, 10],
      [20, 100],
    ]);
    expect(ranges.total).toBe(90);
  });
});
