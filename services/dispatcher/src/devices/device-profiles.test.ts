import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { Profile } from "@myelin/profile";
import { describe, expect, it } from "vitest";
import { DeviceProfiles } from "./device-profiles.js";

const spec = { payloads: [{ format: "json" }], points: { t: { from: { field: "t" } } } };
const BOILER = new Profile("boiler", checkValue(deviceProfileKind.spec, spec).value as DeviceProfileSpec);

function setUp() {
  const records = new Map<string, string>();
  const asked: string[] = [];
  let isLoaded = true;
  let tell: (tenant?: string, device?: string) => void = () => undefined;
  let moved = 0;
  const profiles = new DeviceProfiles(
    {
      profileOf: (_tenant, device) => {
        asked.push(device);
        return isLoaded ? (records.get(device) ?? "") : undefined;
      },
      onChange: (listener) => {
        tell = listener;
      },
    },
    new Map([["boiler", BOILER]]),
    () => {
      moved += 1;
    },
  );
  return {
    profiles,
    records,
    asked,
    tell: (device?: string) => (device === undefined ? tell() : tell("", device)),
    loading: (is: boolean) => {
      isLoaded = !is;
    },
    moved: () => moved,
  };
}

describe("the profiles of devices", () => {
  it("are asked for once, until the record has another", () => {
    const { profiles, records, asked, tell, moved } = setUp();
    records.set("b1", "boiler");
    expect([profiles.of("", "b1"), profiles.of("", "b1"), asked.length]).toEqual([BOILER, BOILER, 1]);
    tell("b1");
    expect(moved()).toBe(0);
    records.set("b1", "");
    tell("b1");
    expect([profiles.of("", "b1"), moved()]).toEqual([undefined, 1]);
  });

  it("are nobody's business when nobody has asked", () => {
    const { records, tell, moved } = setUp();
    records.set("b1", "boiler");
    tell("b1");
    expect(moved()).toBe(0);
  });

  it("are unknown while the records are being read, and found afterwards", () => {
    const { profiles, records, tell, loading, moved } = setUp();
    records.set("b1", "boiler");
    loading(true);
    expect(profiles.of("", "b1")).toBe("unknown");
    loading(false);
    tell();
    expect([profiles.of("", "b1"), moved()]).toEqual([BOILER, 1]);
  });

  it("are none when no such profile is in force", () => {
    const { profiles, records } = setUp();
    records.set("b1", "pump");
    expect(profiles.of("", "b1")).toBeUndefined();
  });
});
