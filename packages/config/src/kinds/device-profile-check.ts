/** What the schema of a device profile cannot say. Whether its expressions hold is judged where they are compiled. */
import type { Problem, ValuePath } from "../schema/check.js";
import type { CommandSpec, DeviceProfileSpec, PointSpec, WriteSpec } from "./device-profile.js";
import { RESERVED_WORDS } from "./reserved-words.js";
import { isTimeZone } from "./time-zone.js";
import { topicFilterRule } from "./topic-rules.js";

type Expect = (at: ValuePath, value: unknown, rule: string | undefined) => void;

const BYTES: Readonly<Record<string, number>> = { "8": 1, "16": 2, "32": 4, "64": 8 };

/** Bytes of a binary number, by the word that profiles use. */
function widthOf(as: string): number {
  return BYTES[as.replace(/^\D+/, "")] as number;
}

/** Paths are relative to the spec. */
export function checkDeviceProfile(spec: DeviceProfileSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const expect: Expect = (path, value, rule) => {
    if (rule !== undefined) problems.push({ path, value, rule });
  };
  for (const [name, point] of Object.entries(spec.points)) {
    const at: ValuePath = ["points", name];
    if (RESERVED_WORDS.has(name) || name === "value" || name === "previous")
      expect(at, name, `another name: ${name} is a word of expressions`);
    checkPoint(point, at, expect);
  }
  for (const [i, payload] of spec.payloads.entries()) checkPayload(spec, payload, ["payloads", i], expect);
  checkEveryPointIsRead(spec, expect);
  for (const [name, command] of Object.entries(spec.commands))
    checkCommand(command, spec.points, ["commands", name], expect);
  return problems;
}

function checkRange(
  range: { readonly min?: number; readonly max?: number } | undefined,
  at: ValuePath,
  expect: Expect,
): void {
  if (range === undefined) return;
  const { min, max } = range;
  if (min === undefined && max === undefined) expect(at, range, "a range with min, max or both");
  if (min !== undefined && max !== undefined && min > max)
    expect([...at, "max"], max, `at least min, ${min}`);
}

function checkPoint(point: PointSpec, at: ValuePath, expect: Expect): void {
  const isWaveform = point.type === "waveform";
  const isNumeric = point.type === "number" || point.type === "integer" || isWaveform;
  for (const key of ["scale", "add", "range", "expected", "faults", "deadband"] as const) {
    if ((!isNumeric || (isWaveform && key === "deadband")) && point[key] !== undefined)
      expect([...at, key], point[key], `left out: the point is of type ${point.type}`);
  }
  if (isWaveform !== (point.waveform !== undefined))
    expect(
      [...at, "waveform"],
      point.waveform,
      isWaveform ? "given: the point is of type waveform" : `left out: the point is of type ${point.type}`,
    );
  if (point.words !== undefined && point.type !== "string")
    expect([...at, "words"], point.words, `left out: the point is of type ${point.type}`);
  if (point.scale === 0) expect([...at, "scale"], 0, "another number than 0");
  const isWhole = (point.waveform?.elements ?? point.type) === "integer";
  if (isWhole)
    for (const key of ["scale", "add"] as const)
      if (point[key] !== undefined && !Number.isInteger(point[key]))
        expect([...at, key], point[key], "a whole number, because the point is of type integer");
  checkRange(point.range, [...at, "range"], expect);
  checkRange(point.expected, [...at, "expected"], expect);
  const { bytes, field } = point.from ?? {};
  if (field?.split(".").includes("") === true)
    expect([...at, "from", "field"], field, "names with single dots between them");
  if (bytes === undefined) return;
  const where: ValuePath = [...at, "from", "bytes"];
  if (point.type === "string") expect([...at, "type"], "string", "a number, integer or boolean in bytes");
  if (bytes.as.startsWith("float") && (isWhole || point.type === "boolean"))
    expect(
      [...where, "as"],
      bytes.as,
      `a whole number, because the point is of type ${isWhole ? "integer" : "boolean"}`,
    );
  if (bytes.bit === undefined) return;
  if (point.type !== "boolean") expect([...where, "bit"], bytes.bit, "left out: the point is not boolean");
  const bits = 8 * widthOf(bytes.as);
  if (bytes.bit >= bits) expect([...where, "bit"], bytes.bit, `below ${bits}, which ${bytes.as} has`);
}

function checkPayload(
  spec: DeviceProfileSpec,
  payload: DeviceProfileSpec["payloads"][number],
  at: ValuePath,
  expect: Expect,
): void {
  for (const [i, filter] of (payload.topics ?? []).entries())
    expect([...at, "topics", i], filter, topicFilterRule(filter));
  const { size, format, points: listed, time } = payload;
  checkRange(size, [...at, "size"], expect);
  if (time !== undefined && format === "binary")
    expect([...at, "time"], time, "left out: a binary payload has no fields");
  const where = format === "binary" ? "bytes" : "field";
  for (const [i, name] of (listed ?? []).entries()) {
    const point = Object.hasOwn(spec.points, name) ? spec.points[name] : undefined;
    if (point === undefined) expect([...at, "points", i], name, "a point of the profile");
    else if (point.from?.[where] === undefined)
      expect([...at, "points", i], name, `a point with from.${where}, because the payload is ${format}`);
  }
  const isMet = Object.values(spec.points).some((point) => point.from?.[where] !== undefined);
  if (listed === undefined && !isMet)
    expect([...at, "format"], format, `a format that a point has a place in: none has from.${where}`);
}

function checkEveryPointIsRead({ payloads, points }: DeviceProfileSpec, expect: Expect): void {
  for (const [name, { from }] of Object.entries(points)) {
    if (from === undefined) continue;
    const isRead = payloads.some(
      ({ format, points: listed }) =>
        from[format === "binary" ? "bytes" : "field"] !== undefined && (listed?.includes(name) ?? true),
    );
    if (!isRead) expect(["points", name, "from"], from, "a place in one of the payloads");
  }
}

function checkCommand(
  command: CommandSpec,
  points: DeviceProfileSpec["points"],
  at: ValuePath,
  expect: Expect,
): void {
  for (const [name, parameter] of Object.entries(command.parameters)) {
    const where: ValuePath = [...at, "parameters", name];
    const isNumeric = parameter.type === "number" || parameter.type === "integer";
    for (const key of ["min", "max"] as const)
      if (!isNumeric && parameter[key] !== undefined)
        expect([...where, key], parameter[key], `left out: the parameter is of type ${parameter.type}`);
    if (parameter.words !== undefined && parameter.type !== "string")
      expect([...where, "words"], parameter.words, `left out: the parameter is of type ${parameter.type}`);
    if (parameter.min !== undefined && parameter.max !== undefined && parameter.min > parameter.max)
      expect([...where, "max"], parameter.max, `at least min, ${parameter.min}`);
  }
  if (command.safety !== undefined) checkSafety(command, command.safety, points, [...at, "safety"], expect);
  if (command.verify !== undefined) checkVerify(command, command.verify, points, [...at, "verify"], expect);
  if (command.writes !== undefined) checkWrites(command, command.writes, points, [...at, "writes"], expect);
  if (command.failSafe !== undefined) {
    const withoutParameters = { ...command, parameters: {} };
    const { writes } = command.failSafe;
    checkWrites(withoutParameters, writes, points, [...at, "failSafe", "writes"], expect);
  }
}

function checkVerify(
  { parameters }: CommandSpec,
  verify: NonNullable<CommandSpec["verify"]>,
  points: DeviceProfileSpec["points"],
  where: ValuePath,
  expect: Expect,
): void {
  const { equals, tolerance, settle = 0, within } = verify;
  const point = Object.hasOwn(points, verify.point) ? points[verify.point] : undefined;
  if (point === undefined) {
    expect([...where, "point"], verify.point, "a point of the profile");
    return;
  }
  if (point.type === "waveform") {
    expect([...where, "point"], verify.point, "a point with one value: this one is a waveform");
    return;
  }
  const type = point.type === "integer" ? "number" : point.type;
  if (tolerance !== undefined && type !== "number")
    expect([...where, "tolerance"], tolerance, `left out: the point is of type ${type}`);
  if (settle >= within) expect([...where, "settle"], settle, "shorter than within");
  const at: ValuePath = [...where, "equals"];
  const { parameter: name } = equals;
  if (name === undefined) {
    const given =
      equals.number !== undefined ? "number" : equals.boolean !== undefined ? "boolean" : "string";
    if (given !== type) expect(at, equals, `of type ${type}, as the point is`);
    return;
  }
  const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (parameter === undefined) expect([...at, "parameter"], name, "a parameter of the command");
  else if (!parameter.required) expect([...at, "parameter"], name, "a parameter that must be given");
  else if ((parameter.type === "integer" ? "number" : parameter.type) !== type)
    expect([...at, "parameter"], name, `a parameter of type ${type}, as the point is`);
}

function checkWrites(
  command: CommandSpec,
  list: readonly WriteSpec[],
  points: DeviceProfileSpec["points"],
  where: ValuePath,
  expect: Expect,
): void {
  for (const [i, { point: name, set }] of list.entries()) {
    const point = Object.hasOwn(points, name) ? points[name] : undefined;
    if (point === undefined) {
      expect([...where, i, "point"], name, "a point of the profile");
      continue;
    }
    const type = point.type === "integer" ? "number" : point.type;
    const at: ValuePath = [...where, i, "set"];
    const { parameter: wanted } = set;
    if (wanted === undefined) {
      const given = set.number !== undefined ? "number" : set.boolean !== undefined ? "boolean" : "string";
      if (given !== type) expect(at, set, `of type ${type}, as the point is`);
      continue;
    }
    const { parameters } = command;
    const parameter = Object.hasOwn(parameters, wanted) ? parameters[wanted] : undefined;
    if (parameter === undefined) expect([...at, "parameter"], wanted, "a parameter of the command");
    else if (!parameter.required) expect([...at, "parameter"], wanted, "a parameter that must be given");
    else if ((parameter.type === "integer" ? "number" : parameter.type) !== type)
      expect([...at, "parameter"], wanted, `a parameter of type ${type}, as the point is`);
  }
}

function checkSafety(
  { parameters, risk }: CommandSpec,
  safety: NonNullable<CommandSpec["safety"]>,
  points: DeviceProfileSpec["points"],
  where: ValuePath,
  expect: Expect,
): void {
  checkRange(safety.range, [...where, "range"], expect);
  const subject = safety.parameter;
  const judged =
    subject !== undefined && Object.hasOwn(parameters, subject) ? parameters[subject] : undefined;
  if (subject === undefined) {
    for (const key of ["range", "slewPerSecond", "measuredBy"] as const)
      if (safety[key] !== undefined) expect([...where, "parameter"], subject, `given, because ${key} is`);
  } else if (judged === undefined) expect([...where, "parameter"], subject, "a parameter of the command");
  else if (judged.type !== "number" && judged.type !== "integer")
    expect([...where, "parameter"], subject, "a parameter of type number or integer");
  else if (!judged.required) expect([...where, "parameter"], subject, "a parameter that must be given");
  const { measuredBy, slewPerSecond } = safety;
  if (slewPerSecond !== undefined && measuredBy === undefined)
    expect([...where, "measuredBy"], measuredBy, "given, because slewPerSecond is");
  if (measuredBy !== undefined) {
    const type = Object.hasOwn(points, measuredBy) ? points[measuredBy]?.type : undefined;
    if (type !== "number" && type !== "integer")
      expect([...where, "measuredBy"], measuredBy, "a point of the profile, of type number or integer");
  }
  // Whatever holds a stop up makes the device less safe.
  if (risk === "stop")
    for (const key of ["slewPerSecond", "minInterval", "interlock", "hours"] as const)
      if (safety[key] !== undefined)
        expect([...where, key], safety[key], "left out: nothing may hold up a command of risk stop");
  for (const [i, { from, to, timeZone }] of (safety.hours ?? []).entries()) {
    if (from === to) expect([...where, "hours", i, "to"], to, "another time than from");
    if (!isTimeZone(timeZone))
      expect([...where, "hours", i, "timeZone"], timeZone, "the IANA name of a time zone");
  }
}
