import { describe, expect, it } from "vitest";
import type { Figures } from "../measure/stats.js";
import { bestRate, judge, lookupIn, ratio, ratiosOf } from "./goals.js";

function result(name: string, figures: Figures) {
  return { name, version: "1", figures, spread: {}, rounds: 1 };
}

const systems = [result("myelin", { rate: 400, cpu: 2 }), result("peer", { rate: 100, cpu: 5 })];

describe("judge", () => {
  const goal = { name: "g", what: "w", value: () => 4 };

  it("reaches a bound that is met exactly and misses one that is not", () => {
    const bounds = [{ atLeast: 4 }, { atLeast: 4.1 }, { atMost: 4 }, { atMost: 3.9 }];
    const judged = judge(
      bounds.map((bound) => ({ ...goal, ...bound })),
      lookupIn(systems),
    );
    expect(judged.map(({ goal: text, reached }) => [text, reached])).toEqual([
      [">= 4", true],
      [">= 4.1", false],
      ["<= 4", true],
      ["<= 3.9", false],
    ]);
  });

  it("calls what was not measured null and not reached", () => {
    const [judged] = judge([{ ...goal, atMost: 1, value: () => undefined }], lookupIn(systems));
    expect(judged).toEqual({ name: "g", what: "w", goal: "<= 1", value: null, reached: false });
  });
});

it("divides the subject's figures by each peer's and leaves out what one of them lacks", () => {
  const all = [...systems, result("other", { cpu: 1 })];
  expect(ratiosOf(all, "myelin", { rate: "rate", cpu: "cpu", rate_x: "rate" })).toEqual({
    rate: { peer: 4 },
    cpu: { peer: 0.4, other: 2 },
  });
});

it("gives no ratio to nothing", () => {
  expect([ratio(1, 0), ratio(undefined, 1), ratio(1, undefined), ratio(1, 4)]).toEqual([
    undefined,
    undefined,
    undefined,
    0.25,
  ]);
});

it("takes a system's better rate, in the window or over the whole run", () => {
  const figure = lookupIn([
    result("pushes back", { messages_per_second: 100, messages_per_second_whole_run: 90 }),
    result("catches up", { messages_per_second: 3, messages_per_second_whole_run: 80 }),
  ]);
  expect(["pushes back", "catches up", "absent"].map((name) => bestRate(figure, name))).toEqual([
    100,
    80,
    undefined,
  ]);
});
