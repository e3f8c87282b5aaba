/** The configuration in force, for people: every value with where it comes from, secrets hidden. */
import type { ValuePath } from "../schema/check.js";
import { formatPath } from "../schema/check.js";
import type { Schema } from "../schema/schema.js";
import { Secret } from "../schema/secret.js";
import type { LoadedConfig } from "./load.js";

/** One line of `--print-config`. */
export interface ConfigEntry {
  readonly path: string;
  readonly value: unknown;
  readonly source: string;
}

/** Every value in the order of the schema; a secret's value is a word that says so. */
export function configEntries(schema: Schema, config: LoadedConfig<unknown>): ConfigEntry[] {
  return entriesOf(schema, config.value, [], config);
}

/** The same as text, one line per value. */
export function formatConfig(schema: Schema, config: LoadedConfig<unknown>): string {
  const lines = configEntries(schema, config).map(
    (e) => `${e.path} = ${JSON.stringify(e.value)}  # ${e.source}\n`,
  );
  return lines.join("");
}

function entriesOf(
  schema: Schema,
  value: unknown,
  path: ValuePath,
  config: LoadedConfig<unknown>,
): ConfigEntry[] {
  if (value instanceof Secret) {
    return [
      { path: formatPath(path), value: `[redacted, from ${value.source}]`, source: config.sourceOf(path) },
    ];
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [{ path: formatPath(path), value: toText(schema, value), source: config.sourceOf(path) }];
  }
  const { properties = {}, additionalProperties } = schema;
  return Object.entries(value).flatMap(([key, inner]) => {
    const field = Object.hasOwn(properties, key) ? properties[key] : additionalProperties || undefined;
    return entriesOf(field ?? {}, inner, [...path, key], config);
  });
}

// With its unit, so that a printed value can be written into a file again.
function toText(schema: Schema, value: unknown): unknown {
  if (schema["x-form"] === "duration") return `${value}ms`;
  return schema["x-form"] === "bytes" ? `${value}B` : value;
}
