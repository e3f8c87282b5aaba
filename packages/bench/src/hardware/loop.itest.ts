import { describe, expect, it } from "vitest";
import { measureLoop, startLoop } from "../measure/modbus.js";

describe("the loop of modbus-serial", () => {
  it.each([1, 125])("reads the units of the bench, %i registers at once", async (atOnce) => {
    await using rig = await startLoop(3, 250, atOnce);
    const figures = await measureLoop(rig, { warmUpSeconds: 0, seconds: 0.5 });
    expect(figures.tags_per_core).toBeGreaterThan(0);
    const last = await rig.loop.stop();
    expect(last.received).toBeGreaterThan(0);
  });
});
