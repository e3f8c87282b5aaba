/** Schemas of resources for editors: JSON Schema 2020-12 without what only our own check reads. */
import type { Schema } from "../schema/schema.js";
import { type AnyKind, documentSchema } from "./kind.js";

/** Plain JSON. */
export type JsonSchema = { [keyword: string]: unknown };

const DIALECT = "https://json-schema.org/draft/2020-12/schema";

/** The schema of documents of one kind; `myelin get -o yaml` prints a status, which it lets through. */
export function editorSchema(kind: AnyKind): JsonSchema {
  const { properties, ...rest } = plain(documentSchema(kind));
  const { metadata, ...fields } = properties as Record<string, JsonSchema>;
  const named = metadata as { properties: JsonSchema };
  return {
    $schema: DIALECT,
    title: `${kind.kind} of Myelin`,
    ...rest,
    properties: {
      ...fields,
      metadata: { ...named, properties: { ...named.properties, generation: SAID } },
      status: SAID,
    },
  };
}

const SAID: JsonSchema = { description: "Told by the platform; left out when the resource is applied." };

/** The schema of documents of any of these kinds, for files that hold several; `fileOf` names the schema of one. */
export function anyKindSchema(kinds: readonly AnyKind[], fileOf: (kind: string) => string): JsonSchema {
  return {
    $schema: DIALECT,
    title: "Resource of Myelin",
    type: "object",
    required: ["kind"],
    properties: { kind: { enum: kinds.map(({ kind }) => kind), description: "Kind of the resource." } },
    allOf: kinds.map(({ kind }) => ({
      if: { properties: { kind: { const: kind } }, required: ["kind"] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { $ref: fileOf(kind) },
    })),
  };
}

function plain(schema: Schema): JsonSchema {
  const { properties, items, additionalProperties, minimum, maximum, ...rest } = schema;
  const out: JsonSchema = Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith("x-")));
  // For text they bound what the text means, which only our check can know.
  if (schema.type !== "string") Object.assign(out, defined({ minimum, maximum }));
  if (schema["x-rule"] !== undefined && schema.type === "string") {
    out.description = [schema.description, `Must be ${schema["x-rule"]}.`].filter(Boolean).join(" ");
  }
  if (properties !== undefined)
    out.properties = Object.fromEntries(
      Object.entries(properties).map(([key, inner]) => [key, plain(inner)]),
    );
  if (items !== undefined) out.items = plain(items);
  if (additionalProperties !== undefined)
    out.additionalProperties = additionalProperties === false ? false : plain(additionalProperties);
  return out;
}

function defined(fields: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
