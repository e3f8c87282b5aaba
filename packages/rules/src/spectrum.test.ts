import { describe, expect, it } from "vitest";
import { bandRms, crest, peak, rms } from "./spectrum.js";

const sine = (hz: number, amplitude: number, n = 1_000, sampleHz = 1_000): number[] =>
  Array.from({ length: n }, (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / sampleHz));
const sum = (a: number[], b: number[]): number[] => a.map((one, i) => one + b[i]!);

describe("a list of samples", () => {
  it("has a root mean square, a peak and a crest factor", () => {
    const one = sine(50, 3);
    expect(rms(one)).toBeCloseTo(3 / Math.SQRT2, 3);
    expect(peak(one)).toBeCloseTo(3, 3);
    expect(crest(one)).toBeCloseTo(Math.SQRT2, 3);
    expect(crest([0, 0, 0, 10, 0, 0, 0, 0])).toBeGreaterThan(2.5);
    expect([rms([]), peak([]), crest([]), crest([0, 0])]).toEqual([0, 0, 0, 0]);
  });

  it.each([256, 1_000, 1_024, 4_000])("of %i has in each band what was put there", (n) => {
    const both = sum(sine(50, 3, n), sine(200, 1, n));
    const offset = both.map((one) => one + 100);
    const band = (fromHz: number, toHz: number) => bandRms(offset, { sampleHz: 1_000, fromHz, toHz });
    expect(band(30, 70)).toBeCloseTo(3 / Math.SQRT2, 1);
    expect(band(180, 220)).toBeCloseTo(1 / Math.SQRT2, 1);
    expect(band(300, 500)).toBeLessThan(0.05);
    expect(band(0, 500)).toBeCloseTo(Math.sqrt(5), 1);
  });

  it("too short for a spectrum has none", () => {
    expect(bandRms([], { sampleHz: 1, fromHz: 0, toHz: 1 })).toBe(0);
    expect(bandRms([5], { sampleHz: 1, fromHz: 0, toHz: 1 })).toBe(0);
  });
});
