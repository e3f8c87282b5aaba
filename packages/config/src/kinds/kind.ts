/** What a resource kind consists of. */

import { object, oneOf, optional, record, string } from "../schema/builders.js";
import type { Problem } from "../schema/check.js";
import type { Fields, Infer, Schema } from "../schema/schema.js";

/** The one API version that resources have today. */
export const API_VERSION = "myelin.dev/v1alpha1";

/** A kind is its schema and what a schema cannot say; everything else is derived. */
export interface KindDefinition<Spec = unknown> {
  /** Key in the registry and value of `kind`. */
  readonly kind: string;
  readonly spec: Schema<Spec>;
  /** Rules across fields; paths are relative to `spec`. Called for specs that fit the schema. */
  check?(spec: Spec): readonly Problem[];
}

/** Any kind, for code that treats all alike; `check` is called only with what fits `spec`. */
export interface AnyKind {
  readonly kind: string;
  readonly spec: Schema;
  check?(spec: never): readonly Problem[];
}

/** Keeps the type of the spec together with the definition. */
export function defineKind<Spec>(definition: KindDefinition<Spec>): KindDefinition<Spec> {
  return definition;
}

/** The spec's type of a kind. */
export type SpecOf<K> = K extends KindDefinition<infer Spec> ? Spec : never;

// A DNS label with dots, as Kubernetes asks of object names.
const NAME_PATTERN = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

const metadata = object({
  name: string({
    description: "Unique among the resources of its kind.",
    minLength: 1,
    maxLength: 253,
    pattern: NAME_PATTERN,
    rule: "a name of lower-case letters, digits, - and .",
  }),
  labels: optional(
    record(string({ description: "Value of the label.", maxLength: 63 }), {
      description: "For people and tools; the platform does not act on them.",
      maxProperties: 64,
      keyPattern: "^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$",
    }),
  ),
});

/** Metadata of a resource. */
export type Metadata = Infer<typeof metadata>;

/** The whole document of a kind: what editors and checks get. */
export function documentSchema(definition: AnyKind): Schema {
  const fields: Fields = {
    apiVersion: oneOf([API_VERSION], { description: "Version of the resource format." }),
    kind: oneOf([definition.kind], { description: "Kind of the resource." }),
    metadata,
    spec: definition.spec,
  };
  return object(fields);
}
