import { type Kind, parseResources, type RuleSpec } from "@myelin/config";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SavedDevice, Value } from "./device.js";
import { RuleEngine } from "./engine.js";
import type { Firing } from "./firing.js";
import { matchesPattern } from "./pattern.js";
import { Rule } from "./rule.js";

const START = Date.UTC(2026, 0, 5, 12);
const kind: Kind = "Rule";

async function rule(spec: string, name = "hot"): Promise<Rule> {
  const text = `apiVersion: myelin.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
  const { documents } = await parseResources(text, "r.yaml");
  expect(documents[0]?.problems).toEqual([]);
  return new Rule(name, documents[0]!.resource!.spec as RuleSpec);
}

class Rig {
  readonly told: Firing[] = [];
  engine: RuleEngine;

  constructor(
    readonly rules: readonly Rule[],
    readonly options: { readonly maxDevices?: number; readonly listNumbersPerSecond?: number } = {},
  ) {
    this.engine = this.made();
  }

  made(): RuleEngine {
    const engine = new RuleEngine({
      maxDevices: 1_000,
      ...this.options,
      onFiring: (one) => this.told.push(one),
    });
    engine.setRules(this.rules);
    return engine;
  }

  occasion(atMs: number, device = "d1", topic = "a/b") {
    return { tenant: "", device, profile: "boiler", topic, atMs: START + atMs, isReplayed: false };
  }

  say(atMs: number, values: Record<string, Value | null>, device?: string): void {
    this.engine.advance(START + atMs);
    const samples = Object.entries(values).map(([point, value]) => ({ point, value }));
    this.engine.samples(this.occasion(atMs, device), samples);
  }

  event(atMs: number, payload: unknown): void {
    this.engine.advance(START + atMs);
    this.engine.event(
      this.occasion(atMs),
      () => true,
      () => payload,
    );
  }

  /** What was told since: state and time. */
  get out(): string[] {
    return this.told.splice(0).map(({ state, atMs }) => `${state} ${atMs - START}`);
  }

  /** All that is kept goes through JSON into a new engine. */
  restart(): void {
    const saved = JSON.parse(JSON.stringify([...this.engine.changed(true)])) as SavedDevice[];
    this.engine = this.made();
    for (const one of saved) this.engine.restore(one);
  }
}

const rig = async (spec: string, options = {}): Promise<Rig> => new Rig([await rule(spec)], options);

describe("a rule on points", () => {
  it("fires once when its condition begins to hold, and again after it was over", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 }");
    for (const [i, t] of [70, 81, 90, 85, 80, 81].entries()) it.say(i, { t });
    expect(it.out).toEqual(["raised 1", "cleared 4", "raised 5"]);
  });

  it("fires each time when it is to", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80, fires: always }");
    for (const [i, t] of [70, 81, 90, 70, 85].entries()) it.say(i, { t });
    expect(it.out).toEqual(["fired 1", "fired 2", "fired 4"]);
  });

  it("waits until what it says has held for long enough, without a break, also when nobody speaks then", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80, for: 30s }");
    it.say(0, { t: 90 });
    it.say(20_000, { t: 70 });
    it.say(25_000, { t: 90 });
    it.engine.advance(START + 54_999);
    expect(it.out).toEqual([]);
    it.engine.advance(START + 60_000);
    expect(it.out).toEqual(["raised 55000"]);
  });

  it("does not go back and forth between two thresholds, and is over only after its time", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80.0, clear: { when: t < 75.0, for: 10s } }");
    for (const [i, t] of [81, 79, 81, 76, 74, 76, 74].entries()) it.say(i * 5_000, { t });
    expect(it.out).toEqual(["raised 0"]);
    it.engine.advance(START + 60_000);
    expect(it.out).toEqual(["cleared 40000"]);
  });

  it("looks only when all that it names is known and good", async () => {
    const it = await rig("{ trigger: { points: [t, p] }, when: t > 80 && p < 3 }");
    it.say(0, { t: 90 });
    it.say(1, { p: 5 });
    it.say(2, { t: null });
    it.say(3, { p: 1 });
    expect(it.out).toEqual([]);
    it.say(4, { t: 90 });
    expect(it.out).toEqual(["raised 4"]);
  });

  it("sees all points of one message at once, and looks once for them", async () => {
    const it = await rig("{ trigger: { points: [t, p] }, when: t > p, fires: always }");
    it.say(0, { t: 5, p: 6 });
    it.say(1, { t: 7, p: 8 });
    it.say(2, { t: 9, p: 8 });
    expect(it.out).toEqual(["fired 2"]);
  });

  it("does not take a value that is too old for one that is known", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 && mode == 'run', maxAge: 10s }");
    it.say(0, { mode: "run" });
    it.say(10_001, { t: 90 });
    expect(it.out).toEqual([]);
    it.say(10_002, { mode: "run", t: 90 });
    expect(it.out).toEqual(["raised 10002"]);
  });

  it("does not fire for what it no longer knows when the time is up", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80, for: 30s, maxAge: 10s }");
    it.say(0, { t: 90 });
    it.engine.advance(START + 100_000);
    expect(it.out).toEqual([]);
  });

  it("leaves aside what is older than what it knows", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 }");
    it.say(100, { t: 70 });
    it.say(50, { t: 90 });
    expect(it.out).toEqual([]);
    expect(it.engine.counters.late).toBe(1);
  });

  it("rests for its cooldown", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80, limits: { cooldown: 10s } }");
    for (const [i, t] of [90, 70, 90, 70, 90].entries()) it.say(i * 4_000, { t });
    expect(it.out).toEqual(["raised 0", "cleared 4000", "raised 16000"]);
    expect(it.engine.counters.cooled).toBe(1);
  });

  it("keeps devices apart, and is about those it names alone", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80, devices: ['a*', b] }");
    for (const device of ["a1", "b", "b1", "c"]) it.say(0, { t: 90 }, device);
    expect(it.told.map(({ device }) => device)).toEqual(["a1", "b"]);
    expect(it.engine.isWatched("c", "")).toBe(false);
  });

  it("counts an expression that cannot be evaluated, and goes on", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t + 1 > 80 }");
    it.say(0, { t: "warm" });
    it.say(1, { t: 90 });
    expect(it.out).toEqual(["raised 1"]);
    expect(it.engine.counters.failed).toBe(1);
  });
});

describe("values of a rule", () => {
  it("are windows over points", async () => {
    const it = await rig(
      "{ trigger: { points: [t] }, values: { mean: { average: { point: t, over: 10s } }, climb: { rate: { point: t, over: 10s } } }, when: mean > 80 || climb > 5 }",
    );
    for (const [i, t] of [70, 75, 90, 95].entries()) it.say(i * 2_000, { t });
    const climb = expect.closeTo(25 / 6, 6) as number;
    expect(it.told).toMatchObject([{ state: "raised", atMs: START + 6_000, values: { mean: 82.5, climb } }]);
  });

  it("are fields of messages and what is made of lists of numbers in them", async () => {
    const it = await rig(`
  trigger: { event: { topics: [vibration] } }
  values:
    x: { field: accel.x }
    force: { rms: { point: x } }
    bearing: { band: { point: x, sampleHz: 1000, fromHz: 180, toHz: 220 } }
  when: bearing > 0.5 && force < 10.0
`);
    const list = (hz: number) =>
      Array.from({ length: 512 }, (_, i) => Math.sin((2 * Math.PI * hz * i) / 1000));
    it.event(0, { accel: { x: list(50) } });
    it.event(1, { accel: { x: list(200) } });
    it.event(2, { accel: { x: "none" } });
    it.event(3, { accel: { x: [1, "2"] } });
    it.event(4, undefined);
    expect(it.out).toEqual(["fired 1"]);
  });

  it("tell what is odd for the device", async () => {
    const it = await rig(
      "{ trigger: { points: [t] }, values: { odd: { anomaly: { point: t, warmUp: 50 } } }, when: odd > 6 }",
    );
    for (let i = 0; i < 200; i++) it.say(i, { t: 20 + (i % 7) / 10 });
    expect(it.out).toEqual([]);
    it.say(200, { t: 30 });
    it.say(201, { t: 20.3 });
    expect(it.out).toEqual(["raised 200", "cleared 201"]);
  });

  it("are worked out of no more lists than there is time for", async () => {
    const it = await rig(
      "{ trigger: { event: { topics: [v] } }, values: { x: { field: x }, r: { rms: { point: x } } }, when: r > 0 }",
      { listNumbersPerSecond: 250 },
    );
    const x = Array.from({ length: 100 }, () => 1);
    for (const atMs of [0, 1, 2, 3, 1_000]) it.event(atMs, { x });
    expect(it.out).toEqual(["fired 0", "fired 1", "fired 1000"]);
    expect(it.engine.counters.overBudget).toBe(2);
  });
});

describe("other triggers", () => {
  it("are presence, a schedule and shadows", async () => {
    const offline = await rig("{ trigger: { presence: [offline] }, when: '!online' }");
    offline.engine.presence(offline.occasion(0), true);
    offline.engine.presence(offline.occasion(1), false);
    expect(offline.out).toEqual(["fired 1"]);

    const daily = await rig(
      "{ trigger: { schedule: { cron: '0 6 * * *' } }, when: t > 1 && hour == 12.0 && weekday == 1.0 }",
    );
    daily.say(0, { t: 5 });
    daily.engine.schedule("hot", START + 10);
    daily.engine.schedule("other", START + 10);
    expect(daily.out).toEqual(["fired 10"]);

    const shadow = await rig(
      "{ trigger: { shadow: {} }, values: { valve: { field: state.reported.valve } }, when: valve == 'open' }",
    );
    shadow.engine.shadow(shadow.occasion(0), "other", { state: { reported: { valve: "open" } } });
    shadow.engine.shadow(shadow.occasion(1), "", { state: { reported: { valve: "open" } } });
    expect(shadow.out).toEqual(["fired 1"]);
  });

  it("are silence, once per device, until it speaks again", async () => {
    const it = await rig("{ trigger: { absence: { for: 1m } } }");
    for (const atMs of [0, 30_000, 59_000]) it.say(atMs, { t: 1 });
    it.engine.advance(START + 118_999);
    expect(it.out).toEqual([]);
    it.engine.advance(START + 500_000);
    it.say(500_001, { t: 1 });
    it.engine.advance(START + 600_000);
    expect(it.out).toEqual(["raised 119000", "cleared 500001", "raised 560001"]);
  });

  it("are silence of one point while others go on", async () => {
    const it = await rig("{ trigger: { absence: { points: [t], for: 10s } } }");
    it.say(0, { p: 1 });
    it.say(1_000, { t: 1 });
    for (let atMs = 2_000; atMs < 20_000; atMs += 1_000) it.say(atMs, { p: 1 });
    expect(it.out).toEqual(["raised 11000"]);
  });
});

describe("an engine", () => {
  const spec =
    "{ trigger: { points: [t] }, values: { mean: { average: { point: t, over: 20s } }, odd: { anomaly: { point: t, warmUp: 16 } } }, when: mean > 5 || odd > 6, for: 3s, clear: { when: mean < 4.0, for: 2s }, limits: { cooldown: 5s } }";

  it("tells the same when it was stopped and goes on with what it had kept, wherever that was", async () => {
    const absence = await rule("{ trigger: { absence: { for: 6s } } }", "silent");
    const own = await rule(spec);
    const step = fc.tuple(fc.integer({ min: 1, max: 9_000 }), fc.integer({ min: 0, max: 12 }));
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 80 }),
        fc.integer({ min: 0, max: 80 }),
        (steps, at) => {
          const [whole, parted] = [new Rig([own, absence]), new Rig([own, absence])];
          let atMs = 0;
          for (const [i, [stepMs, t]] of steps.entries()) {
            atMs += stepMs;
            // Seasons that have only begun are forgotten.
            if (i === Math.max(at, 16)) parted.restart();
            whole.say(atMs, { t });
            parted.say(atMs, { t });
          }
          expect(parted.told.map(({ rule: { name }, state, atMs: when }) => [name, state, when])).toEqual(
            whole.told.map(({ rule: { name }, state, atMs: when }) => [name, state, when]),
          );
        },
      ),
    );
  });

  it("goes on under a new version of a rule, and ends what a rule that is gone has raised", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 }");
    it.say(0, { t: 90 });
    it.engine.setRules([await rule("{ trigger: { points: [t] }, when: t > 85, severity: critical }")]);
    it.say(1, { t: 91 });
    expect(it.out).toEqual(["raised 0"]);
    it.engine.setRules([]);
    expect(it.out).toEqual(["cleared 1"]);
  });

  it("keeps as many devices as it may, those for which something is raised before others", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 }", { maxDevices: 10 });
    it.say(0, { t: 90 }, "hot");
    for (let i = 0; i < 100; i++) it.say(i, { t: 1 }, `d${i}`);
    expect(it.engine.size).toBe(10);
    it.say(101, { t: 1 }, "hot");
    expect(it.out).toEqual(["raised 0", "cleared 101"]);
  });

  it("tells what must not be lost at once, and the rest when it is asked for", async () => {
    const it = await rig("{ trigger: { points: [t] }, when: t > 80 }");
    it.say(0, { t: 1 });
    expect([...it.engine.changed(false)]).toEqual([]);
    it.say(1, { t: 90 });
    expect([...it.engine.changed(false)]).toHaveLength(1);
    expect([...it.engine.changed(true)]).toEqual([]);
  });
});

describe("a rule that is wrong", () => {
  it.each([
    ["{ trigger: { points: [t] }, when: 't >' }", "spec.when"],
    ["{ trigger: { points: [t] }, when: 't > 1', clear: { when: 'device > 1.0' } }", "spec.clear.when"],
    ["{ trigger: { points: [t] }, when: 'device.matches(\"a\")' }", "matches is not offered"],
    [
      "{ trigger: { points: [t] }, when: 'a > 1.0', values: { a: { rms: { point: b } }, b: { rms: { point: a } } } }",
      "more than 4 levels",
    ],
    [
      "{ trigger: { points: [t] }, when: 'a > 1.0', values: { a: { average: { point: b, over: 1s } }, b: { age: { point: t } } } }",
      "spec.values.a",
    ],
    [`{ trigger: { points: [t] }, when: '${"(t > 1.0) || ".repeat(100)}true' }`, "spec.when"],
  ])("is refused with its name and the path: %s", async (spec, expected) => {
    await expect(rule(spec)).rejects.toMatchObject({
      code: "rule.invalid",
      message: expect.stringContaining(expected),
      details: { rule: "hot" },
    });
  });
});

describe("a pattern over device ids", () => {
  it.each([
    ["*", "", true],
    ["a*c", "abbc", true],
    ["a*c", "abbd", false],
    ["?", "a", true],
    ["a?", "a", false],
    ["*a*b*", "xxaxxbxx", true],
    [`${"a*".repeat(50)}b`, "a".repeat(10_000), false],
  ])("%s over %s: %s", (pattern, text, expected) => {
    expect(matchesPattern(pattern, text)).toBe(expected);
  });
});
