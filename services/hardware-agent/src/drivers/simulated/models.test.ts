import { describe, expect, it } from "vitest";
import { models, noiseOf } from "./models.js";

function after(name: string, seconds: number, change: Record<string, number> = {}) {
  const model = models[name]?.(noiseOf(1));
  if (model === undefined) throw new RangeError(name);
  Object.assign(model.values, change);
  for (let i = 0; i < seconds; i++) model.step(1);
  return model.values as Record<string, number>;
}

describe("a model", () => {
  it("of a tank fills while its valve is closed, and runs over", () => {
    expect(after("tank", 600, { valve: 0 })).toMatchObject({ level: 100, overflow: 1, outflow: 0 });
    expect(after("tank", 600, { pump: 0, valve: 100 }).level).toBeLessThan(5);
  });

  it("of a motor follows its setpoint, and trips under too much load until it is switched off", () => {
    expect(after("motor", 60).speed).toBeCloseTo(1_200, 0);
    const hot = after("motor", 1_800, { load: 100, setpoint: 1_500 });
    expect(hot.tripped).toBe(1);
    expect(after("motor", 1, { run: 0, tripped: 1, temperature: 40 }).tripped).toBe(0);
  });

  it("of a room is warmed by its heater and aired by its window", () => {
    expect(after("room", 1_800, { heater: 1 }).temperature).toBeGreaterThan(
      after("room", 1_800).temperature as number,
    );
    expect(after("room", 1_800, { window: 1 }).co2).toBeLessThan(after("room", 1_800).co2 as number);
  });

  it("does the same again for the same seed", () => {
    expect(after("tank", 50)).toEqual(after("tank", 50));
  });
});
