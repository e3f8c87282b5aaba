/** Fields of a kind as people ask for them: by path, with type and bounds in words. */
import type { Schema } from "@myelin/config";
import { AppError } from "@myelin/kernel";

/** A field of a schema; `name` is `<name>` where any name may stand. */
export interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

/** What lies in an object, in the objects of a list, or under the names of a mapping. */
export function fieldsOf(schema: Schema): readonly Field[] {
  if (schema.type === "array") return schema.items === undefined ? [] : fieldsOf(schema.items);
  const { properties, required = [], additionalProperties } = schema;
  if (properties !== undefined) {
    return Object.entries(properties).map(([name, inner]) => ({
      name,
      schema: inner,
      isRequired: required.includes(name),
    }));
  }
  return additionalProperties ? [{ name: "<name>", schema: additionalProperties, isRequired: false }] : [];
}

/** @throws AppError `config.invalid` for a path that does not exist, with what does */
export function fieldAt(
  { kind, schema }: { readonly kind: string; readonly schema: Schema },
  steps: readonly string[],
): Field {
  let field: Field = { name: kind, schema, isRequired: true };
  for (const [i, step] of steps.entries()) {
    const inner = fieldsOf(field.schema);
    const next = inner.find(({ name }) => name === step) ?? inner.find(({ name }) => name === "<name>");
    if (next === undefined) {
      const at = [kind, ...steps.slice(0, i)].join(".");
      const known = inner.map(({ name }) => name).join(", ");
      throw new AppError(
        "config.invalid",
        known === ""
          ? `${at} has no fields`
          : `${at} has no field ${JSON.stringify(step)}; known are ${known}`,
      );
    }
    field = next;
  }
  return field;
}

/** `string`, `duration`, `[]object`, `map[string]string`: near to what kubectl says. */
export function typeOf(schema: Schema): string {
  const { type, items, additionalProperties, properties } = schema;
  const form = schema["x-form"];
  if (form !== undefined) return form;
  if (type === "array") return `[]${typeOf(items ?? {})}`;
  if (type === "object" && properties === undefined && additionalProperties) {
    return `map[string]${typeOf(additionalProperties)}`;
  }
  return type ?? "any";
}

/** What a value must be beside its type, a line each. */
export function boundsOf(schema: Schema): readonly string[] {
  const { minProperties, maxProperties, properties, propertyNames } = schema;
  const isOneOf = minProperties === 1 && maxProperties === 1 && properties !== undefined;
  const lines = [
    schema.enum && `one of: ${schema.enum.join(", ")}`,
    schema["x-rule"] && `must be ${schema["x-rule"]}`,
    schema["x-form"] === undefined && range("", schema.minimum, schema.maximum),
    range("characters: ", schema.minLength, schema.maxLength),
    range("entries: ", schema.minItems, schema.maxItems),
    schema.uniqueItems && "no entry twice",
    isOneOf && `exactly one of: ${Object.keys(properties).join(", ")}`,
    !isOneOf && range("keys: ", minProperties, maxProperties),
    propertyNames && `keys match: ${propertyNames.pattern}`,
    schema.pattern !== undefined && schema["x-rule"] === undefined && `matches: ${schema.pattern}`,
  ];
  return lines.filter((line): line is string => typeof line === "string" && line !== "");
}

function range(what: string, low: number | undefined, high: number | undefined): string {
  if (low !== undefined && high !== undefined) return `${what}${low} to ${high}`;
  if (high !== undefined) return `${what}at most ${high}`;
  return low === undefined ? "" : `${what}at least ${low}`;
}
