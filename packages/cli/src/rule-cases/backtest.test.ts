import { checkValue, ruleKind } from "@myelin/config";
import { history } from "@myelin/contract";
import { Rule } from "@myelin/rules";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assertBacktests, Backtest, onlyPointOf, type WouldFire } from "./backtest.js";

const rule = (spec: object): Rule => new Rule("hot", checkValue(ruleKind.spec, spec).value);
const HOT = rule({ trigger: { points: ["t"] }, when: "t > 80", for: "30s", clear: { when: "t < 75" } });

const reading = (second: number, value: number | undefined, point = "t"): history.Reading =>
  history.Reading.fromPartial({
    path: "a",
    point,
    timeUs: second * 1_000_000,
    quality: value === undefined ? history.Quality.BAD : history.Quality.GOOD,
    ...(value !== undefined && { value: { $case: "number" as const, value } }),
  });

/** When it fired and ended, in seconds. */
function run(of: Rule, pages: readonly (readonly history.Reading[])[], toSecond = 1_000) {
  const told: WouldFire[] = [];
  const backtest = new Backtest(of, { tenant: "", device: "d", profile: "" }, (one) => told.push(one));
  for (const page of pages) backtest.take(page);
  backtest.end(toSecond * 1_000);
  return told.map(({ atMs, endedMs }) => [atMs / 1_000, endedMs === undefined ? undefined : endedMs / 1_000]);
}

describe("a back-test", () => {
  it("says when the rule would have fired and ended, also between readings", () => {
    const readings = [reading(10, 90), reading(50, 79), reading(60, 70), reading(100, 90)];
    expect(run(HOT, [readings])).toEqual([
      [40, 60],
      [130, undefined],
    ]);
    expect(run(HOT, [readings], 120)).toEqual([[40, 60]]);
  });

  it("takes bad readings for unknown", () => {
    expect(run(HOT, [[reading(0, 90), reading(40, undefined), reading(50, 70)]])).toEqual([[30, 50]]);
    expect(run(HOT, [[reading(0, undefined), reading(40, 70)]])).toEqual([]);
  });

  it("sees what came in one message at once, however pages cut it", () => {
    const both = rule({ trigger: { points: ["t", "p"] }, when: "t > p", fires: "always" });
    const readings = [1, 2, 3, 4].flatMap((second) => [
      reading(second, second + 1),
      reading(second, second, "p"),
    ]);
    fc.assert(
      fc.property(fc.nat(8), (cut) => {
        expect(run(both, [readings.slice(0, cut), readings.slice(cut)])).toEqual(
          [1, 2, 3, 4].map((second) => [second, undefined]),
        );
      }),
    );
  });

  it("misses what did not come", () => {
    const silent = rule({ trigger: { absence: { for: "5m" } } });
    expect(run(silent, [[reading(0, 1), reading(400, 1)]], 500)).toEqual([[300, 400]]);
  });

  it("is refused for rules that are not about readings", () => {
    const event = rule({ trigger: { event: { topics: ["doors/+"] } } });
    expect(() => assertBacktests(event)).toThrow(/rule hot: spec.trigger.event/);
    expect(() => assertBacktests(HOT)).not.toThrow();
  });
});

it.each<[string | undefined, object]>([
  ["t", { trigger: { points: ["t"] }, when: "t > 80" }],
  [
    "t",
    {
      trigger: { points: ["t"] },
      values: { mean: { average: { point: "t", over: "5m" } } },
      when: "mean > 80.0",
    },
  ],
  ["t", { trigger: { absence: { points: ["t"], for: "5m" } } }],
  [undefined, { trigger: { points: ["t"] }, when: "t > 80 && p > 2" }],
  [undefined, { trigger: { points: ["t", "p"] } }],
  [undefined, { trigger: { absence: { for: "5m" } } }],
  [undefined, { trigger: { points: ["t"] }, actions: [{ publish: { topic: `a/\${p}` } }] }],
])("asks the history for %s alone where no other point matters: %j", (point, spec) => {
  expect(onlyPointOf(rule(spec))).toBe(point);
});
