/** Kinds as custom resource definitions of Kubernetes, with structural schemas (apiextensions.k8s.io/v1). */
import { hasDefault } from "../schema/builders.js";
import type { Schema } from "../schema/schema.js";
import { type AnyKind, API_VERSION } from "./kind.js";
import { API_GROUP, pluralOf, singularOf } from "./kind-names.js";
import type { PrinterColumn } from "./printer-columns.table.js";

type Json = { [key: string]: unknown };

/** What every status is: conditions, as the API conventions of Kubernetes have them. */
const STATUS: Json = {
  type: "object",
  description: "What became of it, told by the platform.",
  properties: {
    conditions: {
      type: "array",
      description: "Accepted: it is in force as it is written. Ready: what it asks for is done.",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"],
      items: {
        type: "object",
        required: ["type", "status", "reason", "message", "lastTransitionTime"],
        properties: {
          type: { type: "string", maxLength: 316 },
          status: { type: "string", enum: ["True", "False", "Unknown"] },
          reason: { type: "string", maxLength: 1024 },
          message: { type: "string", maxLength: 32_768 },
          observedGeneration: { type: "integer", format: "int64", minimum: 0 },
          lastTransitionTime: { type: "string", format: "date-time" },
        },
      },
    },
  },
};

/** The definition as an object, in the order in which people read it. */
export function customResourceDefinition(kind: AnyKind, columns: readonly PrinterColumn[]): Json {
  const plural = pluralOf(kind.kind);
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${API_GROUP}` },
    spec: {
      group: API_GROUP,
      scope: "Namespaced",
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural,
        singular: singularOf(kind.kind),
        categories: ["myelin"],
      },
      versions: [
        {
          name: API_VERSION.slice(API_GROUP.length + 1),
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            ...columns.map(({ name, type, path, description }) => ({
              name,
              type,
              description,
              jsonPath: `.spec.${path.join(".")}`,
            })),
            conditionColumn("Accepted"),
            conditionColumn("Ready"),
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
          schema: {
            openAPIV3Schema: {
              type: "object",
              required: ["spec"],
              properties: { spec: structural(kind.spec), status: STATUS },
            },
          },
        },
      ],
    },
  };
}

function conditionColumn(type: string): Json {
  return { name: type, type: "string", jsonPath: `.status.conditions[?(@.type=="${type}")].status` };
}

/**
 * What structural schemas can say. Closedness, the form of keys and bounds of durations and sizes are left to our own check, which
 * answers in the status.
 */
function structural(schema: Schema): Json {
  const { type, description, properties, required = [], items, additionalProperties } = schema;
  const out: Json = { type, ...(description !== undefined && { description }) };
  for (const key of KEPT) if (schema[key] !== undefined) out[key] = schema[key];
  if (type === "integer") out.format = "int64";
  if (type !== "string")
    for (const key of ["minimum", "maximum"] as const) if (schema[key] !== undefined) out[key] = schema[key];
  if (required.length > 0) out.required = required;
  if (properties !== undefined) {
    out.properties = Object.fromEntries(
      Object.entries(properties).map(([key, inner]) => [key, structural(inner)]),
    );
    // So that the defaults of the fields take effect where the object is left out.
    if (schema.default === undefined && hasDefault(schema)) out.default = {};
  } else if (additionalProperties) out.additionalProperties = structural(additionalProperties);
  if (items !== undefined) {
    out.items = structural(items);
    // uniqueItems is forbidden there; a set of scalars is not.
    if (schema.uniqueItems === true && items.type === "string") out["x-kubernetes-list-type"] = "set";
  }
  return out;
}

const KEPT = [
  "default",
  "enum",
  "pattern",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
] as const;
