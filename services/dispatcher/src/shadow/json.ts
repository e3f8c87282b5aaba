/** JSON as shadows hold it: what may be in it, and what of it differs. */
import { AppError } from "@myelin/kernel";

/** A list or a simple value: replaced whole, never merged. */
export type Leaf = string | number | boolean | readonly Json[];
export type Json = null | string | number | boolean | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** What a shadow may hold. */
export const SHADOW_LIMITS = {
  /** Of the JSON of an update, and of the desired and the reported state together. */
  bytes: 65_536,
  /** Objects and lists within each other, below `desired` or `reported`. */
  depth: 8,
  /** Of the desired, and of the reported state. */
  fields: 2_048,
  keyBytes: 256,
} as const;

// Joins the keys of a path; control characters are refused in keys.
const SEPARATOR = "\0";
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a key
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Keys as one text. One key stands for itself. */
export function pathBelow(parent: string, key: string): string {
  return parent === "" ? key : `${parent}${SEPARATOR}${key}`;
}

/** The keys of a path. */
export function keysOf(path: string): string[] {
  return path.split(SEPARATOR);
}

/** The path as people read it. */
export function shownPath(path: string): string {
  return path.replaceAll(SEPARATOR, ".");
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Checks one state of an update; `where` begins the paths in messages.
 * @throws AppError `shadow.invalid` with path and rule
 */
export function checkState(state: unknown, where: string): asserts state is JsonObject {
  if (!isObject(state)) throw invalid(where, "must be an object");
  const budget = { fields: SHADOW_LIMITS.fields };
  checkObject(state, where, 1, budget);
}

interface Budget {
  fields: number;
}

function checkObject(
  value: Readonly<Record<string, unknown>>,
  where: string,
  depth: number,
  budget: Budget,
): void {
  for (const [key, child] of Object.entries(value)) {
    const problem = keyProblem(key);
    if (problem !== undefined) throw invalid(where, problem);
    const path = `${where}.${key}`;
    if (isObject(child)) {
      expectDepth(depth + 1, path);
      checkObject(child, path, depth + 1, budget);
      continue;
    }
    if (--budget.fields < 0) throw invalid(where, `has too many fields; ${SHADOW_LIMITS.fields} are taken`);
    // Null removes a field.
    if (child !== null) checkValue(child, path, depth, budget);
  }
}

function checkValue(value: unknown, path: string, depth: number, budget: Budget): void {
  if (Array.isArray(value)) {
    expectDepth(depth + 1, path);
    for (const [i, item] of value.entries()) {
      const at = `${path}[${i}]`;
      if (item === null) throw invalid(at, "is null, which a list cannot hold");
      if (isObject(item)) {
        expectDepth(depth + 2, at);
        checkObject(item, at, depth + 2, budget);
      } else checkValue(item, at, depth + 1, budget);
    }
    return;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw invalid(path, "is beyond the numbers that can be kept");
    // Beyond 1e21 a number is written with an exponent: nobody takes it for an exact one.
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21)
      throw invalid(path, "is a whole number beyond ±9007199254740991, which would not stay exact");
  } else if (typeof value === "string") {
    if (!value.isWellFormed()) throw invalid(path, "is text with half a character");
  } else if (typeof value !== "boolean") throw invalid(path, "is no JSON value");
}

function expectDepth(depth: number, path: string): void {
  if (depth <= SHADOW_LIMITS.depth) return;
  // A path of eight keys of which each may be long.
  throw invalid(path.slice(0, 512), `is deeper than ${SHADOW_LIMITS.depth} levels`);
}

function keyProblem(key: string): string | undefined {
  if (key === "") return "has a field without a name";
  if (Buffer.byteLength(key) > SHADOW_LIMITS.keyBytes)
    return `has a field whose name is longer than ${SHADOW_LIMITS.keyBytes} bytes`;
  if (CONTROL.test(key) || !key.isWellFormed())
    return "has a field with a control character or half a character in its name";
  // An object made with it would have no such field.
  return key === "__proto__" ? "has a field of the name __proto__" : undefined;
}

function invalid(path: string, rule: string): AppError {
  return new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
}

/** Equal in content; the order of keys does not matter. */
export function isSame(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]))
  );
}
