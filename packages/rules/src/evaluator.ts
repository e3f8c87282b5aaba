/** Asks conditions about a device. */
import { AppError } from "@myelin/kernel";
import type { Condition } from "@myelin/profile";
import type { DeviceState, Value } from "./device.js";
import type { EngineCounters } from "./firing.js";
import type { Binding, BoundRule } from "./plan.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** 1970 began on a Thursday. */
const FIRST_WEEKDAY = 4;
/** Longest list that expressions get: they may walk through one for each element of another. */
const MAX_ELEMENTS = 64;

/** What is asked for: a message, or a point of time. */
export interface Moment {
  readonly atMs: number;
  /** Of the message; empty: there is none. */
  readonly topic: string;
  readonly isReplayed: boolean;
  /** Of presence: what the device has become. */
  readonly online?: boolean | undefined;
}

/** Undefined: it cannot be said, because something that it names is unknown, or it went wrong. */
export function ask(
  state: DeviceState,
  bound: BoundRule,
  condition: Condition | undefined,
  inputs: readonly Binding[],
  moment: Moment,
  counters: EngineCounters,
): boolean | undefined {
  if (condition === undefined) return true;
  const context = bound.context;
  const { maxAge } = bound.rule.spec;
  const { atMs } = moment;
  for (const input of inputs) {
    const value = state.read(input, atMs);
    if (value === undefined || (typeof value === "object" && value.length > MAX_ELEMENTS)) return undefined;
    if (maxAge !== undefined && atMs - state.timeOf(input.slot) > maxAge) return undefined;
    context[input.name] = value;
  }
  if (condition.inputs.size > inputs.length) addBuiltIn(context, state, moment);
  counters.evaluations++;
  try {
    return condition.holds(context);
  } catch (thrown) {
    // Counted, and told with the rule: what the device says next may be of another type.
    bound.failure = AppError.from(thrown);
    counters.failed++;
    return undefined;
  }
}

function addBuiltIn(
  context: Record<string, Value>,
  state: DeviceState,
  { atMs, topic, online }: Moment,
): void {
  context.device = state.device;
  context.topic = topic;
  context.time = atMs / 1000;
  context.hour = Math.floor((atMs % DAY_MS) / HOUR_MS);
  context.weekday = (Math.floor(atMs / DAY_MS) + FIRST_WEEKDAY) % 7;
  context.online = online ?? false;
}
