import { describe, expect, it } from "vitest";
import { Baseline } from "./baseline.js";

const usual = { warmUp: 100, memory: 500, season: "none", sensitivity: 1, floor: 0 } as const;

/** Normal numbers, the same in each run. */
function* noise(): Generator<number, never> {
  let seed = 42;
  const next = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return (seed + 1) / 2 ** 32;
  };
  for (;;) yield Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}

describe("a baseline", () => {
  it("says 0 while it warms up, then how many usual spreads a value is away", () => {
    const baseline = new Baseline(usual);
    const source = noise();
    for (let i = 0; i < 100; i++) expect(baseline.take(20 + 2 * source.next().value, i)).toBe(0);
    for (let i = 0; i < 3_000; i++) baseline.take(20 + 2 * source.next().value, i);
    expect(baseline.take(40, 0)).toBeGreaterThan(8);
    expect(baseline.take(40, 0)).toBeLessThan(12);
    expect(baseline.take(20, 0)).toBeLessThan(0.5);
  });

  it("finds every knock, and hardly anything where nothing is", () => {
    const baseline = new Baseline(usual);
    const source = noise();
    let [odd, found] = [0, 0];
    for (let i = 0; i < 20_000; i++) {
      const isKnock = i > 1_000 && i % 100 === 0;
      const score = baseline.take(source.next().value + (isKnock ? 12 : 0), i);
      if (score > 4) isKnock ? found++ : odd++;
    }
    expect(found).toBe(189);
    expect(odd).toBeLessThan(20);
  });

  it("gets used to a new level after about as many samples as it remembers", () => {
    const baseline = new Baseline(usual);
    const source = noise();
    for (let i = 0; i < 2_000; i++) baseline.take(source.next().value, i);
    expect(baseline.take(10, 0)).toBeGreaterThan(6);
    let last = 0;
    for (let i = 0; i < 3_000; i++) last = baseline.take(10 + source.next().value, i);
    expect(last).toBeLessThan(4);
  });

  it("knows what is usual at each hour", () => {
    const baseline = new Baseline({ ...usual, season: "day", warmUp: 20, memory: 200 });
    const source = noise();
    const hour = 3_600_000;
    for (let i = 0; i < 24 * 100; i++) baseline.take((i % 24) * 10 + source.next().value, i * hour);
    expect(baseline.take(120, 2_412 * hour)).toBeLessThan(5);
    expect(baseline.take(120, 2_403 * hour)).toBeGreaterThan(20);
  });

  it("takes any change of what never moved for odd, unless a least spread is given", () => {
    const still = new Baseline(usual);
    const floored = new Baseline({ ...usual, floor: 1 });
    for (let i = 0; i < 200; i++) {
      still.take(5, i);
      floored.take(5, i);
    }
    expect(still.take(5.1, 200)).toBeGreaterThan(1_000);
    expect(floored.take(5.1, 200)).toBeCloseTo(0.1, 3);
  });

  it("goes on after it was saved", () => {
    const one = new Baseline({ ...usual, season: "day" });
    const source = noise();
    for (let i = 0; i < 5_000; i++) one.take(source.next().value, i * 600_000);
    const other = new Baseline({ ...usual, season: "day" });
    other.load(JSON.parse(JSON.stringify(one.save())) as number[]);
    for (let i = 5_000; i < 5_200; i++) {
      const value = source.next().value;
      expect(other.take(value, i * 600_000)).toBe(one.take(value, i * 600_000));
    }
  });
});
