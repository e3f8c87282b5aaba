/** What a command writes and what must be read back. Pure. */
import type { CommandSpec, WriteSpec } from "@myelin/config";
import type { Parameters, Sample, SampleValue } from "@myelin/profile";

/** One value for one point, in the point's unit. */
export interface PointWrite {
  readonly point: string;
  readonly value: SampleValue;
  /** How long the unit is left alone afterwards. */
  readonly waitMs: number;
}

/** What must be read back. */
export interface Expectation {
  readonly point: string;
  readonly value: SampleValue;
  readonly tolerance: number;
  readonly settleMs: number;
  readonly withinMs: number;
}

/** The writes of a command with these parameters, which fit its profile. None: the profile does not say what is written. */
export function writesOf(spec: CommandSpec, parameters: Parameters): readonly PointWrite[] {
  if (spec.writes !== undefined) return spec.writes.map((write) => pointWriteOf(write, parameters));
  const expected = expectationOf(spec, parameters);
  return expected === undefined ? [] : [{ point: expected.point, value: expected.value, waitMs: 0 }];
}

/** What is written when whoever commands has gone silent. */
export function failSafeWritesOf(spec: CommandSpec): readonly PointWrite[] {
  return spec.failSafe?.writes.map((write) => pointWriteOf(write, {})) ?? [];
}

/** Undefined: nothing is read back. */
export function expectationOf({ verify }: CommandSpec, parameters: Parameters): Expectation | undefined {
  if (verify === undefined) return undefined;
  const { point, equals, tolerance = 0, settle = 0, within } = verify;
  return { point, value: setValueOf(equals, parameters), tolerance, settleMs: settle, withinMs: within };
}

/** Whether a sample shows what was expected. */
export function isExpected({ value, tolerance }: Expectation, sample: Sample): boolean {
  if (typeof value !== "number" || typeof sample.value !== "number") return sample.value === value;
  return Math.abs(sample.value - value) <= tolerance;
}

function pointWriteOf({ point, set, wait }: WriteSpec, parameters: Parameters): PointWrite {
  return { point, value: setValueOf(set, parameters), waitMs: wait };
}

function setValueOf(set: WriteSpec["set"], parameters: Parameters): SampleValue {
  if (set.parameter !== undefined) return parameters[set.parameter] as SampleValue;
  return set.number ?? set.boolean ?? set.text!;
}
