/** The safety envelope of a command: one pure decision, taken where a command is accepted and again where it is executed. */
import type { CommandSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { type Condition, compileCondition, type Variables, type VariableType } from "./expression.js";
import { compileHours } from "./hours.js";
import type { Parameters } from "./parameters.js";
import type { Sample, SampleValue } from "./sample.js";

/** Why a command was denied. */
export type DenialReason =
  | "not_a_number"
  | "out_of_range"
  | "too_fast"
  | "too_soon"
  | "clock_went_back"
  | "input_missing"
  | "input_not_good"
  | "input_stale"
  | "input_replayed"
  | "interlock"
  | "interlock_failed"
  | "replayed"
  | "who"
  | "when";

/** The answer; a denial says in `message` what was asked and what is allowed. */
export type SafetyDecision =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly reason: DenialReason; readonly message: string };

/** What is asked for. */
export interface SafetyRequest {
  readonly parameters: Parameters;
  /** Roles of whoever asks. */
  readonly roles: readonly string[];
  /** It stems from something that was kept during an outage. */
  readonly replayed: boolean;
  readonly nowMs: number;
}

/** The last command of this kind that was allowed for the device; undefined: none is known. */
export interface LastAllowed {
  readonly atMs: number;
  /** Of the parameter that the envelope is about; undefined: it has none. */
  readonly value: number | undefined;
}

/** A sample, and whether it came live. */
export interface SafetyInput {
  readonly sample: Sample;
  readonly replayed: boolean;
}

/** Asked by name for the latest sample of a point. */
export type SafetyInputs = (point: string) => SafetyInput | undefined;

type SafetySpec = NonNullable<CommandSpec["safety"]>;

const ALLOWED: SafetyDecision = { allowed: true };

/** The safety envelope of one command of a profile, compiled. Keeps no state: callers keep `LastAllowed` per device. */
export class SafetyEnvelope {
  /** Points whose latest samples it may ask for. */
  readonly inputs: ReadonlySet<string>;
  readonly #spec: SafetySpec;
  readonly #interlock: Condition | undefined;
  readonly #hours: readonly ((atMs: number) => boolean)[] | undefined;

  /** @throws AppError `expression.invalid` */
  constructor(spec: SafetySpec, points: Readonly<Record<string, VariableType>>) {
    this.#spec = spec;
    this.#hours = spec.hours?.map(compileHours);
    const inputs = new Set<string>();
    this.inputs = inputs;
    if (spec.measuredBy !== undefined) inputs.add(spec.measuredBy);
    if (spec.interlock === undefined) return;
    const ofValue: Record<string, VariableType> =
      spec.parameter === undefined ? {} : { value: "double", previous: "double" };
    this.#interlock = compileCondition(spec.interlock, { ...points, ...ofValue });
    for (const name of this.#interlock.inputs) if (!Object.hasOwn(ofValue, name)) inputs.add(name);
  }

  /**
   * Says whether the command may be executed now. Whatever is missing, old or doubtful denies. The caller must keep a new `LastAllowed`
   * before it executes what was allowed, or two commands at once get by.
   */
  decide(request: SafetyRequest, last: LastAllowed | undefined, inputs: SafetyInputs): SafetyDecision {
    const { roles, hours, parameter } = this.#spec;
    if (request.replayed) return deny("replayed", "what was kept during an outage causes no commands");
    if (roles !== undefined && !roles.some((role) => request.roles.includes(role)))
      return deny("who", `only ${roles.join(", ")} may`);
    if (hours !== undefined && !this.#hours!.some((isWithin) => isWithin(request.nowMs)))
      return deny("when", "it is outside of the hours in which this is allowed");
    let value: number | undefined;
    if (parameter !== undefined) {
      const raw = Object.hasOwn(request.parameters, parameter) ? request.parameters[parameter] : undefined;
      if (typeof raw !== "number" || !Number.isFinite(raw))
        return deny("not_a_number", `${parameter} is no finite number`);
      value = raw;
    }
    return (
      this.#range(value) ??
      this.#pace(value, last, inputs, request.nowMs) ??
      this.#lock(value, last, inputs, request.nowMs)
    );
  }

  #range(value: number | undefined): SafetyDecision | undefined {
    const { range, parameter } = this.#spec;
    if (range === undefined || value === undefined) return undefined;
    const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = range;
    if (value >= min && value <= max) return undefined;
    return deny("out_of_range", `${parameter} is ${value}, allowed is ${min} to ${max}`);
  }

  #pace(
    value: number | undefined,
    last: LastAllowed | undefined,
    inputs: SafetyInputs,
    nowMs: number,
  ): SafetyDecision | undefined {
    const { minInterval, slewPerSecond, parameter } = this.#spec;
    if (minInterval === undefined && slewPerSecond === undefined) return undefined;
    if (last !== undefined && !(nowMs >= last.atMs))
      return deny("clock_went_back", "the last command lies in the future");
    if (minInterval !== undefined && last !== undefined && nowMs - last.atMs < minInterval)
      return deny(
        "too_soon",
        `the last command was ${nowMs - last.atMs} ms ago, allowed is one in ${minInterval} ms`,
      );
    if (slewPerSecond === undefined || value === undefined) return undefined;
    const start = this.#start(last, inputs, nowMs);
    if ("allowed" in start) return start;
    const sinceMs = Math.max(0, nowMs - start.atMs);
    const way = Math.abs(value - start.value);
    const most = (slewPerSecond * sinceMs) / 1000;
    if (way <= most) return undefined;
    return deny("too_fast", `${parameter} would move by ${way} in ${sinceMs} ms, allowed is ${most}`);
  }

  /** Where the parameter stands: where it was sent, or what is measured as long as it was sent nowhere. */
  #start(
    last: LastAllowed | undefined,
    inputs: SafetyInputs,
    nowMs: number,
  ): { readonly atMs: number; readonly value: number } | SafetyDecision {
    const { measuredBy, maxAge } = this.#spec;
    if (last?.value !== undefined) return { atMs: last.atMs, value: last.value };
    if (measuredBy === undefined) return deny("input_missing", "no earlier value is known");
    const input = inputs(measuredBy);
    const denial = denialOf(measuredBy, input, nowMs, maxAge);
    if (denial !== undefined) return denial;
    const { value, timeUs } = input!.sample;
    if (typeof value !== "number") return deny("input_not_good", `${measuredBy} is no number`);
    return { atMs: timeUs / 1000, value };
  }

  #lock(
    value: number | undefined,
    last: LastAllowed | undefined,
    inputs: SafetyInputs,
    nowMs: number,
  ): SafetyDecision {
    const condition = this.#interlock;
    if (condition === undefined) return ALLOWED;
    const values: Record<string, SampleValue> = {};
    if (value !== undefined) values.value = value;
    // All that it names, also where one alone would decide: whether the others can be seen is part of being safe.
    for (const name of condition.inputs) {
      if (name === "value") continue;
      if (name === "previous") {
        const start = this.#start(last, inputs, nowMs);
        if ("allowed" in start) return start;
        values.previous = start.value;
        continue;
      }
      const input = inputs(name);
      const denial = denialOf(name, input, nowMs, this.#spec.maxAge);
      if (denial !== undefined) return denial;
      values[name] = input!.sample.value!;
    }
    return verdictOf(condition, values, this.#spec.interlock!);
  }
}

function denialOf(
  name: string,
  input: SafetyInput | undefined,
  nowMs: number,
  maxAgeMs: number,
): SafetyDecision | undefined {
  if (input === undefined) return deny("input_missing", `nothing is known of ${name}`);
  const { sample, replayed } = input;
  if (replayed) return deny("input_replayed", `${name} was kept during an outage`);
  if (sample.quality !== "good" || sample.value === null)
    return deny("input_not_good", `${name} is ${sample.quality}: ${sample.reason ?? "no value"}`);
  const ageMs = nowMs - sample.timeUs / 1000;
  // A time ahead of ours cannot be told from a wrong one.
  if (!(Math.abs(ageMs) <= maxAgeMs))
    return deny("input_stale", `${name} is ${Math.round(ageMs)} ms old, allowed are ${maxAgeMs} ms`);
  return undefined;
}

function verdictOf(condition: Condition, values: Variables, expression: string): SafetyDecision {
  try {
    return condition.holds(values) ? ALLOWED : deny("interlock", `${expression} is not true`);
  } catch (thrown) {
    return deny("interlock_failed", AppError.from(thrown).message);
  }
}

function deny(reason: DenialReason, message: string): SafetyDecision {
  return { allowed: false, reason, message };
}
