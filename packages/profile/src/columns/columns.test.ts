import { checkValue, type DeviceProfileSpec, deviceProfileKind, type PointSpec } from "@myelin/config";
import { sample as wire } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isChange, SAMPLE_REASONS, type Sample } from "../index.js";
import { judge } from "../judge.js";
import { decodeSampleBlock } from "./block-decoder.js";
import { BlockEncoder } from "./block-encoder.js";
import { ChangeFilter } from "./change-filter.js";
import { ColumnJudge } from "./column-judge.js";
import { FORM, QUALITY, type RawColumns, REASON, SampleColumns, verdictOf } from "./columns.js";

function pointsOf(points: Record<string, object>): readonly PointSpec[] {
  const { value, problems } = checkValue(deviceProfileKind.spec, { points });
  expect(problems).toEqual([]);
  return Object.values((value as DeviceProfileSpec).points);
}

const number = fc.oneof(
  fc.double({ noDefaultInfinity: false }),
  fc.integer({ min: -50, max: 50 }),
  fc.constantFrom(-0, 0, 1, Number.NaN, Number.POSITIVE_INFINITY),
);
const bound = fc.option(fc.integer({ min: -40, max: 40 }), { nil: undefined });
const range = fc
  .record({ min: bound, max: bound })
  .filter(({ min, max }) => min === undefined || max === undefined || min <= max)
  .map(({ min, max }) => ({ ...(min !== undefined && { min }), ...(max !== undefined && { max }) }));
const point = fc
  .record({
    type: fc.constantFrom("number", "integer", "boolean", "string"),
    scale: fc.option(fc.constantFrom(0.1, 2, -1), { nil: undefined }),
    add: fc.option(fc.constantFrom(-40, 3), { nil: undefined }),
    range: fc.option(range, { nil: undefined }),
    expected: fc.option(range, { nil: undefined }),
    faults: fc.option(fc.constant([7, 32_767]), { nil: undefined }),
    words: fc.option(fc.constant(["on", "off"]), { nil: undefined }),
    deadband: fc.option(fc.constantFrom({ absolute: 2 }, { percent: 10 }, { percent: 0 }), {
      nil: undefined,
    }),
  })
  .map((one) => Object.fromEntries(Object.entries(one).filter(([, v]) => v !== undefined)));
const raw = fc.oneof(
  number.map((value) => ({ value, other: undefined })),
  fc
    .oneof(fc.constantFrom("on", "x"), fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }))
    .map((other) => ({ value: Number.NaN, other })),
);

function columns(raws: readonly { value: number; other: string | bigint | undefined }[], quality = 0) {
  return {
    values: Float64Array.from(raws, ({ value }) => value),
    quality: new Uint8Array(raws.length).fill(quality),
    reason: new Uint8Array(raws.length),
    sourceTimeUs: Float64Array.from(raws, (_, i) => 1_000 + i),
    others: raws.some(({ other }) => other !== undefined) ? raws.map(({ other }) => other) : [],
  } satisfies RawColumns;
}

const all = (size: number) => Uint32Array.from({ length: size }, (_, i) => i);

describe("judging columns", () => {
  it("says of each value what judging it alone says", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(point, raw), { minLength: 1, maxLength: 8 }), (cases) => {
        const specs = pointsOf(Object.fromEntries(cases.map(([spec], i) => [`p${i}`, spec])));
        const out = new SampleColumns(cases.length);
        const read = columns(cases.map(([, one]) => one));
        new ColumnJudge(specs).judge(read, all(cases.length), out);
        const names = cases.map((_, i) => `p${i}`);
        const got = decodeSampleBlock(new BlockEncoder(names).encode(out, all(cases.length), 0));
        const expected = cases.map(([, { value, other }], i) => {
          const spec = specs[i] as PointSpec;
          const given = spec.type === "boolean" && (value === 0 || value === 1) ? value === 1 : value;
          return { point: `p${i}`, ...judge(spec, other ?? given), timeUs: 1_000 + i };
        });
        expect(got).toEqual(expected);
      }),
    );
  });

  it("gives what could not be read no value and its reason, and never the value before", () => {
    const specs = pointsOf({ a: {}, b: { type: "integer" } });
    const out = new SampleColumns(2);
    const judgeAll = new ColumnJudge(specs);
    const read = columns([
      { value: 3, other: undefined },
      { value: 4, other: undefined },
    ]);
    judgeAll.judge(read, all(2), out);
    read.quality[0] = QUALITY.bad;
    read.reason[0] = REASON.no_reply;
    read.quality[1] = QUALITY.uncertain;
    judgeAll.judge(read, all(2), out);
    expect(decodeSampleBlock(new BlockEncoder(["a", "b"]).encode(out, all(2), 1_500))).toEqual([
      { point: "a", value: null, quality: "bad", reason: "no_reply", timeUs: 1_000, latencyUs: 1_500 },
      {
        point: "b",
        value: 4,
        quality: "uncertain",
        reason: "source_uncertain",
        timeUs: 1_001,
        latencyUs: 1_500,
      },
    ]);
  });
});

describe("what is told", () => {
  it("is what isChange says, against what was told last", () => {
    fc.assert(
      fc.property(point, fc.array(raw, { minLength: 1, maxLength: 12 }), (spec, raws) => {
        const specs = pointsOf({ p: spec });
        const [first] = specs as [PointSpec];
        const filter = new ChangeFilter(specs, Number.POSITIVE_INFINITY);
        const judgeAll = new ColumnJudge(specs);
        const encoder = new BlockEncoder(["p"]);
        const out = new SampleColumns(1);
        let last: Sample | undefined;
        for (const one of raws) {
          judgeAll.judge(columns([one]), all(1), out);
          const [next] = decodeSampleBlock(encoder.encode(out, all(1), 0)) as [Sample];
          const isTold = filter.choose(out, all(1), 0).length === 1;
          expect(isTold).toBe(isChange(first, last, next));
          if (isTold) last = next;
        }
      }),
    );
  });

  it("comes again when the heartbeat is due, and when it could not be handed on", () => {
    const specs = pointsOf({ p: {} });
    const filter = new ChangeFilter(specs, 1_000);
    const out = new SampleColumns(1);
    const told = (nowMs: number) => filter.choose(out, all(1), nowMs).length;
    expect([told(0), told(999), told(1_000), told(1_001)]).toEqual([1, 0, 1, 0]);
    filter.forget(all(1));
    expect(told(1_002)).toBe(1);
  });
});

describe("a block", () => {
  it("is the same in the generated code, for any times, text and raw values", () => {
    const one = fc.record({
      form: fc.constantFrom(...Object.values(FORM)),
      value: fc.double({ noNaN: true, noDefaultInfinity: true }),
      text: fc.string({ unit: "grapheme" }),
      time: fc.integer({ min: 0, max: 2 ** 52 }),
      raw: fc.oneof(fc.constant(undefined), fc.integer(), fc.string({ unit: "grapheme" }), fc.boolean()),
      name: fc.string({ minLength: 1, unit: "grapheme" }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(one, { minLength: 1, selector: ({ name }) => name }),
        fc.nat(),
        (ones, latencyUs) => {
          const out = new SampleColumns(ones.length);
          for (const [i, { form, value, text, time, raw: read }] of ones.entries()) {
            out.forms[i] = form;
            out.values[i] = value;
            out.texts[i] = text;
            out.timeUs[i] = time;
            out.raws[i] = read;
            out.verdicts[i] = form === FORM.none ? verdictOf(QUALITY.bad, REASON.above_range) : 0;
          }
          const bytes = new BlockEncoder(ones.map(({ name }) => name)).encode(
            out,
            all(ones.length),
            latencyUs,
          );
          const block = wire.Block.decode(bytes);
          expect(block.points).toEqual(ones.map(({ name }) => name));
          expect(wire.Block.decode(wire.Block.encode(block).finish())).toEqual(block);
          expect(decodeSampleBlock(bytes)?.map(({ timeUs }) => timeUs)).toEqual(ones.map(({ time }) => time));
          const texts = ones.filter(({ form }) => form === FORM.text).map(({ text }) => text);
          expect([block.texts, block.latencyUs]).toEqual([texts, latencyUs]);
          const raws = ones.flatMap(({ form, raw: read }, i) =>
            form === FORM.none && read !== undefined ? [[i, read]] : [],
          );
          expect(block.raws.map(({ point: at, value }) => [at, value?.value])).toEqual(raws);
        },
      ),
    );
  });

  it("is none when its columns do not fit each other, or when it is any other bytes", () => {
    const good = {
      ...wire.Block.create(),
      points: ["a"],
      forms: Buffer.of(1),
      verdicts: Buffer.of(0),
      numbers: [1],
    };
    const decode = (change: Partial<wire.Block>) =>
      decodeSampleBlock(wire.Block.encode({ ...good, ...change }).finish());
    expect(decode({})).toHaveLength(1);
    for (const change of [
      { forms: Buffer.of(1, 1) },
      { verdicts: Buffer.of() },
      { numbers: [] },
      { numbers: [Number.NaN] },
      { forms: Buffer.of(9) },
      { texts: ["x"] },
      { offsetsUs: [1, 2] },
    ])
      expect(decode(change)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        for (const { value, quality } of decodeSampleBlock(bytes) ?? [])
          expect(value === null).toBe(quality === "bad");
      }),
    );
  });

  it("has names of points that the profile has", () => {
    const { points } = checkValue(deviceProfileKind.spec, { points: { a: { unit: "Cel" } } })
      .value as DeviceProfileSpec;
    const out = new SampleColumns(2);
    const bytes = new BlockEncoder(["a", "toString"]).encode(out, all(2), 0);
    expect(decodeSampleBlock(bytes, points)?.map(({ point: name, unit }) => [name, unit])).toEqual([
      ["a", "Cel"],
    ]);
  });

  it("keeps the places of reasons", () => {
    expect(SAMPLE_REASONS.indexOf("source_uncertain")).toBe(15);
    expect(SAMPLE_REASONS.indexOf("refused")).toBe(25);
  });
});
