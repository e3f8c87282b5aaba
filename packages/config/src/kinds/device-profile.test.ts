import { describe, expect, it } from "vitest";
import { checkResource } from "../dynamic/parse-resources.js";
import { formatPath } from "../schema/check.js";
import { parseYaml } from "../static/yaml.js";

const WHOLE = `
description: Boiler with one burner
payloads:
  - { topics: ["boilers/+/raw"], format: binary, size: { min: 4B, max: 64B }, points: [pressure, burning] }
  - { format: json, time: { field: at, unit: s } }
points:
  temperature:
    description: Of the water
    unit: Cel
    from: { field: readings.0.t }
    scale: 0.1
    add: -40
    range: { min: -50, max: 150 }
    expected: { max: 95 }
    faults: [65535, -1]
    whenMissing: bad
    deadband: { percent: 1 }
  pressure: { unit: kPa, type: integer, from: { bytes: { offset: 0, as: uint16, byteOrder: little } }, scale: 2 }
  burning: { type: boolean, from: { bytes: { offset: 2, as: uint8, bit: 7 } } }
  mode: { type: string, from: { field: mode }, words: [auto, manual] }
commands:
  set-temperature:
    risk: high
    parameters:
      target: { type: number, unit: Cel, min: 0, max: 100 }
      note: { type: string, required: false, maxLength: 40 }
    safety:
      parameter: target
      range: { min: 10, max: 90 }
      slewPerSecond: 0.5
      measuredBy: temperature
      minInterval: 2s
      interlock: 'burning && pressure < 300.0'
      maxAge: 5s
      roles: [operator]
      hours: [{ days: [mon, tue], from: "22:00", to: "06:00", timeZone: Europe/Berlin }]
    verify: { point: temperature, equals: { parameter: target }, tolerance: 0.5, settle: 1s, within: 30s }
    writes: [{ point: mode, set: { text: manual }, wait: 100ms }, { point: temperature, set: { parameter: target } }]
    failSafe: { after: 30s, writes: [{ point: burning, set: { boolean: false } }] }
  stop: { risk: stop, verify: { point: burning, equals: { boolean: false } }, redelivery: never }
`;

async function problemsOf(spec: string) {
  const { documents, errors } = await parseYaml(
    `apiVersion: myelin.dev/v1alpha1\nkind: DeviceProfile\nmetadata: { name: boiler }\nspec:\n${spec.trim().replaceAll(/^/gm, "  ")}`,
  );
  expect(errors).toEqual([]);
  const { resource, problems } = checkResource(documents[0]?.value);
  return {
    resource,
    problems: problems.map((p) => `${formatPath(p.path).replace(/^spec\./, "")}: ${p.rule}`),
  };
}

describe("a DeviceProfile", () => {
  it("with everything in it is accepted, and complete", async () => {
    const { resource, problems } = await problemsOf(WHOLE);
    expect(problems).toEqual([]);
    expect(resource?.spec).toMatchObject({
      points: { temperature: { type: "number" }, mode: { whenMissing: "ignore" } },
      commands: {
        stop: { parameters: {} },
        "set-temperature": { safety: { minInterval: 2000, maxAge: 5000 } },
      },
    });
  });

  it.each<[string, string, string, string]>([
    [
      "a name that expressions use",
      "  pressure:",
      "  value:",
      "points.value: another name: value is a word of expressions",
    ],
    [
      "a topic that is no filter",
      '"boilers/+/raw"',
      '"boilers/a+/raw"',
      "payloads[0].topics[0]: a topic filter: + stands alone in its level, # alone in the last one",
    ],
    [
      "a size upside down",
      "min: 4B, max: 64B",
      "min: 65B, max: 64B",
      "payloads[0].size.max: at least min, 65",
    ],
    [
      "a point that is not there",
      "[pressure, burning]",
      "[pressure, burning, speed]",
      "payloads[0].points[2]: a point of the profile",
    ],
    [
      "a point of another format",
      "[pressure, burning]",
      "[pressure, burning, mode]",
      "payloads[0].points[2]: a point with from.bytes, because the payload is binary",
    ],
    [
      "a point that no payload has",
      "[pressure, burning]",
      "[pressure]",
      "points.burning.from: a place in one of the payloads",
    ],
    [
      "a time in a binary payload",
      "format: binary,",
      "format: binary, time: { field: t },",
      "payloads[0].time: left out: a binary payload has no fields",
    ],
    [
      "a range upside down",
      "{ min: -50, max: 150 }",
      "{ min: 150, max: -50 }",
      "points.temperature.range.max: at least min, 150",
    ],
    [
      "an empty range",
      "{ min: -50, max: 150 }",
      "{}",
      "points.temperature.range: a range with min, max or both",
    ],
    ["a scale of 0", "scale: 0.1", "scale: 0", "points.temperature.scale: another number than 0"],
    [
      "a fraction for an integer",
      "scale: 2",
      "scale: 0.5",
      "points.pressure.scale: a whole number, because the point is of type integer",
    ],
    [
      "an integer out of floating point",
      "as: uint16",
      "as: float32",
      "points.pressure.from.bytes.as: a whole number, because the point is of type integer",
    ],
    [
      "a bit that the number does not have",
      "bit: 7",
      "bit: 8",
      "points.burning.from.bytes.bit: below 8, which uint8 has",
    ],
    [
      "a waveform that does not say how long it is",
      "{ type: string, from: { field: mode }, words: [auto, manual] }",
      "{ type: waveform, from: { field: mode } }",
      "points.mode.waveform: given: the point is of type waveform",
    ],
    [
      "a length of something else",
      "words: [auto, manual]",
      "waveform: { sampleHz: 10, length: 4 }",
      "points.mode.waveform: left out: the point is of type string",
    ],
    [
      "a deadband of a waveform",
      "{ type: string, from: { field: mode }, words: [auto, manual] }",
      "{ type: waveform, waveform: { sampleHz: 10, length: 4 }, from: { field: mode }, deadband: { absolute: 1 } }",
      "points.mode.deadband: left out: the point is of type waveform",
    ],
    [
      "whole elements out of floating point",
      "{ type: string, from: { field: mode }, words: [auto, manual] }",
      "{ type: waveform, waveform: { elements: integer, sampleHz: 10, length: 4 }, from: { bytes: { offset: 0, as: float32 } } }",
      "points.mode.from.bytes.as: a whole number, because the point is of type integer",
    ],
    [
      "a scale of text",
      "words: [auto, manual]",
      "words: [auto], scale: 2",
      "points.mode.scale: left out: the point is of type string",
    ],
    [
      "words of a number",
      "scale: 2 }",
      "scale: 2, words: [a] }",
      "points.pressure.words: left out: the point is of type integer",
    ],
    [
      "a field with an empty level",
      "readings.0.t",
      "readings..t",
      "points.temperature.from.field: names with single dots between them",
    ],
    [
      "an envelope around no parameter",
      "parameter: target",
      "parameter: goal",
      "commands.set-temperature.safety.parameter: a parameter of the command",
    ],
    [
      "an envelope around text",
      "parameter: target",
      "parameter: note",
      "commands.set-temperature.safety.parameter: a parameter of type number or integer",
    ],
    [
      "a slew that begins nowhere",
      "measuredBy: temperature",
      "",
      "commands.set-temperature.safety.measuredBy: given, because slewPerSecond is",
    ],
    [
      "a slew that begins with text",
      "measuredBy: temperature",
      "measuredBy: mode",
      "commands.set-temperature.safety.measuredBy: a point of the profile, of type number or integer",
    ],
    [
      "a read-back of nothing",
      "verify: { point: temperature",
      "verify: { point: speed",
      "commands.set-temperature.verify.point: a point of the profile",
    ],
    [
      "a read-back of another type",
      "equals: { boolean: false }",
      "equals: { number: 0 }",
      "commands.stop.verify.equals: of type boolean, as the point is",
    ],
    [
      "a read-back of what may be left out",
      "equals: { parameter: target }",
      "equals: { parameter: note }",
      "commands.set-temperature.verify.equals.parameter: a parameter that must be given",
    ],
    [
      "a read-back that settles for too long",
      "settle: 1s",
      "settle: 30s",
      "commands.set-temperature.verify.settle: shorter than within",
    ],
    [
      "a tolerance of true and false",
      "equals: { boolean: false }",
      "equals: { boolean: false }, tolerance: 1",
      "commands.stop.verify.tolerance: left out: the point is of type boolean",
    ],
    [
      "a write to nothing",
      "point: mode, set",
      "point: speed, set",
      "commands.set-temperature.writes[0].point: a point of the profile",
    ],
    [
      "a write of another type",
      "set: { text: manual }",
      "set: { number: 1 }",
      "commands.set-temperature.writes[0].set: of type string, as the point is",
    ],
    [
      "a write of what may be left out",
      "set: { text: manual }",
      "set: { parameter: note }",
      "commands.set-temperature.writes[0].set.parameter: a parameter that must be given",
    ],
    [
      "a fail-safe value that only a command would have",
      "set: { boolean: false }",
      "set: { parameter: target }",
      "commands.set-temperature.failSafe.writes[0].set.parameter: a parameter of the command",
    ],
    [
      "a stop that is held up",
      "stop: { risk: stop,",
      "stop: { risk: stop, safety: { minInterval: 1s },",
      "commands.stop.safety.minInterval: left out: nothing may hold up a command of risk stop",
    ],
    [
      "an hour without length",
      'to: "06:00"',
      'to: "22:00"',
      "commands.set-temperature.safety.hours[0].to: another time than from",
    ],
    [
      "a time zone that is none",
      "Europe/Berlin",
      "Europe/Atlantis",
      "commands.set-temperature.safety.hours[0].timeZone: the IANA name of a time zone",
    ],
    [
      "words of a number parameter",
      "{ type: number, unit: Cel, min: 0",
      "{ type: boolean, unit: Cel, min: 0",
      "commands.set-temperature.parameters.target.min: left out: the parameter is of type boolean",
    ],
  ])("is refused for %s", async (_, good, bad, problem) => {
    expect(WHOLE).toContain(good);
    const { resource, problems } = await problemsOf(WHOLE.replace(good, bad));
    expect(problems).toContain(problem);
    expect(resource).toBeUndefined();
  });
});
