import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generationOf } from "./generation.js";

function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, turned(inner)]),
  );
}

describe("the generation of a spec", () => {
  it("does not depend on the order of keys", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(generationOf(turned(value))).toBe(generationOf(value));
      }),
    );
  });

  it("is a whole number that fits where Kubernetes has one", () => {
    expect(generationOf({ a: 1 })).toSatisfy((n: number) => Number.isSafeInteger(n) && n > 0);
  });

  it("is another one after any change", () => {
    const specs = [{}, { a: 1 }, { a: "1" }, { a: [1] }, { a: { b: 1 } }, { a: [1, 2] }, { a: [2, 1] }, null];
    expect(new Set(specs.map(generationOf)).size).toBe(specs.length);
  });
});
