import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkParameters,
  compileCondition,
  type LastAllowed,
  Profile,
  type SafetyEnvelope,
  type SafetyInput,
  type SafetyRequest,
} from "./index.js";

const MONDAY_NOON = Date.UTC(2026, 5, 1, 12);
const T0 = MONDAY_NOON;

function profileOf(safety: object, risk = "high"): Profile {
  const { value, problems } = checkValue(deviceProfileKind.spec, {
    payloads: [{ format: "json" }],
    points: {
      pressure: { from: { field: "p" } },
      closed: { type: "boolean", from: { field: "c" } },
      mode: { type: "string", from: { field: "m" } },
    },
    commands: { set: { risk, parameters: { target: { type: "number" } }, safety } },
  });
  expect([...problems, ...(deviceProfileKind.check?.(value) ?? [])]).toEqual([]);
  return new Profile("p", value as DeviceProfileSpec);
}

const envelopeOf = (safety: object): SafetyEnvelope => profileOf(safety).commands.get("set")!.safety!;

const request = (target: unknown, more: Partial<SafetyRequest> = {}): SafetyRequest => ({
  parameters: { target },
  roles: [],
  replayed: false,
  nowMs: T0,
  ...more,
});

const input = (
  value: number | boolean | string | null,
  more: { ageMs?: number; replayed?: boolean } = {},
): SafetyInput => ({
  sample: {
    point: "",
    value,
    quality: value === null ? "bad" : "good",
    ...(value === null && { reason: "fault" as const }),
    timeUs: (T0 - (more.ageMs ?? 0)) * 1000,
  },
  replayed: more.replayed ?? false,
});

const inputs = (known: Record<string, SafetyInput>) => (point: string) => known[point];
const none = () => undefined;
const reasonOf = (decision: ReturnType<SafetyEnvelope["decide"]>) =>
  decision.allowed ? "allowed" : decision.reason;

describe("the safety envelope", () => {
  it.each([
    [10, "allowed"],
    [90, "allowed"],
    [9.99, "out_of_range"],
    [90.01, "out_of_range"],
    [Number.NaN, "not_a_number"],
    [Number.POSITIVE_INFINITY, "not_a_number"],
    ["50", "not_a_number"],
    [undefined, "not_a_number"],
  ])("of 10 to 90 says of %s: %s", (target, expected) => {
    const envelope = envelopeOf({ parameter: "target", range: { min: 10, max: 90 } });
    expect(reasonOf(envelope.decide(request(target), undefined, none))).toBe(expected);
  });

  it.each<[string, LastAllowed | undefined, string]>([
    ["nothing before", undefined, "allowed"],
    ["the last one 1,999 ms ago", { atMs: T0 - 1999, value: undefined }, "too_soon"],
    ["the last one 2,000 ms ago", { atMs: T0 - 2000, value: undefined }, "allowed"],
    ["a clock that went back", { atMs: T0 + 1, value: undefined }, "clock_went_back"],
  ])("keeps an interval: %s", (_, last, expected) => {
    expect(reasonOf(envelopeOf({ minInterval: "2s" }).decide(request(1), last, none))).toBe(expected);
  });

  it("lets a parameter move as fast as it says, from where it was sent, else from where it is measured", () => {
    const envelope = envelopeOf({ parameter: "target", slewPerSecond: 2, measuredBy: "pressure" });
    const last = { atMs: T0 - 1000, value: 50 };
    expect(reasonOf(envelope.decide(request(52), last, none))).toBe("allowed");
    expect(reasonOf(envelope.decide(request(52.01), last, none))).toBe("too_fast");
    expect(reasonOf(envelope.decide(request(47.99), last, none))).toBe("too_fast");
    const measured = inputs({ pressure: input(20, { ageMs: 1000 }) });
    expect(reasonOf(envelope.decide(request(22), undefined, measured))).toBe("allowed");
    expect(reasonOf(envelope.decide(request(50), undefined, measured))).toBe("too_fast");
    expect(reasonOf(envelope.decide(request(20), undefined, none))).toBe("input_missing");
  });

  it.each<[string, Record<string, SafetyInput>, string]>([
    ["all is well", { pressure: input(2), closed: input(true) }, "allowed"],
    ["the condition is false", { pressure: input(4), closed: input(true) }, "interlock"],
    ["an input was never seen", { closed: input(true) }, "input_missing"],
    ["an input is bad", { pressure: input(null), closed: input(true) }, "input_not_good"],
    ["an input is old", { pressure: input(2, { ageMs: 5001 }), closed: input(true) }, "input_stale"],
    [
      "an input is from the future",
      { pressure: input(2, { ageMs: -5001 }), closed: input(true) },
      "input_stale",
    ],
    [
      "an input was kept during an outage",
      { pressure: input(2, { replayed: true }), closed: input(true) },
      "input_replayed",
    ],
    ["an input is of another type", { pressure: input("low"), closed: input(true) }, "interlock_failed"],
  ])("with an interlock, when %s", (_, known, expected) => {
    const envelope = envelopeOf({ interlock: "closed && pressure < 3.0", maxAge: "5s" });
    expect(reasonOf(envelope.decide(request(1), undefined, inputs(known)))).toBe(expected);
  });

  it("denies when an input is stale although another one alone would decide", () => {
    const envelope = envelopeOf({ interlock: "closed || pressure < 3.0", maxAge: "5s" });
    const known = { closed: input(true), pressure: input(2, { ageMs: 60_000 }) };
    expect(reasonOf(envelope.decide(request(1), undefined, inputs(known)))).toBe("input_stale");
  });

  it("shows the interlock the value and the one before it", () => {
    const envelope = envelopeOf({ parameter: "target", interlock: "value <= previous + 5.0" });
    const last = { atMs: T0 - 1, value: 10 };
    expect(reasonOf(envelope.decide(request(15), last, none))).toBe("allowed");
    expect(reasonOf(envelope.decide(request(15.1), last, none))).toBe("interlock");
    expect(reasonOf(envelope.decide(request(15), undefined, none))).toBe("input_missing");
  });

  it("denies what was kept during an outage, and those without the role", () => {
    const envelope = envelopeOf({ roles: ["operator", "chief"] });
    expect(reasonOf(envelope.decide(request(1, { roles: ["chief"], replayed: true }), undefined, none))).toBe(
      "replayed",
    );
    expect(reasonOf(envelope.decide(request(1, { roles: ["chief"] }), undefined, none))).toBe("allowed");
    expect(reasonOf(envelope.decide(request(1, { roles: ["guest"] }), undefined, none))).toBe("who");
  });

  it.each([
    ["Monday noon in UTC", { from: "11:00", to: "12:01" }, MONDAY_NOON, "allowed"],
    ["the end is not included", { from: "11:00", to: "12:00" }, MONDAY_NOON, "when"],
    ["to midnight", { from: "12:00", to: "24:00" }, MONDAY_NOON + 11.99 * 3_600_000, "allowed"],
    [
      "noon in UTC is 14:00 in Berlin in summer",
      { from: "14:00", to: "15:00", timeZone: "Europe/Berlin" },
      MONDAY_NOON,
      "allowed",
    ],
    ["another day", { days: ["tue"], from: "11:00", to: "13:00" }, MONDAY_NOON, "when"],
    [
      "over midnight, before it",
      { days: ["mon"], from: "22:00", to: "06:00" },
      MONDAY_NOON + 11 * 3_600_000,
      "allowed",
    ],
    [
      "over midnight, after it",
      { days: ["mon"], from: "22:00", to: "06:00" },
      MONDAY_NOON + 17 * 3_600_000,
      "allowed",
    ],
    [
      "over midnight, the night before",
      { days: ["mon"], from: "22:00", to: "06:00" },
      MONDAY_NOON - 7 * 3_600_000,
      "when",
    ],
  ])("keeps hours: %s", (_, hours, nowMs, expected) => {
    expect(reasonOf(envelopeOf({ hours: [hours] }).decide(request(1, { nowMs }), undefined, none))).toBe(
      expected,
    );
  });

  it("is passed by no sequence of commands", () => {
    const [MIN, MAX, SLEW, INTERVAL_MS, MAX_AGE_MS] = [0, 100, 10, 500, 3000];
    const envelope = envelopeOf({
      parameter: "target",
      range: { min: MIN, max: MAX },
      slewPerSecond: SLEW,
      measuredBy: "pressure",
      minInterval: `${INTERVAL_MS}ms`,
      interlock: "closed",
      maxAge: `${MAX_AGE_MS}ms`,
      roles: ["operator"],
    });
    const step = fc.record({
      waitMs: fc.oneof(fc.nat(700), fc.nat(20_000), fc.integer({ min: -2000, max: 0 })),
      target: fc.oneof(fc.double({ min: -20, max: 120 }), fc.constantFrom(Number.NaN, 1e308, "50", -0)),
      closed: fc.boolean(),
      closedAgeMs: fc.nat(6000),
      closedReplayed: fc.boolean(),
      replayed: fc.boolean(),
      operator: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let nowMs = T0;
        let last: LastAllowed | undefined;
        for (const { waitMs, target, closed, closedAgeMs, closedReplayed, replayed, operator } of steps) {
          nowMs += waitMs;
          const sample = (
            point: string,
            value: number | boolean,
            ageMs: number,
            isReplayed: boolean,
          ): SafetyInput => ({
            sample: { point, value, quality: "good", timeUs: (nowMs - ageMs) * 1000 },
            replayed: isReplayed,
          });
          const known = {
            pressure: sample("pressure", 50, 0, false),
            closed: sample("closed", closed, closedAgeMs, closedReplayed),
          };
          const asked = request(target, { nowMs, replayed, roles: operator ? ["operator"] : [] });
          if (!envelope.decide(asked, last, inputs(known)).allowed) continue;
          expect([closed, closedReplayed, replayed, operator, closedAgeMs <= MAX_AGE_MS]).toEqual([
            true,
            false,
            false,
            true,
            true,
          ]);
          const value = target as number;
          expect(value >= MIN && value <= MAX).toBe(true);
          const from = last?.value ?? 50;
          const sinceMs = last === undefined ? 0 : nowMs - last.atMs;
          if (last !== undefined) expect(sinceMs).toBeGreaterThanOrEqual(INTERVAL_MS);
          expect(Math.abs(value - from)).toBeLessThanOrEqual((SLEW * sinceMs) / 1000);
          last = { atMs: nowMs, value };
        }
      }),
      { numRuns: 300 },
    );
  });

  it("of an expression that is wrong is refused with what is wrong", () => {
    for (const [interlock, why] of [
      ["presure < 3.0", "Unknown variable: presure"],
      ["pressure <", "Unexpected token"],
      ["pressure + 1.0", "its type is double, not bool"],
      ['pressure == "a"', "no such overload"],
      ["closed && value < 3.0", "Unknown variable: value"],
      ['mode.matches("(a+)+$")', "matches is not offered"],
    ] as const)
      expect(() => envelopeOf({ interlock }), interlock).toThrow(
        expect.objectContaining({ code: "expression.invalid", message: expect.stringContaining(why) }),
      );
  });
});

describe("an expression", () => {
  it("that could run away is refused", () => {
    const list = `[${"1,".repeat(60)}1]`;
    const nested = `${list}.all(a, ${list}.all(b, ${list}.all(c, a + b + c > 0)))`;
    for (const text of [
      nested,
      `${"(".repeat(300)}true${")".repeat(300)}`,
      "true".concat(" && true".repeat(300)),
      `1 in [${"1,".repeat(100)}1]`,
    ])
      expect(() => compileCondition(text, {}), text.slice(0, 40)).toThrow(
        expect.objectContaining({ code: "expression.invalid" }),
      );
  });

  it("names its inputs, and no variables of its own", () => {
    const { inputs: named } = compileCondition("[1.0, 2.0].exists(x, x > a) && (b || size(c) > 2)", {
      a: "double",
      b: "bool",
      c: "string",
      d: "bool",
    });
    expect([...named].sort()).toEqual(["a", "b", "c"]);
  });

  it("of any text is compiled or refused, never anything else", () => {
    const word = fc.constantFrom(
      "a",
      "b",
      "&&",
      "||",
      "(",
      ")",
      "1.0",
      "<",
      "==",
      '"x"',
      "!",
      "?",
      ":",
      "[",
      "]",
      ".",
      "in",
      "-",
      "size(",
      "has(",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 30 }),
          fc.array(word, { maxLength: 12 }).map((w) => w.join(" ")),
        ),
        (text) => {
          try {
            compileCondition(text, { a: "double", b: "bool" }).holds({ a: 1, b: true });
          } catch (thrown) {
            expect((thrown as { code?: string }).code).toMatch(/^expression\./);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("parameters", () => {
  const { spec } = (() => {
    const { value } = checkValue(deviceProfileKind.spec, {
      payloads: [{ format: "json" }],
      points: { x: { from: { field: "x" } } },
      commands: {
        move: {
          risk: "low",
          parameters: {
            to: { type: "integer", min: 0, max: 10 },
            speed: { type: "number", required: false },
            mode: { type: "string", words: ["fast", "slow"], required: false },
            note: { type: "string", maxLength: 3, required: false },
            hold: { type: "boolean", required: false },
          },
        },
      },
    });
    return new Profile("p", value as DeviceProfileSpec).commands.get("move")!;
  })();

  it.each<[object, readonly string[]]>([
    [{ to: 1, speed: 1.5, mode: "fast", note: "abc", hold: false }, []],
    [{}, ["to: given"]],
    [{ to: 1.5 }, ["to: a whole number"]],
    [{ to: "1" }, ["to: a whole number"]],
    [{ to: 11 }, ["to: at most 10"]],
    [{ to: -1 }, ["to: at least 0"]],
    [{ to: 1, speed: Number.NaN }, ["speed: a number"]],
    [{ to: 1, mode: "medium" }, ['mode: one of "fast", "slow"']],
    [{ to: 1, note: "abcd" }, ["note: at most 3 characters"]],
    [{ to: 1, hold: 0 }, ["hold: true or false"]],
    [
      { to: 1, where: 2 },
      ["where: left out: the parameter is unknown, known are to, speed, mode, note, hold"],
    ],
    [
      JSON.parse('{"to":1,"__proto__":2}') as object,
      ["__proto__: left out: the parameter is unknown, known are to, speed, mode, note, hold"],
    ],
  ])("%j", (given, expected) => {
    const found = checkParameters(spec, given as Record<string, unknown>);
    expect(found.map(({ path, rule }) => `${path.join(".")}: ${rule}`)).toEqual(expected);
  });
});
