import fc from "fast-check";
import { describe, it } from "vitest";
import { honestBytes, honestNoise, honestValues } from "./honest.js";

describe("whatever a device sends, nothing is thrown and no wrong value is ever good", () => {
  it("as values in JSON and MessagePack", () => fc.assert(honestValues, { numRuns: 500 }));
  it("as numbers in bytes", () => fc.assert(honestBytes, { numRuns: 500 }));
  it("as noise", () => fc.assert(honestNoise, { numRuns: 500 }));
});
