import { type BusSpec, busKind, checkValue } from "@myelin/config";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitLine, lineCostOf, readTimeMs, type TimedRead, USABLE_SHARE } from "./line-time.js";

function busOf(link: object, more: object = {}): BusSpec {
  const { value, problems } = checkValue(busKind.spec, { link, ...more });
  expect(problems).toEqual([]);
  return value as BusSpec;
}

const rtu = (baud: number, more: object = {}) =>
  lineCostOf(busOf({ serial: { path: "/dev/ttyS0", baud } }, more));

const read = (intervalMs: number, responseBytes = 125): TimedRead => ({
  unit: "u",
  read: { requestBytes: 8, responseBytes, intervalMs, points: Uint32Array.of(0) },
});

describe("the time of a line", () => {
  it("counts bits, gaps and the latency of units", () => {
    const cost = rtu(9_600);
    // 133 bytes of 11 bits are 152.4 ms; two gaps of 3.5 characters are 8.0, and the unit takes 5.
    expect(readTimeMs(cost, read(1_000).read)).toBeCloseTo(152.4 + 8.02 + 5, 1);
    expect(rtu(115_200).gapMs).toBe(1.75);
    expect(lineCostOf(busOf({ serial: { path: "/dev/x", parity: "none" } })).bitsPerByte).toBe(10);
  });

  it("is enough for a plan that asks for less than can be used", () => {
    const fit = fitLine(rtu(9_600), [read(1_000), read(1_000)]);
    expect([fit.fits, fit.advice]).toEqual([[true, true], ""]);
    expect(fit.share).toBeCloseTo(0.33, 2);
  });

  it("is given to as many requests as possible, and it is said what would make all of them fit", () => {
    const fit = fitLine(rtu(9_600), [read(100), read(1_000), read(1_000)]);
    expect(fit.fits).toEqual([false, true, true]);
    expect(fit.advice).toBe(
      "it would take 199 % of the line, of which 90 % can be used: poll all of it 2.3 times as slowly, or run the line at 38400 bits per second",
    );
  });

  it("is never given away twice", () => {
    const reads = fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 5, max: 250 })), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(reads, fc.constantFrom(9_600, 115_200), (asked, baud) => {
        const cost = rtu(baud);
        const all = asked.map(([intervalMs, bytes]) => read(intervalMs, bytes));
        const { fits, share } = fitLine(cost, all);
        const used = all.reduce(
          (sum, one, i) => sum + (fits[i] === true ? readTimeMs(cost, one.read) / one.read.intervalMs : 0),
          0,
        );
        expect(used).toBeLessThanOrEqual(USABLE_SHARE + 1e-9);
        expect(share <= USABLE_SHARE).toBe(fits.every(Boolean));
      }),
    );
  });

  it("is counted for each of the requests that may be on the way", () => {
    const tcp = (outstanding: number) => lineCostOf(busOf({ tcp: { host: "plc", outstanding } }));
    expect(fitLine(tcp(1), [read(5)]).fits).toEqual([false]);
    expect(fitLine(tcp(2), [read(5)]).fits).toEqual([true]);
    expect(fitLine(tcp(1), [read(5)]).advice).toContain("let 2 requests be outstanding");
  });
});
