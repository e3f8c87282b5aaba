import { Ajv } from "ajv";
import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  array,
  boolean,
  bytes,
  durationMs,
  exactlyOne,
  integer,
  number,
  object,
  oneOf,
  optional,
  port,
  record,
  string,
} from "./builders.js";
import { checkValue, formatPath } from "./check.js";
import type { Infer, Schema } from "./schema.js";
import { parseBytes, parseDurationMs } from "./units.js";

const d = { description: "x" };

const schema = object({
  level: oneOf(["debug", "info"], { ...d, default: "info" }),
  timeoutMs: durationMs({ ...d, default: "30s", min: "1s", max: "1h" }),
  maxFrameBytes: bytes({ ...d, default: "64KiB" }),
  name: optional(string({ ...d, minLength: 1 })),
  port: port(d),
  limits: object({ rate: integer({ ...d, default: 10, minimum: 1, maximum: 100 }) }),
  ports: record(object({ host: string({ ...d, default: "::" }), on: boolean({ ...d, default: true }) }), {
    ...d,
    default: {},
    maxProperties: 2,
  }),
});

const problemsOf = (s: Schema, value: unknown) =>
  checkValue(s, value).problems.map((p) => `${formatPath(p.path)}: ${p.rule}`);

describe("checkValue", () => {
  it("fills in defaults at every depth and converts text forms", () => {
    const { value, problems } = checkValue(schema, { port: 1883, ports: { main: { on: false } } });
    expect(problems).toEqual([]);
    expect(value).toEqual({
      level: "info",
      timeoutMs: 30_000,
      maxFrameBytes: 65_536,
      port: 1883,
      limits: { rate: 10 },
      ports: { main: { host: "::", on: false } },
    });
    expectTypeOf(value.name).toEqualTypeOf<string | undefined>();
    expectTypeOf(value.level).toEqualTypeOf<"debug" | "info">();
    expectTypeOf(value.timeoutMs).toEqualTypeOf<number>();
  });

  it("lists every problem at once with its path", () => {
    const value = {
      level: "inof",
      timeoutMs: "2h",
      limits: { rate: 1.5 },
      ports: { UP: {}, a: { hots: "x" } },
      extra: 1,
    };
    expect(problemsOf(schema, value)).toEqual([
      "level: one of debug, info",
      "timeoutMs: a duration such as 30s, at least 1s, at most 1h",
      "limits.rate: a whole number from 1 to 100",
      "ports.UP: a key that matches ^[a-z][a-z0-9]*$",
      "ports.a.hots: left out: the key is unknown, did you mean host?",
      "extra: left out: the key is unknown, known are level, timeoutMs, maxFrameBytes, name, port, limits, ports",
      "port: given",
    ]);
  });

  it("gives one problem for a union with none or several of its members", () => {
    const union = exactlyOne({ app: string(d), file: object({ path: string(d) }) }, d);
    expect(problemsOf(union, {})).toEqual(["(root): exactly one of app, file"]);
    expect(problemsOf(union, { app: "a", file: { path: "b" } })).toEqual([
      "(root): exactly one of app, file",
    ]);
    expect(checkValue(union, { app: "a" })).toEqual({ value: { app: "a" }, problems: [] });
    // Compiles only while the type tells the members apart.
    const nameOf = (one: Infer<typeof union>): string => (one.app !== undefined ? one.app : one.file.path);
    expect([nameOf({ app: "a" }), nameOf({ file: { path: "b" } })]).toEqual(["a", "b"]);
  });

  it.each([["2"], [2], ["2 s"], ["-1s"], ["s"], [null], ["1e3s"]])("refuses %j as a duration", (value) => {
    expect(problemsOf(durationMs(d), value)).toEqual(["(root): a duration such as 30s"]);
  });

  it("treats keys such as __proto__ and toString as any other", () => {
    const map = record(string(d), { ...d, maxProperties: 5, keyPattern: "^.+$" });
    const value = JSON.parse('{"__proto__": "a", "toString": "b"}');
    expect(Object.entries(checkValue(map, value).value)).toEqual([
      ["__proto__", "a"],
      ["toString", "b"],
    ]);
    expect(
      problemsOf(object({ a: optional(string(d)) }), JSON.parse('{"__proto__": 1, "constructor": 2}')),
    ).toHaveLength(2);
  });

  it("stops listing after a hundred problems", () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, i]));
    expect(problemsOf(object({}), many)).toHaveLength(100);
  });

  it("does not change what it is given", () => {
    const value = Object.freeze({ port: 1, limits: Object.freeze({}) });
    expect(checkValue(schema, value).problems).toEqual([]);
    expect(value).toEqual({ port: 1, limits: {} });
  });
});

describe("units", () => {
  it("reads durations and sizes", () => {
    expect(["250ms", "1.5s", "2m", "1h", "1d"].map(parseDurationMs)).toEqual([
      250, 1500, 120_000, 3_600_000, 86_400_000,
    ]);
    expect(["10B", "1.5KiB", "8MiB", "1GiB"].map(parseBytes)).toEqual([10, 1536, 8_388_608, 1_073_741_824]);
  });

  it("refuses text without a known unit", () => {
    for (const text of ["", "5", "5 MiB", "5MB", "MiB"])
      expect(() => parseBytes(text)).toThrowError(/size such as/);
  });
});

describe("the verdict", () => {
  const leaf: fc.Arbitrary<Schema> = fc.oneof(
    fc
      .record({ a: fc.integer({ min: -5, max: 0 }), b: fc.integer({ min: 0, max: 5 }), whole: fc.boolean() })
      .map(({ a, b, whole }) => (whole ? integer : number)({ ...d, minimum: a, maximum: b })),
    fc.constant(boolean(d)),
    fc.constant(oneOf(["a", "b"], d)),
    fc
      .record({ min: fc.integer({ min: 0, max: 2 }), max: fc.integer({ min: 2, max: 3 }) })
      .map(({ min, max }) => string({ ...d, minLength: min, maxLength: max })),
    fc.constant(string({ ...d, pattern: "^[a-c]+$" })),
  );
  const { tree } = fc.letrec<{ tree: Schema }>((tie) => {
    const inner = tie("tree");
    const fields = fc
      .dictionary(fc.constantFrom("a", "b", "c"), fc.tuple(inner, fc.boolean()))
      .map((f) => Object.fromEntries(Object.entries(f).map(([k, [s, opt]]) => [k, opt ? optional(s) : s])));
    return {
      tree: fc.oneof(
        { maxDepth: 3, depthSize: "small" },
        leaf,
        fields.map((f) => object(f)),
        fields.filter((f) => Object.keys(f).length > 0).map((f) => exactlyOne(f, d)),
        fc
          .tuple(inner, fc.boolean())
          .map(([s, unique]) => array(s, { ...d, minItems: 1, maxItems: 2, uniqueItems: unique })),
        inner.map((s) => record(s, { ...d, maxProperties: 2, keyPattern: "^[ab]$" })),
      ),
    };
  });
  const key = fc.constantFrom("a", "b", "c", "d");
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      fc.integer({ min: -6, max: 6 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
      fc.constantFrom("a", "b", "abc", "", "😀", "😀😀😀😀"),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));

  it("is that of Ajv for the same JSON Schema", () => {
    const ajv = new Ajv({ strict: false, validateSchema: true });
    let accepted = 0;
    fc.assert(
      fc.property(tree, fc.array(value, { minLength: 8, maxLength: 8 }), (s, values) => {
        // Defaults of nested objects are ours alone; the JSON Schema says the same by not requiring them.
        const judge = ajv.compile(JSON.parse(JSON.stringify(s)));
        for (const v of values) {
          const ours = checkValue(s, v).problems.length === 0;
          expect(ours).toBe(judge(v));
          if (ours) accepted++;
        }
      }),
      { numRuns: 400 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});
