import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forEachElement, forEachField, isJson } from "./json-scan.js";

function accepts(text: string): boolean {
  const bytes = Buffer.from(text);
  return isJson(bytes, 0, bytes.length);
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const NASTY = fc.array(
  fc.constantFrom(
    ...'{}[]",:.+-eE0129 \t\n\\/bfnrtu\u0001aF'.split(""),
    "true",
    "false",
    "null",
    "\\u12aF",
    "é",
  ),
  { maxLength: 14 },
);

describe("isJson", () => {
  it("agrees with JSON.parse on every string of JSON's own characters", () => {
    fc.assert(
      fc.property(NASTY, (parts) => {
        const text = parts.join("");
        expect(accepts(text), JSON.stringify(text)).toBe(parses(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it("accepts what JSON.stringify writes and refuses it cut anywhere", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.nat(), (value, cut) => {
        const text = JSON.stringify([value], undefined, 1);
        expect(accepts(text)).toBe(true);
        expect(accepts(text.slice(0, cut % text.length))).toBe(false);
      }),
    );
  });

  it("refuses nesting beyond its bound instead of overflowing", () => {
    expect(accepts("[".repeat(256) + "]".repeat(256))).toBe(true);
    expect(accepts("[".repeat(258) + "]".repeat(258))).toBe(false);
    expect(accepts("[".repeat(1_000_000))).toBe(false);
  });
});

describe("forEachElement", () => {
  it("cuts an array into the same values that JSON.parse sees", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (values) => {
        const bytes = Buffer.from(` ${JSON.stringify(values, undefined, 1)} `);
        const seen: unknown[] = [];
        const whole = forEachElement(bytes, 0, bytes.length, (from, to) =>
          seen.push(JSON.parse(bytes.toString("utf8", from, to))),
        );
        expect(whole).toBe(true);
        expect(seen).toEqual(JSON.parse(JSON.stringify(values)));
      }),
    );
  });

  it.each(["", "1", "[", "[1", "[1,", "[1,]", "[,1]", "[1]x", "{}"])("refuses %j", (text) => {
    const bytes = Buffer.from(text);
    expect(forEachElement(bytes, 0, bytes.length, () => {})).toBe(false);
  });
});

describe("forEachField", () => {
  it("finds the values of an object byte for byte", () => {
    const bytes = Buffer.from('{ "a" : 1.50, "b":{"x":[1, 2]} ,"c":"\\"}"}');
    const seen: Record<string, string> = {};
    const whole = forEachField(bytes, 0, bytes.length, (keyFrom, keyTo, from, to) => {
      seen[bytes.toString("utf8", keyFrom, keyTo)] = bytes.toString("utf8", from, to);
    });
    expect(whole).toBe(true);
    expect(seen).toEqual({ a: "1.50", b: '{"x":[1, 2]}', c: '"\\"}"' });
  });

  it.each(["", "[]", "{", "{1:2}", '{"a"}', '{"a":1,}', '{"a":1}x', '{"a":1 "b":2}'])(
    "refuses %j",
    (text) => {
      const bytes = Buffer.from(text);
      expect(forEachField(bytes, 0, bytes.length, () => {})).toBe(false);
    },
  );
});
