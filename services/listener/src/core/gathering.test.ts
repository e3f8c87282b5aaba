import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { Gathering } from "./gathering.js";

/** `perMs` come in each of so many milliseconds; how many pieces that makes. */
async function piecesOf(perMs: number, ms: number): Promise<number> {
  const clock = new FakeClock();
  let pieces = 0;
  const gathering = new Gathering(clock, () => {
    pieces++;
  });
  for (let at = 0; at < ms; at++) {
    for (let i = 0; i < perMs; i++) gathering.add();
    await clock.advance(1);
  }
  await clock.advance(100);
  return pieces;
}

describe("a gathering", () => {
  it("lets what comes alone wait for a millisecond", async () => {
    expect(await piecesOf(1, 1)).toBe(1);
    expect(await piecesOf(1, 50)).toBe(50);
  });

  it("makes few pieces of what comes by the thousand a second", async () => {
    const pieces = await piecesOf(10, 1_000);
    expect(pieces).toBeGreaterThanOrEqual(1_000 / 16);
    expect(pieces).toBeLessThan(1_000 / 16 + 10);
  });

  it("is quick again when the storm is over", async () => {
    const clock = new FakeClock();
    let pieces = 0;
    const gathering = new Gathering(clock, () => {
      pieces++;
    });
    for (let at = 0; at < 100; at++) {
      for (let i = 0; i < 10; i++) gathering.add();
      await clock.advance(1);
    }
    await clock.advance(16);
    // The first that comes alone may find the long wait of the storm, the next one does not.
    gathering.add();
    await clock.advance(16);
    const before = pieces;
    gathering.add();
    await clock.advance(1);
    expect(pieces).toBe(before + 1);
  });

  it("calls nothing for what was cleared, and leaves no timer", async () => {
    const clock = new FakeClock();
    let pieces = 0;
    const gathering = new Gathering(clock, () => {
      pieces++;
    });
    gathering.add();
    gathering.clear();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(100);
    expect(pieces).toBe(0);
  });
});
