import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { median, significant, suffixed, summarize } from "./stats.js";

describe("median", () => {
  it("is undefined of nothing, the middle of odd and the mean of even numbers", () => {
    expect([median([]), median([3]), median([5, 1, 3]), median([4, 1, 2, 3])]).toEqual([
      undefined,
      3,
      3,
      2.5,
    ]);
  });

  it("has as many values above as below it", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values) as number;
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });
});

describe("summarize", () => {
  it("takes the median and the spread of the rounds that have a figure", () => {
    expect(summarize([{ rate: 10, lost: 1 }, { rate: 30 }, { rate: 20 }])).toEqual({
      figures: { rate: 20, lost: 1 },
      spread: { rate: [10, 30], lost: [1, 1] },
    });
  });
});

it("puts a suffix behind every name and none for the empty one", () => {
  expect(suffixed({ rate: 1 }, "strict")).toEqual({ rate_strict: 1 });
  expect(suffixed({ rate: 1 }, "")).toEqual({ rate: 1 });
});

it("rounds to significant digits", () => {
  expect([significant(123_456), significant(0.000123456, 2), significant(0)]).toEqual([123_500, 0.00012, 0]);
});
