import { checkValue, type DeviceProfileSpec, deviceProfileKind, ruleKind } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { Rule, unknownName } from "./index.js";

const BOILER: DeviceProfileSpec = checkValue(deviceProfileKind.spec, {
  payloads: [{ format: "json" }],
  points: { temperature: { from: { field: "t" } }, pressure: { from: { field: "p" } } },
  commands: { cool: { risk: "low", parameters: { target: { type: "number" } } } },
}).value as DeviceProfileSpec;

const GOOD = {
  profiles: ["boiler"],
  trigger: { points: ["temperature"] },
  values: { mean: { average: { point: "temperature", over: "5m" } } },
  when: "mean > 80.0 && pressure > 2",
  actions: [{ command: { name: "cool", parameters: { target: "20" } } }],
};

const told = (spec: object, profiles: Readonly<Record<string, DeviceProfileSpec>> = { boiler: BOILER }) =>
  unknownName(new Rule("hot", checkValue(ruleKind.spec, spec).value), (name) => profiles[name]);

describe("names in a rule", () => {
  it("are all there", () => {
    expect(told(GOOD)).toBeUndefined();
  });

  it.each<[string, object, string]>([
    ["spec.trigger.points[0]", { trigger: { points: ["temprature"] } }, "temperature"],
    [
      "spec.trigger.absence.points[0]",
      { trigger: { absence: { points: ["presure"], for: "5m" } } },
      "pressure",
    ],
    [
      "spec.values.mean",
      { values: { mean: { average: { point: "temperatur", over: "5m" } } } },
      "temperature",
    ],
    ["spec.when", { when: "presssure > 2" }, "pressure"],
    ["spec.clear.when", { clear: { when: "presssure < 1" } }, "pressure"],
    ["spec.actions", { actions: [{ publish: { topic: `a/\${presssure}` } }] }, "pressure"],
    ["spec.actions[0].command.name", { actions: [{ command: { name: "cooll" } }] }, "cool"],
    [
      "spec.actions[0].command.parameters.targett",
      { actions: [{ command: { name: "cool", parameters: { targett: "1" } } }] },
      "target",
    ],
  ])("that are misspelt are told with the right one: %s", (path, more, nearest) => {
    const error = told({ ...GOOD, ...more });
    expect(error).toMatchObject({ code: "rule.invalid", details: { rule: "hot", path, nearest } });
    expect(error?.message).toContain(`did you mean ${nearest}?`);
  });

  it("that are like nothing are told with all there are", () => {
    expect(told({ ...GOOD, when: "voltage > 1" })?.message).toBe(
      "rule hot: spec.when: voltage is no point of boiler, known are temperature, pressure",
    );
  });

  it.each<[string, object, Readonly<Record<string, DeviceProfileSpec>>]>([
    ["the rule is about any profile", { profiles: undefined }, { boiler: BOILER }],
    ["a profile is not known", { profiles: ["boiler", "press"] }, { boiler: BOILER }],
    [
      "another of its profiles has them",
      { profiles: ["boiler", "press"] },
      { boiler: BOILER, press: { ...BOILER, points: { voltage: BOILER.points.pressure! } } },
    ],
  ])("are left alone where %s", (_, more, profiles) => {
    expect(told({ ...GOOD, when: "voltage > 1", ...more }, profiles)).toBeUndefined();
  });

  it("of commands to another device are that device's", () => {
    const actions = [{ command: { device: "valve", name: "shut" } }];
    expect(told({ ...GOOD, actions })).toBeUndefined();
  });
});
