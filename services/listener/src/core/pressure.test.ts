import { describe, expect, it } from "vitest";
import { Patience, Pressure } from "./pressure.js";

function setUp() {
  const pressure = new Pressure();
  const changes: boolean[] = [];
  pressure.attach((isOn) => changes.push(isOn));
  return { pressure, changes };
}

describe("pressure", () => {
  it("is on while anybody presses, and says so once", () => {
    const { pressure, changes } = setUp();
    const [a, b] = [new Patience(1_000, 0), new Patience(1_000, 0)];
    for (const one of [a, b, a]) pressure.press(one, 0);
    pressure.ease(a, 10);
    expect([pressure.isOn, changes]).toEqual([true, [true]]);
    pressure.ease(a, 10);
    pressure.ease(b, 10);
    expect([pressure.isOn, changes]).toEqual([false, [true, false]]);
  });

  it("ends for who takes nothing when its patience is over, and others have theirs", () => {
    const { pressure } = setUp();
    const [stuck, late] = [new Patience(1_000, 0), new Patience(1_000, 0)];
    pressure.press(stuck, 0);
    pressure.press(late, 900);
    pressure.look(1_000);
    expect([stuck.isOver, pressure.isOn]).toEqual([false, true]);
    pressure.look(1_200);
    expect([stuck.isOver, stuck.isPressing, late.isPressing]).toEqual([true, false, true]);
    pressure.look(2_100);
    expect([late.isOver, pressure.isOn]).toEqual([true, false]);
    // It has none left to press again.
    pressure.press(stuck, 2_200);
    expect(pressure.isOn).toBe(false);
  });

  it("has its time again at a tenth of what passes", () => {
    const { pressure } = setUp();
    const patience = new Patience(1_000, 0);
    pressure.press(patience, 0);
    pressure.look(1_200);
    pressure.press(patience, 5_000);
    expect(pressure.isOn).toBe(false);
    pressure.press(patience, 7_000);
    expect(pressure.isOn).toBe(true);
    // Half of it, as that is what was there.
    pressure.look(7_800);
    expect(pressure.isOn).toBe(false);
  });

  it.each([
    ["messages", 1_000, 0, false],
    ["messages", 300, 0, true],
    ["bytes", 10, 1_000_000, false],
    ["bytes", 10, 50_000, true],
  ])("waits for who reads on: %s, %i at a time of %i bytes, over: %s", (_what, count, bytes, isOver) => {
    const { pressure } = setUp();
    const patience = new Patience(1_000, 0);
    pressure.press(patience, 0);
    // So much in each tenth of a second.
    for (let ms = 100; ms <= 10_000; ms += 100) {
      for (let i = 0; i < count; i++) patience.sent(bytes);
      pressure.look(ms);
    }
    expect(patience.isOver).toBe(isOver);
  });

  it("never begins for who is to be waited for not at all", () => {
    const { pressure } = setUp();
    pressure.press(new Patience(0, 0), 0);
    expect(pressure.isOn).toBe(false);
  });
});
