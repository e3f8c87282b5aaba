import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { headerText } from "./headers.js";

describe("text in a NATS header", () => {
  it("is printable ASCII whatever it was, and can be had back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const safe = headerText(text);
        expect(safe).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeURIComponent(safe)).toBe(text);
      }),
    );
  });

  it("stays as it is where it can", () => {
    expect(headerText("plant/boiler-1 (a)")).toBe("plant/boiler-1 (a)");
    expect(headerText("a\r\nEvil: 1%")).toBe("a%0D%0AEvil: 1%25");
  });
});
