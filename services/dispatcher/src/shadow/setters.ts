/** The commands of a profile by which points can be set. */
import type { Profile } from "@myelin/profile";
import { isObject, type Json, type JsonObject } from "./json.js";

/** A command that sets a point: it reads back in `point` what `parameter` was given. */
export interface Setter {
  readonly point: string;
  readonly command: string;
  readonly parameter: string;
  /** How far what is read back may be from what was asked. */
  readonly tolerance: number;
}

/** How a delta comes to its device. */
export interface Ways {
  readonly wanted: readonly { readonly setter: Setter; readonly value: Json }[];
  /** What no command sets. */
  readonly told: JsonObject | undefined;
}

const known = new WeakMap<Profile, ReadonlyMap<string, Setter>>();

/**
 * By point. A command sets a point when it says so (`verify: { point, equals: { parameter } }`), asks for nothing else, and is neither a stop nor
 * a read; of several the first one in the profile.
 */
export function settersOf(profile: Profile): ReadonlyMap<string, Setter> {
  let setters = known.get(profile);
  if (setters === undefined) {
    setters = findSetters(profile);
    known.set(profile, setters);
  }
  return setters;
}

/** What of a delta commands bring to the device, and what it is told. */
export function divide(delta: JsonObject, setters: ReadonlyMap<string, Setter>): Ways {
  if (setters.size === 0) return { wanted: [], told: delta };
  const wanted: { setter: Setter; value: Json }[] = [];
  const told: Record<string, Json> = {};
  for (const [point, value] of Object.entries(delta)) {
    const setter = setters.get(point);
    if (setter === undefined || isObject(value) || Array.isArray(value)) told[point] = value;
    else wanted.push({ setter, value });
  }
  return { wanted, told: Object.keys(told).length === 0 ? undefined : told };
}

function findSetters({ commands }: Profile): ReadonlyMap<string, Setter> {
  const setters = new Map<string, Setter>();
  for (const [command, { spec }] of commands) {
    const { verify, parameters, risk } = spec;
    const parameter = verify?.equals.parameter;
    if (verify === undefined || parameter === undefined || risk === "stop" || risk === "read") continue;
    const asksForMore = Object.entries(parameters).some(
      ([name, { required }]) => required && name !== parameter,
    );
    if (asksForMore || setters.has(verify.point)) continue;
    setters.set(verify.point, { point: verify.point, command, parameter, tolerance: verify.tolerance ?? 0 });
  }
  return setters;
}
