import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { Profile } from "@myelin/profile";
import { expect, it } from "vitest";
import { rawMessageRefusal } from "./raw-messages.js";

const profileOf = (commands: object): Profile => {
  const spec = {
    payloads: [{ format: "json" }],
    points: { level: { from: { field: "level" } } },
    commands,
  };
  const { value, problems } = checkValue(deviceProfileKind.spec, spec);
  expect(problems).toEqual([]);
  return new Profile("tank", value as DeviceProfileSpec);
};
const PARAMETERS = { level: { type: "number" } };
const HELD = profileOf({
  identify: { risk: "low" },
  fill: { risk: "high", parameters: PARAMETERS, safety: { parameter: "level", range: { min: 0, max: 80 } } },
});
const FREE = profileOf({ fill: { risk: "high", parameters: PARAMETERS } });
const refusal = (profile: Profile | "unknown" | undefined) =>
  rawMessageRefusal({ of: () => profile }, "", "t1")?.toWire();

it("lets messages go to devices that no safety envelope holds", () => {
  expect(refusal(undefined)).toBeUndefined();
  expect(refusal(FREE)).toBeUndefined();
});

it("refuses messages to a device with a safety envelope, and names a command that is held to it", () => {
  expect(refusal(HELD)).toMatchObject({ code: "command.denied", retryable: false });
  expect(refusal(HELD)?.message).toMatch(/profile tank: .* such as fill/);
});

it("asks to try again as long as the record of the device is being read", () => {
  expect(refusal("unknown")).toMatchObject({ code: "partition.not_owned", retryable: true });
});
