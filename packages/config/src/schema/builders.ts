/** The vocabulary in which every service and plugin writes its configuration. */
import type { Fields, Infer, ObjectOf, OptionalSchema, Schema } from "./schema.js";
import type { Secret, SecretReference } from "./secret.js";
import { BYTES_PATTERN, DURATION_PATTERN, parseBytes, parseDurationMs } from "./units.js";

interface Described {
  /** Meaning, unit, effect of the extreme values; ends up in the reference. */
  readonly description: string;
}

interface WithDefault<T> extends Described {
  readonly default?: T;
}

/** Names that become part of paths, file names and environment variables. */
export const INSTANCE_PATTERN = "^[a-z][a-z0-9]*$";

/** Text; `rule` says in words what `pattern` asks for. */
export function string(
  options: WithDefault<string> & { minLength?: number; maxLength?: number; pattern?: string; rule?: string },
): Schema<string> {
  const { rule, ...rest } = options;
  return { type: "string", ...rest, ...(rule !== undefined && { "x-rule": rule }) };
}

/** One of a closed set of words. One wrong word gives one problem that lists the right ones. */
export function oneOf<const W extends readonly string[]>(
  words: W,
  options: WithDefault<W[number]>,
): Schema<W[number]> {
  return { type: "string", enum: words, ...options };
}

/** A whole number; bounds are part of the meaning, so state them. */
export function integer(options: WithDefault<number> & { minimum: number; maximum: number }): Schema<number> {
  return { type: "integer", ...options };
}

/** Any finite number. */
export function number(options: WithDefault<number> & { minimum: number; maximum: number }): Schema<number> {
  return { type: "number", ...options };
}

/** Yes or no; prefer `oneOf`, a word can grow. */
export function boolean(options: WithDefault<boolean>): Schema<boolean> {
  return { type: "boolean", ...options };
}

/** A TCP or UDP port; 0 takes a free one. */
export function port(options: WithDefault<number>): Schema<number> {
  return integer({ minimum: 0, maximum: 65_535, ...options });
}

/** Written as "30s", read as milliseconds. */
export function durationMs(options: WithDefault<string> & { min?: string; max?: string }): Schema<number> {
  const { min, max, ...rest } = options;
  const bounds = textBounds("a duration such as 30s", min, max, parseDurationMs);
  return { type: "string", pattern: DURATION_PATTERN, "x-form": "duration", ...bounds, ...rest };
}

/** Written as "64KiB", read as bytes. */
export function bytes(options: WithDefault<string> & { min?: string; max?: string }): Schema<number> {
  const { min, max, ...rest } = options;
  const bounds = textBounds("a size such as 64KiB", min, max, parseBytes);
  return { type: "string", pattern: BYTES_PATTERN, "x-form": "bytes", ...bounds, ...rest };
}

// For text, minimum and maximum say nothing in JSON Schema; our check reads them after the conversion.
function textBounds(
  form: string,
  min: string | undefined,
  max: string | undefined,
  parse: (t: string) => number,
): Pick<Schema, "x-rule" | "minimum" | "maximum"> {
  const words = [form, min !== undefined && `at least ${min}`, max !== undefined && `at most ${max}`];
  return {
    "x-rule": words.filter(Boolean).join(", "),
    ...(min !== undefined && { minimum: parse(min) }),
    ...(max !== undefined && { maximum: parse(max) }),
  };
}

/** A reference to a secret, `{ fromFile: … }` or `{ fromEnv: … }`; the value itself never stands in a file of settings. */
export function secret(options: Described): Schema<Secret> {
  return { ...secretReference(options), "x-form": "secret" } as Schema<unknown> as Schema<Secret>;
}

/** The same in a resource, where it stays a reference until `resolveSecret` is asked: a changed file counts with the next use. */
export function secretReference(options: Described): Schema<SecretReference> {
  return exactlyOne(
    {
      fromFile: string({
        description: "File that holds the secret; one line break at the end is ignored.",
        minLength: 1,
      }),
      fromEnv: string({ description: "Environment variable that holds the secret.", minLength: 1 }),
    },
    options,
  );
}

/** A list. */
export function array<T>(
  items: Schema<T>,
  options: WithDefault<readonly T[]> & { minItems?: number; maxItems: number; uniqueItems?: boolean },
): Schema<readonly T[]> {
  return { type: "array", items, ...options };
}

/** Settings by instance name, for example the ports of a protocol. Names fit into environment variables. */
export function record<T>(
  values: Schema<T>,
  options: WithDefault<Readonly<Record<string, unknown>>> & { maxProperties: number; keyPattern?: string },
): Schema<Readonly<Record<string, T>>> {
  const { keyPattern = INSTANCE_PATTERN, ...rest } = options;
  return {
    type: "object",
    additionalProperties: values,
    propertyNames: { pattern: keyPattern, maxLength: 256 },
    ...rest,
  };
}

/** A closed set of fields; unknown ones are refused. Fields with a default may be left out and are there afterwards. */
export function object<F extends Fields>(fields: F, options: Partial<Described> = {}): Schema<ObjectOf<F>> {
  const required = Object.keys(fields).filter((key) => !mayBeMissing(fields[key] as Schema));
  return { type: "object", properties: fields, required, additionalProperties: false, ...options };
}

/** Exactly one of the fields, as in `target: { app: x }`. The type is a union, the check one line per mistake. */
export function exactlyOne<F extends Fields>(fields: F, options: Described): Schema<OneField<F>> {
  return {
    type: "object",
    properties: Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, optional(field)])),
    required: [],
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    ...options,
  };
}

type Flat<T> = { readonly [P in keyof T]: T[P] };

type OneField<F extends Fields> = {
  [K in keyof F]: Flat<{ [P in K]: Infer<F[P]> } & { [P in Exclude<keyof F, K>]?: never }>;
}[keyof F];

/** A field that may be left out and is then undefined. */
export function optional<T>(schema: Schema<T>): OptionalSchema<T> {
  return { ...schema, "x-optional": true };
}

/** True for a field that a value without it still satisfies. */
export function mayBeMissing(schema: Schema): boolean {
  return schema["x-optional"] === true || hasDefault(schema);
}

/** True when a missing field gets a value: its own default, or an object whose fields all may be missing. */
export function hasDefault(schema: Schema): boolean {
  if (schema["x-optional"] === true) return false;
  if (schema.default !== undefined) return true;
  const { properties, required = [], minProperties = 0 } = schema;
  return properties !== undefined && required.length === 0 && minProperties === 0;
}
