import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TICK_MS, TimingWheel, type WheelEntry } from "./timing-wheel.js";

class Entry implements WheelEntry {
  wheelNext: WheelEntry | undefined;
  wheelPrev: WheelEntry | undefined;
  wheelSlot = -1;
  readonly firedAt: number[] = [];

  constructor(private readonly then: (now: number) => number = () => 0) {}

  onWheel(now: number): number {
    this.firedAt.push(now);
    return this.then(now);
  }
}

describe("TimingWheel", () => {
  it("looks at each entry at its tick and at no other", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 250 }), { maxLength: 40 }), async (ticks) => {
        const clock = new FakeClock();
        const wheel = new TimingWheel(clock);
        wheel.start();
        const entries = ticks.map((t) => {
          const entry = new Entry();
          wheel.schedule(entry, t);
          return entry;
        });
        await clock.advance(260 * TICK_MS);
        wheel.stop();
        expect(entries.map((e) => e.firedAt)).toEqual(ticks.map((t) => [t]));
      }),
      { numRuns: 20 },
    );
  });

  it("looks at an entry again when that asks for it, also beyond its own size", async () => {
    const clock = new FakeClock();
    const wheel = new TimingWheel(clock);
    wheel.start();
    const due = 700;
    const entry = new Entry((now) => due - now);
    wheel.schedule(entry, due);
    await clock.advance(800 * TICK_MS);
    expect(entry.firedAt.at(-1)).toBe(due);
    expect(entry.firedAt.length).toBeLessThan(5);
  });

  it("forgets an entry that is cancelled, also while its neighbour is looked at", async () => {
    const clock = new FakeClock();
    const wheel = new TimingWheel(clock);
    wheel.start();
    const [a, b, c]: Entry[] = [new Entry(), new Entry(), new Entry()];
    const killer = new Entry(() => {
      wheel.cancel(a!);
      wheel.cancel(c!);
      return 0;
    });
    for (const entry of [a!, b!, c!, killer]) wheel.schedule(entry, 3);
    await clock.advance(10 * TICK_MS);
    expect([a, b, c].map((e) => e!.firedAt)).toEqual([[], [3], []]);
    expect(killer.firedAt).toEqual([3]);
  });

  it("moves an entry that is scheduled twice", async () => {
    const clock = new FakeClock();
    const wheel = new TimingWheel(clock);
    wheel.start();
    const entry = new Entry();
    wheel.schedule(entry, 2);
    wheel.schedule(entry, 5);
    await clock.advance(10 * TICK_MS);
    expect(entry.firedAt).toEqual([5]);
  });

  it("counts the time in which the loop was blocked against nobody", () => {
    let nowMs = 0;
    let tick = (): void => undefined;
    const clock = Object.assign(new FakeClock(), {
      nowMs: () => nowMs,
      setInterval: (callback: () => void) => {
        tick = callback;
        return { unref: () => undefined };
      },
    });
    const wheel = new TimingWheel(clock as never);
    wheel.start();
    nowMs += 20 * TICK_MS;
    const entry = new Entry();
    wheel.schedule(entry, 2);
    tick();
    expect(entry.firedAt).toEqual([]);
    tick();
    expect(entry.firedAt).toEqual([2]);
  });

  it("leaves no timer behind", () => {
    const clock = new FakeClock();
    const wheel = new TimingWheel(clock);
    wheel.start();
    wheel.start();
    wheel.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});
