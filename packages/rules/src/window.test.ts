import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Window } from "./window.js";

const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: -1000, max: 1000 })), {
  minLength: 1,
  maxLength: 200,
});

describe("a window", () => {
  it("says of its stretches what a list of their samples says", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 2_000 }), (all, quietMs) => {
        const window = new Window(320);
        let atMs = 1_700_000_000_000;
        const samples = all.map(([stepMs, value]) => {
          atMs += stepMs;
          window.take(value, atMs);
          return { atMs, value };
        });
        const nowMs = atMs + quietMs;
        const inside = samples.filter((one) => Math.floor(nowMs / 10) - Math.floor(one.atMs / 10) < 32);
        const values = inside.map(({ value }) => value);
        const sum = values.reduce((a, b) => a + b, 0);
        expect(window.read("count", nowMs)).toBe(values.length);
        if (values.length === 0) {
          expect(window.read("average", nowMs)).toBeUndefined();
          return;
        }
        const mean = sum / values.length;
        expect(window.read("sum", nowMs)).toBeCloseTo(sum, 6);
        expect(window.read("average", nowMs)).toBeCloseTo(mean, 6);
        expect(window.read("min", nowMs)).toBe(Math.min(...values));
        expect(window.read("max", nowMs)).toBe(Math.max(...values));
        const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
        expect(window.read("deviation", nowMs)).toBeCloseTo(Math.sqrt(variance), 4);
        const [first, last] = [inside[0]!, inside.at(-1)!];
        const rate = ((last.value - first.value) * 1000) / (last.atMs - first.atMs);
        if (last.atMs > first.atMs) expect(window.read("rate", nowMs)).toBeCloseTo(rate, 6);
        else expect(window.read("rate", nowMs)).toBeUndefined();
      }),
    );
  });

  it("goes on after it was saved as if it had not been", () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const one = new Window(320);
        let atMs = 1_700_000_000_000;
        for (const [stepMs, value] of before) {
          atMs += stepMs;
          one.take(value, atMs);
        }
        const other = new Window(320);
        other.load(JSON.parse(JSON.stringify(one.save())) as number[]);
        for (const [stepMs, value] of after) {
          atMs += stepMs;
          one.take(value, atMs);
          other.take(value, atMs);
        }
        for (const what of ["count", "average", "min", "max", "deviation", "rate"] as const)
          expect(other.read(what, atMs)).toEqual(one.read(what, atMs));
      }),
    );
  });

  it("keeps small differences between large values", () => {
    const window = new Window(3_200);
    for (let i = 0; i < 1_000; i++) window.take(1e9 + (i % 2), i);
    expect(window.read("deviation", 999)).toBeCloseTo(0.5, 6);
  });
});
