import type { DeviceProfileSpec } from "@myelin/config";
import {
  BatchBuilder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  Kind,
  Lane,
  payloadCodecs,
  Stamp,
} from "@myelin/contract";
import { ReadingBlock } from "@myelin/data-store";
import { Profile } from "@myelin/profile";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Mapper } from "./mapping.js";

const KINDS = ["number", "boolean", "text", "json", "bytes", "text", "none"];
type Mapping = ConstructorParameters<typeof Mapper>[0];

const DEFAULTS: Mapping = { by: "profile", depth: 4 };

function map(payload: Buffer, spec: Partial<Mapping> = {}, contentType = "", profile?: Profile) {
  const head = { ...EMPTY_HEAD, tenant: "n", deviceId: "d", path: "a/b", kind: Kind.EVENT, contentType };
  const link = {
    sender: "l",
    incarnation: 1,
    partition: 0,
    lane: Lane.EVENT,
    target: "",
    targetInstance: "",
  };
  const stamp = new Stamp(Buffer.alloc(10, 7));
  stamp.tick(1_000_000);
  const builder = new BatchBuilder(link, stamp);
  builder.append(createChannel(1, head, 0), payload, 0, payload.length);
  const view = new BatchView().reset(builder.finish()!);
  view.next();
  const block = new ReadingBlock();
  const count = new Mapper({ ...DEFAULTS, ...spec }).map(view, block, profile);
  const { series, seriesOf, kind, value, others, timeUs, ref, quality, reasons } = block.columns();
  const rows = Array.from({ length: block.count }, (_, i) => ({
    point: series[seriesOf[i]! * 4 + 3],
    kind: KINDS[kind[i]!],
    value: kind[i]! > 1 ? others[value[i]!] : value[i],
    timeUs: timeUs[i],
  }));
  expect(rows).toHaveLength(count);
  return {
    rows,
    ref: ref[0],
    quality: quality[0],
    qualities: [...quality.subarray(0, count)],
    series,
    reasons,
  };
}

const points = (payload: unknown, spec?: Partial<Mapping>) =>
  Object.fromEntries(
    map(Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)), spec).rows.map(
      ({ point, value }) => [point, value],
    ),
  );

const BOILER = {
  payloads: [{ format: "json", time: { field: "at", unit: "ms" } }],
  points: {
    t: { type: "number", from: { field: "t" }, range: { max: 150 } },
    p: { type: "number", from: { field: "p" }, expected: { max: 95 } },
    on: { type: "boolean", from: { field: "on" } },
    gone: { type: "number", from: { field: "gone" }, whenMissing: "bad" },
  },
  commands: {},
} as unknown as DeviceProfileSpec;

describe("a mapping", () => {
  it("keeps what the profile of the device makes of a payload, and its fields where that is not to count", () => {
    const profile = new Profile("boiler", BOILER);
    const read = map(Buffer.from('{"t":200,"on":true,"more":1}'), {}, "", profile);
    expect(read.rows.map(({ point, value, timeUs }) => [point, value, timeUs])).toEqual([
      ["t", null, 1_000_000],
      ["on", 1, 1_000_000],
      ["gone", null, 1_000_000],
    ]);
    expect([new Mapper({ ...DEFAULTS, by: "fields" }).isByProfile, new Mapper(DEFAULTS).isByProfile]).toEqual(
      [false, true],
    );
  });

  it("leaves samples that a route has made of a payload as they are", () => {
    const sample = { point: "t", value: 5, quality: "good", timeUs: 7 };
    const { rows } = map(Buffer.from(JSON.stringify([sample])), {}, "", new Profile("boiler", BOILER));
    expect(rows.map(({ point, value, timeUs }) => [point, value, timeUs])).toEqual([["t", 5, 7]]);
  });

  it("makes a point of each field, with dots between levels, and of nothing that is null", () => {
    expect(points({ t: 21.5, on: true, room: { h: 40, deep: { x: "y" } }, no: null })).toEqual({
      t: 21.5,
      on: 1,
      "room.h": 40,
      "room.deep.x": "y",
    });
  });

  it("keeps lists, and what lies deeper than it should, as JSON", () => {
    expect(points({ w: [1, 2], a: { b: { c: 1 } } }, { depth: 2 })).toEqual({ w: "[1,2]", "a.b": '{"c":1}' });
    expect(points('{ "a": 1.50 }', { depth: 0 })).toEqual({ "": '{ "a": 1.50 }' });
  });

  it.each([
    ["21.5", "number", 21.5],
    ["true", "boolean", 1],
    ['"on"', "text", "on"],
    ["on", "text", "on"],
    ["[1, 2]", "json", "[1, 2]"],
    ["null", "json", "null"],
    ["1e400", "number", Number.POSITIVE_INFINITY],
  ])("makes one value of %s", (text, kind, value) => {
    expect(map(Buffer.from(text)).rows).toMatchObject([{ point: "", kind, value }]);
  });

  it("keeps bytes that are neither JSON nor text", () => {
    const bytes = Buffer.from([0xff, 0x00, 0xfe]);
    expect(map(bytes).rows).toMatchObject([{ kind: "bytes", value: new Uint8Array(bytes) }]);
    expect(map(Buffer.alloc(0)).rows).toEqual([]);
  });

  it("reads MessagePack by its content type", () => {
    const payload = payloadCodecs.msgpack.encode({ t: 1, raw: Buffer.from([1, 2]) });
    expect(map(payload, {}, "application/msgpack").rows).toMatchObject([
      { point: "t", value: 1 },
      { point: "raw", kind: "bytes", value: new Uint8Array([1, 2]) },
    ]);
  });

  it("keeps only the points it should", () => {
    expect(points({ a: 1, b: { c: 2 }, d: 3 }, { points: ["b.c", "d"] })).toEqual({ "b.c": 2, d: 3 });
    expect(points({ a: 1 }, { points: ["x"] })).toEqual({});
  });

  it.each([
    ["s", 1_700_000_000, 1_700_000_000_000_000],
    ["ms", 4_102_444_800_000, 4_102_444_800_000_000],
    ["us", 5, 5],
    ["iso", "1970-01-01T00:00:01Z", 1_000_000],
  ] as const)("takes the time from a field in %s, and does not make a point of it", (unit, at, timeUs) => {
    const { rows } = map(Buffer.from(JSON.stringify({ m: { at }, t: 1 })), { time: { field: "m.at", unit } });
    expect(rows).toEqual([{ point: "t", kind: "number", value: 1, timeUs }]);
  });

  it.each(["soon", -1, 1e300, null, {}])(
    "falls back on the message's time, as uncertain, for the time %j",
    (at) => {
      const { rows, quality } = map(Buffer.from(JSON.stringify({ at, t: 1 })), {
        time: { field: "at", unit: "ms" },
      });
      expect(rows.find(({ point }) => point === "t")?.timeUs).toBe(1_000_000);
      expect(quality).toBe(1);
    },
  );

  it("keeps a document with too many fields, too long names or too much depth as one value", () => {
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`f${i}`, i])));
    const long = JSON.stringify({ ["n".repeat(600)]: 1 });
    const deep = `{"a":${"[".repeat(5_000)}${"]".repeat(5_000)}}`;
    for (const text of [many, long, deep]) expect(points(text)).toEqual({ "": text });
  });

  it("keeps a waveform that a profile has made whole, as one value", () => {
    const sample = { point: "x", quality: "good", timeUs: 1_700_000_000_000_000 };
    const { rows } = map(Buffer.from(JSON.stringify([{ ...sample, value: [1, -0.5, 2] }])));
    expect(rows).toEqual([{ point: "x", kind: "json", value: "[1,-0.5,2]", timeUs: sample.timeUs }]);
  });

  it("keeps each sample that a profile has made under its own time, bad ones without a value and with the reason", () => {
    const profile = new Profile("boiler", BOILER);
    const source = { path: "a/b", sourceTimeUs: 0, quality: "good" as const };
    const payload = Buffer.from('{"at":1700000000000,"t":999,"p":98,"on":true,"w":7}');
    const samples = profile.decode({ ...source, payload, ingestTimeUs: 1_700_000_001_000_000 });
    const timeUs = 1_700_000_000_000_000;
    for (const codec of [payloadCodecs.json, payloadCodecs.msgpack]) {
      const { rows, qualities, reasons } = map(Buffer.from(codec.encode(samples)), {}, codec.contentType);
      expect(rows).toEqual([
        { point: "t", kind: "none", value: null, timeUs },
        { point: "p", kind: "number", value: 98, timeUs },
        { point: "on", kind: "boolean", value: 1, timeUs },
        { point: "gone", kind: "none", value: null, timeUs },
      ]);
      expect(qualities).toEqual([2, 1, 0, 2]);
      expect([...reasons]).toEqual([
        [0, "above_range"],
        [1, "above_expected"],
        [3, "missing"],
      ]);
      expect(map(Buffer.from(codec.encode(samples)), { points: ["p"] }, codec.contentType).rows).toHaveLength(
        1,
      );
    }
  });

  it.each([
    ['[{"point":"t","quality":"good","timeUs":1,"value":null}]', "without a value, and good"],
    ['[{"point":"t","quality":"fine","timeUs":1,"value":1}]', "of no known quality"],
    ['[{"point":"t","quality":"good","timeUs":0.5,"value":1}]', "at no time"],
    ['[{"point":"t","quality":"good","timeUs":1,"value":["a"]}]', "with a value of no simple form"],
    ['[{"point":"\\u0000","quality":"good","timeUs":1,"value":1}]', "with a name that no store can hold"],
    ["[]", "none at all"],
  ])("keeps a list of what only looks like samples as one value: %s, %s", (text) => {
    expect(points(text)).toEqual({ "": text });
  });

  it("gives every message a reference of its own, and never fails, whatever the payload", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
          fc.json().map((text) => Buffer.from(text)),
          fc.object({ withNullPrototype: false }).map((value) => Buffer.from(JSON.stringify(value))),
        ),
        fc.constantFrom(
          "",
          "application/json",
          "application/msgpack",
          "text/plain",
          "application/octet-stream",
        ),
        (payload, contentType) => {
          const { ref, rows, series } = map(payload, {}, contentType);
          if (rows.length > 0) expect(ref).toBeGreaterThan(0);
          for (const name of series) expect(name.includes("\0")).toBe(false);
        },
      ),
    );
  });
});
