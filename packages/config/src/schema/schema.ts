/** Schemas as plain JSON Schema objects that also carry their TypeScript type. */

declare const VALUE: unique symbol;

/** Text forms that become numbers or references once checked. */
export type TextForm = "duration" | "bytes" | "secret";

/**
 * The part of JSON Schema 2020-12 that configuration needs. A schema is plain data: `JSON.stringify` of one is what
 * editors, the chart and the CRD get. `x-form` marks text that is converted after the check.
 */
export interface Schema<T = unknown> {
  readonly [VALUE]?: T;
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false | Schema;
  readonly propertyNames?: { readonly pattern: string; readonly maxLength: number };
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly "x-form"?: TextForm;
  /** The field may be left out although it has no default. */
  readonly "x-optional"?: true;
  /** Says in words what a pattern or form asks for: the rule that a problem shows. */
  readonly "x-rule"?: string;
}

/** A schema whose field may be left out without a default taking its place. */
export interface OptionalSchema<T> extends Schema<T> {
  readonly "x-optional": true;
}

/** The type of a checked value. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

/** Fields of an object schema. */
export type Fields = Readonly<Record<string, Schema>>;

type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends { readonly "x-optional": true } ? K : never;
}[keyof F];

/** The object that fields describe: those with a default are always there. */
export type ObjectOf<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]>;
} & {
  readonly [K in OptionalKeys<F>]?: Infer<F[K]>;
};
