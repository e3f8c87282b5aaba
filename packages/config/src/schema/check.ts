/** Holds a value to a schema: all problems at once, defaults filled in, text forms converted. */
import { hasDefault } from "./builders.js";
import type { Infer, Schema } from "./schema.js";
import { parseBytes, parseDurationMs } from "./units.js";

// Own code instead of TypeBox and Ajv: together they keep 28 MB resident, nearly a third of what a service may use
// (ADR-0003). The schemas are JSON Schema all the same; a property test holds this check to Ajv's verdict.

/** Steps from the root of a value. */
export type ValuePath = readonly (string | number)[];

/** One thing that is wrong. `rule` completes "must be …" or says what is wrong with a key. */
export interface Problem {
  readonly path: ValuePath;
  readonly value: unknown;
  readonly rule: string;
}

/** `value` is complete only when there is no problem. */
export interface CheckResult<T> {
  readonly value: T;
  readonly problems: readonly Problem[];
}

// One mistake in indentation can make hundreds; nobody reads more than these.
const MAX_PROBLEMS = 100;

/**
 * Checks a parsed file. The value is not changed; the result shares nothing with it that is mutable by the schema's
 * users, because every object and array is made anew.
 */
export function checkValue<S extends Schema>(schema: S, value: unknown): CheckResult<Infer<S>> {
  const problems: Problem[] = [];
  const checked = check(schema, value, [], problems);
  return { value: checked as Infer<S>, problems: problems.slice(0, MAX_PROBLEMS) };
}

/** A path as people write it: `ports.http.host`, `targets[0].app`. */
export function formatPath(path: ValuePath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text === "" ? "(root)" : text;
}

/** A value for a message: short, and never a whole document. */
export function formatValue(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

type Report = (path: ValuePath, value: unknown, rule: string) => void;

function check(schema: Schema, value: unknown, path: ValuePath, problems: Problem[]): unknown {
  const report: Report = (p, v, rule) => {
    if (problems.length < MAX_PROBLEMS) problems.push({ path: p, value: v, rule });
  };
  switch (schema.type) {
    case "object":
      return checkObject(schema, value, path, problems, report);
    case "array":
      return checkArray(schema, value, path, problems, report);
    case "string":
      return checkString(schema, value, path, report);
    case "integer":
    case "number":
      return checkNumber(schema, value, path, report);
    case "boolean":
      if (typeof value !== "boolean") report(path, value, "true or false");
      return value;
    case undefined:
      return value;
  }
}

function checkObject(
  schema: Schema,
  value: unknown,
  path: ValuePath,
  problems: Problem[],
  report: Report,
): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    report(path, value, "a mapping of keys to values");
    return value;
  }
  const { properties = {}, required = [], additionalProperties, propertyNames } = schema;
  const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema;
  const result: Record<string, unknown> = {};
  const put = (key: string, v: unknown): void => {
    // A key such as __proto__ must become an own property like any other.
    Object.defineProperty(result, key, { value: v, enumerable: true, writable: true, configurable: true });
  };
  const given = Object.keys(value);
  for (const key of given) {
    const inner = (value as Record<string, unknown>)[key];
    const at = [...path, key];
    if (Object.hasOwn(properties, key)) put(key, check(properties[key] as Schema, inner, at, problems));
    else if (additionalProperties === false || additionalProperties === undefined) {
      report(at, inner, unknownKeyRule(key, Object.keys(properties)));
    } else if (propertyNames !== undefined && !matchesName(propertyNames, key)) {
      report(at, inner, `a key that matches ${propertyNames.pattern}`);
    } else put(key, check(additionalProperties, inner, at, problems));
  }
  for (const key of required) if (!Object.hasOwn(value, key)) report([...path, key], undefined, "given");
  if (given.length < minProperties || given.length > maxProperties) report(path, value, countRule(schema));
  for (const [key, field] of Object.entries(properties)) {
    if (!Object.hasOwn(value, key) && hasDefault(field))
      put(key, check(field, field.default ?? {}, [...path, key], problems));
  }
  return result;
}

function countRule(schema: Schema): string {
  const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY, properties } = schema;
  if (minProperties === 1 && maxProperties === 1)
    return `exactly one of ${Object.keys(properties ?? {}).join(", ")}`;
  return `a mapping of ${minProperties} to ${maxProperties} keys`;
}

function matchesName(names: { readonly pattern: string; readonly maxLength: number }, key: string): boolean {
  return key.length <= names.maxLength && new RegExp(names.pattern, "u").test(key);
}

/** The name that was probably meant by one that is not known; undefined: none is near. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const flat = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return known.find((k) => flat(k) === flat(name)) ?? known.find((k) => isNear(flat(k), flat(name)));
}

function unknownKeyRule(key: string, known: readonly string[]): string {
  const meant = nearestName(key, known);
  if (meant !== undefined) return `left out: the key is unknown, did you mean ${meant}?`;
  return known.length === 0
    ? "left out: the key is unknown"
    : `left out: the key is unknown, known are ${known.join(", ")}`;
}

// One letter too many, too few, wrong, or two swapped; or an ending too much.
function isNear(a: string, b: string): boolean {
  if (Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a))) return true;
  if (Math.abs(a.length - b.length) > 1 || Math.max(a.length, b.length) < 4) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  const restA = a.slice(start);
  const restB = b.slice(start);
  if (restA.slice(1) === restB || restA === restB.slice(1) || restA.slice(1) === restB.slice(1)) return true;
  return restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2);
}

function checkArray(
  schema: Schema,
  value: unknown,
  path: ValuePath,
  problems: Problem[],
  report: Report,
): unknown {
  if (!Array.isArray(value)) {
    report(path, value, "a list");
    return value;
  }
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items = {}, uniqueItems } = schema;
  if (value.length < minItems) report(path, value, `a list of at least ${minItems}`);
  if (value.length > maxItems) report(path, value, `a list of at most ${maxItems}`);
  if (uniqueItems === true) {
    const seen = new Set<string>();
    value.forEach((item, i) => {
      const key = JSON.stringify(item);
      if (seen.has(key)) report([...path, i], item, "listed once");
      seen.add(key);
    });
  }
  return value.map((item, i) => check(items, item, [...path, i], problems));
}

function checkString(schema: Schema, value: unknown, path: ValuePath, report: Report): unknown {
  const { enum: words, minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = schema;
  if (typeof value !== "string") {
    report(path, value, schema["x-rule"] ?? (words === undefined ? "text" : `one of ${words.join(", ")}`));
    return value;
  }
  if (words !== undefined && !words.includes(value)) report(path, value, `one of ${words.join(", ")}`);
  // JSON Schema counts code points, not UTF-16 units.
  const length = minLength > 0 || maxLength < Number.POSITIVE_INFINITY ? [...value].length : 0;
  if (length < minLength)
    report(path, value, minLength === 1 ? "text that is not empty" : `at least ${minLength} characters`);
  if (length > maxLength) report(path, value, `at most ${maxLength} characters`);
  if (pattern !== undefined && !new RegExp(pattern, "u").test(value)) {
    report(path, value, schema["x-rule"] ?? `text that matches ${pattern}`);
    return value;
  }
  return convert(schema, value, path, report);
}

function convert(schema: Schema, text: string, path: ValuePath, report: Report): unknown {
  const form = schema["x-form"];
  if (form !== "duration" && form !== "bytes") return text;
  const amount = form === "duration" ? parseDurationMs(text) : parseBytes(text);
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = schema;
  if (amount < minimum || amount > maximum) report(path, text, schema["x-rule"] ?? form);
  return amount;
}

function checkNumber(schema: Schema, value: unknown, path: ValuePath, report: Report): unknown {
  const { type, minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
  const ok = type === "integer" ? Number.isInteger(value) : Number.isFinite(value);
  if (!ok || (value as number) < minimum || (value as number) > maximum) {
    const what = type === "integer" ? "a whole number" : "a number";
    const bounds = [
      minimum > Number.NEGATIVE_INFINITY && `from ${minimum}`,
      maximum < Number.POSITIVE_INFINITY && `to ${maximum}`,
    ];
    report(path, value, [what, ...bounds].filter(Boolean).join(" "));
  }
  return value;
}
