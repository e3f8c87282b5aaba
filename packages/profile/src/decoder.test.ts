import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { payloadCodecs } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { isChange, Profile, type ProfiledMessage, type Sample } from "./index.js";

const NOW_US = Date.UTC(2026, 5, 1) * 1000;

function profileOf(spec: object): Profile {
  const { value, problems } = checkValue(deviceProfileKind.spec, spec);
  expect([...problems, ...(deviceProfileKind.check?.(value) ?? [])]).toEqual([]);
  return new Profile("p", value as DeviceProfileSpec);
}

const message = (payload: string | Uint8Array, more: Partial<ProfiledMessage> = {}): ProfiledMessage => ({
  path: "t",
  payload: Buffer.from(payload),
  ingestTimeUs: NOW_US,
  sourceTimeUs: 0,
  quality: "good",
  ...more,
});

const one = (point: object, payload: object = { format: "json" }) =>
  profileOf({ payloads: [payload], points: { x: { from: { field: "x" }, ...point } } });

const short = ({ value, quality, reason, raw }: Sample) =>
  [value, quality, ...(reason === undefined ? [] : [reason]), ...(raw === undefined ? [] : [raw])] as const;

describe("a payload", () => {
  const profile = profileOf({
    payloads: [
      { topics: ["raw/#"], format: "binary", size: { min: "3B", max: "4B" } },
      { topics: ["packed"], format: "msgpack" },
      { topics: ["t"], format: "json", time: { field: "meta.at", unit: "ms" } },
    ],
    points: {
      temperature: { unit: "Cel", from: { field: "list.1.t" }, scale: 0.5, add: -40, range: { max: 100 } },
      level: { from: { bytes: { offset: 0, as: "int16", byteOrder: "little" } }, scale: 0.1 },
      open: { type: "boolean", from: { bytes: { offset: 2, as: "uint8", bit: 6 } } },
    },
  });

  it("of JSON gives the points at their places, scaled, with unit and the time it says", () => {
    const at = NOW_US / 1000 - 5;
    expect(profile.decode(message(JSON.stringify({ list: [{}, { t: 123 }], meta: { at } })))).toEqual([
      { point: "temperature", value: 21.5, unit: "Cel", quality: "good", timeUs: NOW_US - 5000 },
    ]);
  });

  it("of MessagePack gives the same, at the time the message carries", () => {
    const payload = payloadCodecs.msgpack.encode({ list: [0, { t: 123 }] });
    expect(profile.decode(message(payload, { path: "packed", sourceTimeUs: NOW_US - 7 }))).toEqual([
      { point: "temperature", value: 21.5, unit: "Cel", quality: "good", timeUs: NOW_US - 7 },
    ]);
  });

  it("of bytes gives numbers and bits", () => {
    const decoded = profile.decode(message(Uint8Array.of(0x9c, 0xff, 0x40), { path: "raw/1" }));
    expect(decoded?.map(short)).toEqual([
      [-10, "good"],
      [true, "good"],
    ]);
  });

  it("that fits no payload of the profile has no samples", () => {
    expect(profile.decode(message("{}", { path: "other" }))).toBeUndefined();
  });

  it.each([
    ["is not of its format", "t", "{"],
    ["is not UTF-8", "t", Uint8Array.of(0x22, 0xff, 0x22)],
    ["is MessagePack cut short", "packed", Uint8Array.of(0x81, 0xa1)],
    ["is too short", "raw/1", Uint8Array.of(1, 2)],
    ["is too long", "raw/1", new Uint8Array(5)],
  ])("that %s makes every point of it bad", (_, path, payload) => {
    const decoded = profile.decode(message(payload, { path }));
    expect(decoded?.length).toBeGreaterThan(0);
    for (const sample of decoded ?? []) expect(short(sample)).toEqual([null, "bad", "unreadable"]);
  });
});

describe("a value", () => {
  it.each<[string, object, string, readonly unknown[]]>([
    ["text for a number", {}, '{"x":"21"}', [null, "bad", "wrong_type", "21"]],
    ["true for a number", {}, '{"x":true}', [null, "bad", "wrong_type", true]],
    ["a list for a number", {}, '{"x":[1]}', [null, "bad", "wrong_type"]],
    ["null", {}, '{"x":null}', [null, "bad", "no_value"]],
    ["a number larger than any", {}, '{"x":1e999}', [null, "bad", "not_finite", "Infinity"]],
    [
      "a number that scaling makes too large",
      { scale: 1e18 },
      '{"x":1e300}',
      [null, "bad", "not_finite", 1e300],
    ],
    ["a fraction for an integer", { type: "integer" }, '{"x":1.5}', [null, "bad", "wrong_type", 1.5]],
    [
      "an integer that is not exact",
      { type: "integer" },
      '{"x":9007199254740993}',
      [null, "bad", "inexact", 2 ** 53],
    ],
    [
      "a fault's number",
      { faults: [-9999], range: { min: -10_000 } },
      '{"x":-9999}',
      [null, "bad", "fault", -9999],
    ],
    [
      "a value below the range, once scaled",
      { scale: -1, range: { min: 0 } },
      '{"x":3}',
      [null, "bad", "below_range", 3],
    ],
    ["a value above the range", { range: { max: 2 } }, '{"x":3}', [null, "bad", "above_range", 3]],
    [
      "a value above what is expected",
      { expected: { max: 2 } },
      '{"x":3}',
      [3, "uncertain", "above_expected"],
    ],
    [
      "a value below what is expected",
      { expected: { min: 4 } },
      '{"x":3}',
      [3, "uncertain", "below_expected"],
    ],
    ["an unknown word", { type: "string", words: ["a"] }, '{"x":"b"}', [null, "bad", "unknown_word", "b"]],
    ["1 for true", { type: "boolean" }, '{"x":1}', [null, "bad", "wrong_type", 1]],
    ["a point that is missing", { whenMissing: "bad" }, "{}", [null, "bad", "missing"]],
    [
      "a field that the language gives to all",
      { whenMissing: "bad", from: { field: "constructor.name" } },
      "{}",
      [null, "bad", "missing"],
    ],
    [
      "the length of a list",
      { whenMissing: "bad", from: { field: "x.length" } },
      '{"x":[1]}',
      [null, "bad", "missing"],
    ],
    ["a value at the end of its range", { range: { min: 3, max: 3 } }, '{"x":3}', [3, "good"]],
  ])("that is %s", (_, point, payload, expected) => {
    expect(one(point).decode(message(payload))?.map(short)).toEqual([expected]);
  });

  it("that the payload does not have is not spoken of, unless the profile asks", () => {
    expect(one({}).decode(message("{}"))).toEqual([]);
  });

  it("of 64 bits is good while it is exact, and bad beyond", () => {
    const profile = one(
      { type: "integer", from: { bytes: { offset: 0, as: "uint64" } } },
      { format: "binary" },
    );
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(2n ** 53n - 1n);
    expect(profile.decode(message(bytes))?.map(short)).toEqual([[2 ** 53 - 1, "good"]]);
    bytes.writeBigUInt64BE(2n ** 63n);
    expect(profile.decode(message(bytes))?.map(short)).toEqual([
      [null, "bad", "inexact", "9223372036854775808"],
    ]);
  });

  it("that is NaN in bytes is bad", () => {
    const profile = one({ from: { bytes: { offset: 0, as: "float32" } } }, { format: "binary" });
    const bytes = Buffer.alloc(4);
    bytes.writeFloatBE(Number.NaN);
    expect(profile.decode(message(bytes))?.map(short)).toEqual([[null, "bad", "not_finite", "NaN"]]);
  });
});

describe("a waveform", () => {
  const waveform = { sampleHz: 1_000, length: 3 };
  const decode = (x: unknown, more: object = {}) =>
    one({ type: "waveform", waveform, ...more })
      .decode(message(JSON.stringify({ x })))
      ?.map(short);

  it("is a list of its length, each element scaled", () => {
    expect(decode([1, 2, 3], { scale: 0.5, add: 1 })).toEqual([[[1.5, 2, 2.5], "good"]]);
  });

  it.each<[string, unknown, object, readonly unknown[]]>([
    ["too short", [1, 2], {}, [null, "bad", "wrong_length", 2]],
    ["too long", [1, 2, 3, 4], {}, [null, "bad", "wrong_length", 4]],
    ["no list", 7, {}, [null, "bad", "wrong_type", 7]],
    ["with text in it", [1, "2", 3], {}, [null, "bad", "wrong_type", "2"]],
    ["with nothing in it", [1, null, 3], {}, [null, "bad", "wrong_type"]],
    [
      "with a fraction for a whole number",
      [1, 2.5, 3],
      { waveform: { ...waveform, elements: "integer" } },
      [null, "bad", "wrong_type", 2.5],
    ],
    ["with a fault in it", [1, -1, 3], { faults: [-1] }, [null, "bad", "fault", -1]],
    ["beyond its range", [1, 2, 30], { range: { max: 10 } }, [null, "bad", "above_range", 30]],
    [
      "beyond what is expected",
      [1, 2, 30],
      { expected: { max: 10 } },
      [[1, 2, 30], "uncertain", "above_expected"],
    ],
  ])("that is %s is as good as its worst element", (_, list, more, expected) => {
    expect(decode(list, more)).toEqual([expected]);
  });

  it("of bytes has its elements one behind the other, and is missing where they end too soon", () => {
    const profile = one(
      {
        type: "waveform",
        waveform,
        whenMissing: "bad",
        from: { bytes: { offset: 1, as: "int16", byteOrder: "little" } },
      },
      { format: "binary" },
    );
    expect(profile.decode(message(Uint8Array.of(9, 1, 0, 0xff, 0xff, 0, 1)))?.map(short)).toEqual([
      [[1, -1, 256], "good"],
    ]);
    expect(profile.decode(message(Uint8Array.of(9, 1, 0, 0xff, 0xff, 0)))?.map(short)).toEqual([
      [null, "bad", "missing"],
    ]);
  });

  it("is nothing that an interlock may name", () => {
    expect(() =>
      profileOf({
        payloads: [{ format: "json" }],
        points: { x: { type: "waveform", waveform, from: { field: "x" } } },
        commands: { go: { risk: "low", safety: { interlock: "x.all(one, one < 1.0)" } } },
      }),
    ).toThrow(expect.objectContaining({ code: "expression.invalid" }));
  });
});

describe("what the message says of itself", () => {
  const profile = one({}, { format: "json", time: { field: "t", unit: "s" } });
  const nowS = NOW_US / 1e6;
  const decode = (payload: object, more: Partial<ProfiledMessage> = {}) =>
    profile.decode(message(JSON.stringify(payload), more))?.map((s) => [...short(s), s.timeUs]);

  it("makes its samples no better than it is", () => {
    expect(decode({ x: 1, t: nowS }, { quality: "uncertain" })).toEqual([
      [1, "uncertain", "source_uncertain", NOW_US],
    ]);
    expect(decode({ x: 1, t: nowS }, { quality: "bad" })).toEqual([[null, "bad", "source_bad", 1, NOW_US]]);
  });

  it.each([
    ["in 1970", 12, "time_implausible"],
    ["in 2100", Date.UTC(2100, 0) / 1000, "time_implausible"],
    ["as text", "now", "time_unreadable"],
    ["nowhere", undefined, "time_unreadable"],
  ])("of the time, %s, is not believed", (_, t, reason) => {
    expect(decode({ x: 1, t })).toEqual([[1, "uncertain", reason, NOW_US]]);
  });
});

describe("a change", () => {
  const at = (value: number | null, quality: Sample["quality"] = "good"): Sample => ({
    point: "x",
    value,
    quality,
    timeUs: 1,
  });
  const specOf = (deadband?: object) => one(deadband === undefined ? {} : { deadband }).spec.points.x!;

  it.each<[string, object | undefined, Sample | undefined, Sample, boolean]>([
    ["the first sample", { absolute: 5 }, undefined, at(1), true],
    ["the same value again", undefined, at(1), at(1), false],
    ["the same value again with a deadband of 0", { absolute: 0 }, at(1), at(1), false],
    ["any other value without a deadband", undefined, at(1), at(1.001), true],
    ["less than the deadband", { absolute: 0.5 }, at(1), at(1.4), false],
    ["as much as the deadband", { absolute: 0.5 }, at(1), at(1.5), true],
    ["less than the percentage", { percent: 10 }, at(-100), at(-109), false],
    ["as much as the percentage", { percent: 10 }, at(-100), at(-110), true],
    ["another quality", { absolute: 5 }, at(1), at(1, "uncertain"), true],
    ["bad again", { absolute: 5 }, at(null, "bad"), at(null, "bad"), false],
  ])("%s", (_, deadband, last, next, expected) => {
    expect(isChange(specOf(deadband), last, next)).toBe(expected);
  });
});
