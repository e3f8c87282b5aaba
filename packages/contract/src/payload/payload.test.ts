import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecForContentType, type PayloadCodec, payloadCodecs } from "./index.js";
import { checkValueDepth } from "./limits.js";

const { json, msgpack, raw } = payloadCodecs;
const bad = expect.objectContaining({ code: "contract.bad_payload" });
const hex = (text: string) => Buffer.from(text, "hex");
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

// -0 and keys that name a prototype are where JSON, MessagePack and objects differ on purpose or by nature.
const value = fc.jsonValue({ maxDepth: 4, noUnicodeString: false }).filter((v) => {
  const text = JSON.stringify(v);
  return !text.includes("__proto__") && text.isWellFormed();
});
const normal = (v: unknown) => JSON.parse(JSON.stringify(v)) as unknown;

describe.each([json, msgpack])("the codec $name", (codec: PayloadCodec) => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(value, (v) => {
        expect(normal(codec.decode(codec.encode(v)))).toEqual(normal(v));
      }),
    );
  });

  it("throws nothing but contract.bad_payload for random, mutated and truncated bytes", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat())
        .map(([v, changes, cut]) => {
          const out = codec.encode(v);
          for (const [at, byte] of changes) out[at % out.length] = byte;
          return out.subarray(0, 1 + (cut % out.length));
        }),
    );
    fc.assert(
      fc.property(bytes, (b) => {
        try {
          codec.decode(b);
        } catch (error) {
          expect(AppError.is(error) && error.code).toBe("contract.bad_payload");
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("takes values as deep as the limit and none deeper, both ways", () => {
    const deep = codec.encode(nested(8), { maxDepth: 8 });
    expect(codec.decode(deep, { maxDepth: 8 })).toEqual(nested(8));
    expect(() => codec.decode(deep, { maxDepth: 7 })).toThrow(bad);
    expect(() => codec.encode(nested(8), { maxDepth: 7 })).toThrow(bad);
  });

  it("refuses a value that holds itself", () => {
    const loop: unknown[] = [];
    loop.push({ loop });
    expect(() => codec.encode(loop)).toThrow(bad);
  });

  it("takes as many bytes as the limit and no more, both ways", () => {
    const bytes = codec.encode("12345678");
    expect(codec.decode(bytes, { maxBytes: bytes.length })).toBe("12345678");
    expect(() => codec.decode(bytes, { maxBytes: bytes.length - 1 })).toThrow(bad);
    expect(() => codec.encode("12345678", { maxBytes: bytes.length - 1 })).toThrow(bad);
  });

  it("goes on after a value it could not encode", () => {
    expect(() => codec.encode(Symbol("x"))).toThrow(bad);
    expect(codec.decode(codec.encode({ a: [1, "b", null, true] }))).toEqual({ a: [1, "b", null, true] });
  });
});

describe("JSON", () => {
  it.each([
    ["nothing", ""],
    ["half an object", '{"a":'],
    ["two values", "1 2"],
    ["a byte order mark", "\ufeff1"],
    ["brackets a million deep", "[".repeat(1_000_000)],
    ["an unknown word", "NaN"],
  ])("refuses %s", (_, text) => {
    expect(() => json.decode(Buffer.from(text))).toThrow(bad);
  });

  it("refuses bytes that are not UTF-8", () => {
    expect(() => json.decode(hex("22ff22"))).toThrow(bad);
  });

  it("counts no brackets in strings", () => {
    const text = JSON.stringify(["[[[[", "\\", '"[[[['.repeat(30)]);
    expect(json.decode(Buffer.from(text), { maxDepth: 1 })).toEqual(JSON.parse(text));
  });

  it("writes bytes as base64 and integers of any size with all their digits", () => {
    expect(json.encode({ b: hex("00ff"), n: 2n ** 64n }).toString()).toBe(
      '{"b":"AP8=","n":18446744073709551616}',
    );
  });

  it("refuses what has no form in it", () => {
    for (const v of [undefined, () => 1]) expect(() => json.encode(v)).toThrow(bad);
  });
});

describe("MessagePack", () => {
  it.each([
    ["nil", "c0", null],
    ["a small map", "81a16101", { a: 1 }],
    ["bytes", "c403010203", Buffer.from([1, 2, 3])],
    ["an integer above 2^53", "cfffffffffffffffff", 18446744073709551615n],
    ["a small integer in eight bytes", "cf0000000000000001", 1],
    ["a float", "cb3ff8000000000000", 1.5],
    ["a timestamp", "d6ff00000001", new Date(1000)],
  ])("reads %s", (_, bytes, expected) => {
    expect(msgpack.decode(hex(bytes))).toEqual(expected);
  });

  it.each([
    ["nothing", ""],
    ["the byte it never has", "c1"],
    ["an array of 4 G values", "ddffffffff"],
    ["an array of 32 M values", "dd01f00000"],
    ["a map of 4 G entries", "dfffffffff"],
    ["a text of 4 GB", "dbffffffff61"],
    ["bytes that are cut off", "c40501"],
    ["a length that is cut off", "da00"],
    ["an array that is cut off", "9301"],
    ["two values", "0102"],
    ["a record of the library", "d47240"],
    ["a regular expression of the library", "c70478a12ea0"],
    ["undefined of the library", "d40000"],
    ["a timestamp of a wrong size", "d5ff0000"],
    ["arrays a hundred thousand deep", "91".repeat(100_000)],
  ])("refuses %s", (_, bytes) => {
    expect(() => msgpack.decode(hex(bytes))).toThrow(bad);
  });

  it("writes only what every decoder knows", () => {
    expect(msgpack.encode({ a: undefined, b: [undefined] })).toEqual(hex("82a161c0a16291c0"));
    expect(msgpack.encode(Buffer.from([1]))).toEqual(hex("c40101"));
  });

  it("gives each encoded value its own bytes", () => {
    const first = msgpack.encode("first");
    msgpack.encode("other");
    expect(first).toEqual(Buffer.concat([hex("a5"), Buffer.from("first")]));
  });
});

describe("raw", () => {
  it("passes bytes and text through", () => {
    expect(raw.decode(raw.encode(hex("0102")))).toEqual(hex("0102"));
    expect(raw.encode("text")).toEqual(Buffer.from("text"));
    expect(() => raw.encode(7)).toThrow(bad);
    expect(() => raw.encode(null)).toThrow(bad);
    expect(() => raw.decode(Buffer.alloc(3), { maxBytes: 2 })).toThrow(bad);
  });
});

describe("codecForContentType", () => {
  it.each([
    ["application/json", "json"],
    ["Application/JSON; charset=utf-8", "json"],
    ["application/senml+json", "json"],
    ["application/msgpack", "msgpack"],
    ["application/x-msgpack;v=5", "msgpack"],
    ["application/senml+msgpack", "msgpack"],
    ["application/octet-stream", "raw"],
    ["text/plain", undefined],
    ["", undefined],
    ["json", undefined],
  ])("gives for %j the codec %s", (type, name) => {
    expect(codecForContentType(type)?.name).toBe(name);
  });
});

describe("checkValueDepth", () => {
  it("takes bytes for one value, however many they are", () => {
    expect(() => checkValueDepth([new Uint8Array(1000)], { maxDepth: 1 })).not.toThrow();
  });
});
