import type { Sample } from "@myelin/profile";
import { describe, expect, it } from "vitest";
import { ShadowDocument } from "./document.js";
import { type Gathered, gather } from "./gather.js";

const sample = (value: Sample["value"], timeUs = 1_000): Sample => ({
  point: "x",
  value,
  quality: "good",
  timeUs,
});

describe("a waveform", () => {
  it("is shown as what it says in numbers, not as its elements", () => {
    const into: Gathered = new Map();
    expect(gather(into, undefined, [sample([3, -4, 0, 5])], undefined)).toBe(3);
    const document = new ShadowDocument();
    document.measure(into);
    const rms = Math.sqrt(50 / 4);
    expect(document.state.reported).toEqual({ x: { rms, peak: 5, crest: 5 / rms } });
  });

  it("leaves a simple value where it is that was measured as such before", () => {
    const document = new ShadowDocument();
    document.measure(new Map([["x", { value: 7, timeUs: 1 }]]));
    const into: Gathered = new Map();
    expect(gather(into, document, [sample([1, 2])], undefined)).toBe(0);
    expect(into.size).toBe(0);
  });
});
