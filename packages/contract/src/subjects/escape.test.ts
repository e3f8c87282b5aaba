import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeToken, MAX_TOKEN_CHARS, unescapeToken } from "./escape.js";

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.string({
    unit: fc.constantFrom(..."=.*>/ \0\t\r\n$+#%AF09az-_", "é", "\u{1F300}", "\ufffd"),
    maxLength: 12,
  }),
);
const wellFormed = anyText.filter((s) => s.isWellFormed());
const bad = expect.objectContaining({ code: "contract.bad_token" });

describe("escapeToken", () => {
  it("makes one literal token of any text", () => {
    fc.assert(
      fc.property(wellFormed, (text) => {
        expect(escapeToken(text)).toMatch(/^[A-Za-z0-9_=-]+$/);
      }),
    );
  });

  it("gives the text back, so that two texts never share a token", () => {
    fc.assert(
      fc.property(wellFormed, (text) => {
        expect(unescapeToken(escapeToken(text))).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  it("leaves plain names as they are", () => {
    expect(escapeToken("boiler-17_A")).toBe("boiler-17_A");
  });

  it.each([
    ["", "="],
    ["=", "=3D"],
    ["a.b", "a=2Eb"],
    ["*", "=2A"],
    [">", "=3E"],
    ["a b\0", "a=20b=00"],
    ["é", "=C3=A9"],
    ["\ufffd", "=EF=BF=BD"],
  ])("writes %j as %s", (text, token) => {
    expect(escapeToken(text)).toBe(token);
    expect(unescapeToken(token)).toBe(text);
  });

  it("refuses half a character instead of letting it meet another name", () => {
    for (const text of ["\ud800", "a\udc00b", "\udc00\ud800"]) expect(() => escapeToken(text)).toThrow(bad);
  });

  it("refuses what would not fit a control line", () => {
    expect(escapeToken("a".repeat(MAX_TOKEN_CHARS))).toHaveLength(MAX_TOKEN_CHARS);
    expect(() => escapeToken("a".repeat(MAX_TOKEN_CHARS + 1))).toThrow(bad);
    expect(() => escapeToken(".".repeat(MAX_TOKEN_CHARS / 2))).toThrow(bad);
  });
});

describe("unescapeToken", () => {
  it("takes nothing but what escapeToken makes", () => {
    const token = fc.string({ unit: fc.constantFrom(..."=23AEFa.9"), maxLength: 9 });
    fc.assert(
      fc.property(token, (t) => {
        const text = unescapeToken(t);
        if (text !== undefined) expect(escapeToken(text)).toBe(t);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([["a.b"], ["=2e"], ["=41"], ["=FF"], ["=C3"], ["=2"], ["=="], ["a="], [""], ["*"], ["=ED=A0=80"]])(
    "refuses %j",
    (token) => {
      expect(unescapeToken(token)).toBeUndefined();
    },
  );
});
