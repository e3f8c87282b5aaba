/** Environment variables as a source of settings: their name is the path. */
import type { Problem, ValuePath } from "../schema/check.js";
import type { Schema } from "../schema/schema.js";

/** What an environment is; values of `process.env` fit. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables of this process, and `more`: for a process that it starts. */
export function environmentWith(more: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { ...process.env, ...more };
}

/** One setting that a variable gives. */
export interface EnvironmentSetting {
  readonly path: ValuePath;
  readonly value: unknown;
  readonly source: string;
}

const PREFIX = "MYELIN_";
// Two underscores somewhere: the variables that Kubernetes makes for each Service (MYELIN_LISTENER_PORT) have none.
const OURS = /^MYELIN_[A-Z0-9_]*?__/;

/** `readTimeoutMs` is `READ_TIMEOUT_MS` in a variable's name, `static-file` is `STATIC_FILE`: shells take no hyphen. */
export function toEnvironmentSegment(key: string): string {
  return key
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll("-", "_")
    .toUpperCase();
}

/** The one variable of a path, for example `MYELIN_LISTENER__PORTS__MQTT__PORT`. */
export function environmentName(path: ValuePath): string {
  return PREFIX + path.map((step) => toEnvironmentSegment(String(step))).join("__");
}

/** The settings that variables give, and a problem for each variable of ours that means nothing. */
export function readEnvironment(
  schema: Schema,
  environment: Environment,
  foreignSections: readonly string[],
): {
  readonly settings: readonly EnvironmentSetting[];
  readonly problems: readonly (Problem & { source: string })[];
} {
  const settings: EnvironmentSetting[] = [];
  const problems: (Problem & { source: string })[] = [];
  for (const [name, text] of Object.entries(environment)) {
    if (text === undefined || !OURS.test(name)) continue;
    const segments = name.slice(PREFIX.length).split("__");
    if (foreignSections.some((section) => toEnvironmentSegment(section) === segments[0])) continue;
    const source = `environment variable ${name}`;
    const target = resolve(schema, segments);
    if (target === undefined) {
      problems.push({ path: [], value: text, rule: "left out: there is no such setting", source });
    } else settings.push({ path: target.path, value: parseText(target.schema, text), source });
  }
  return { settings, problems };
}

function resolve(root: Schema, segments: readonly string[]): { path: ValuePath; schema: Schema } | undefined {
  const path: string[] = [];
  let schema = root;
  for (const segment of segments) {
    const { properties = {}, additionalProperties, propertyNames } = schema;
    const key = Object.keys(properties).find((k) => toEnvironmentSegment(k) === segment);
    if (key !== undefined) {
      path.push(key);
      schema = properties[key] as Schema;
    } else if (additionalProperties !== undefined && additionalProperties !== false) {
      const name = segment.toLowerCase();
      if (propertyNames !== undefined && !new RegExp(propertyNames.pattern, "u").test(name)) return undefined;
      path.push(name);
      schema = additionalProperties;
    } else return undefined;
  }
  return { path, schema };
}

// Text stays as it is where it cannot be what the schema wants, so that the problem shows what was written.
function parseText(schema: Schema, text: string): unknown {
  switch (schema.type) {
    case "integer":
    case "number":
      return /^-?[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : text;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "array":
      return text.startsWith("[") ? tryJson(text) : parseList(schema, text);
    case "object":
      return tryJson(text);
    default:
      return text;
  }
}

function parseList(schema: Schema, text: string): unknown {
  const items = schema.items ?? {};
  return text === "" ? [] : text.split(",").map((item) => parseText(items, item.trim()));
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the text itself goes on and is reported by the check with the form it must have.
    return text;
  }
}

/** Every variable a schema allows, with `<name>` where an instance name stands; for the reference. */
export function environmentNames(schema: Schema, path: ValuePath = []): string[] {
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([key, field]) =>
      environmentNames(field, [...path, key]),
    );
  }
  if (schema.additionalProperties) return environmentNames(schema.additionalProperties, [...path, "<name>"]);
  return [environmentName(path)];
}
