import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { Profile } from "@myelin/profile";
import { describe, expect, it } from "vitest";
import { divide, settersOf } from "./setters.js";

const points = { t: { from: { field: "t" } }, on: { type: "boolean", from: { field: "on" } } };
const number = { type: "number" };
const verify = (point: string, equals: object) => ({ point, equals });

function profileOf(commands: object): Profile {
  const spec = checkValue(deviceProfileKind.spec, { payloads: [{ format: "json" }], points, commands });
  return new Profile("p", spec.value as DeviceProfileSpec);
}

describe("a point", () => {
  it("is set by the first command that reads its one parameter back there", () => {
    const profile = profileOf({
      heat: {
        risk: "low",
        parameters: { to: number },
        verify: { ...verify("t", { parameter: "to" }), tolerance: 0.5 },
      },
      cool: { risk: "low", parameters: { to: number }, verify: verify("t", { parameter: "to" }) },
    });
    expect([...settersOf(profile).values()]).toEqual([
      { point: "t", command: "heat", parameter: "to", tolerance: 0.5 },
    ]);
  });

  it.each<[string, object]>([
    ["reads nothing back", { risk: "low", parameters: { to: number } }],
    ["reads back what is always the same", { risk: "low", verify: verify("t", { number: 1 }) }],
    ["stops", { risk: "stop", parameters: { to: number }, verify: verify("t", { parameter: "to" }) }],
    ["only reads", { risk: "read", parameters: { to: number }, verify: verify("t", { parameter: "to" }) }],
    [
      "asks for more",
      { risk: "low", parameters: { to: number, by: number }, verify: verify("t", { parameter: "to" }) },
    ],
  ])("is not set by a command that %s", (_, command) => {
    expect(settersOf(profileOf({ command })).size).toBe(0);
  });
});

describe("what is desired and not reported", () => {
  it("is divided into what commands set and what the device is told", () => {
    const heat = { risk: "low", parameters: { to: number }, verify: verify("t", { parameter: "to" }) };
    const setters = settersOf(profileOf({ heat }));
    const { wanted, told } = divide({ t: 20, on: true, mode: { eco: true } }, setters);
    expect(wanted.map(({ setter, value }) => [setter.command, value])).toEqual([["heat", 20]]);
    expect(told).toEqual({ on: true, mode: { eco: true } });
    expect(divide({ t: 20 }, setters).told).toBeUndefined();
    expect(divide({ t: { a: 1 } }, setters)).toEqual({ wanted: [], told: { t: { a: 1 } } });
  });
});
