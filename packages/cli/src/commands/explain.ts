/** `myelin explain`: what a kind and its fields mean, out of the schema. */
import { documentSchema, kinds, type Schema } from "@myelin/config";
import { colour, EXIT, print, printJson } from "../output.js";
import { boundsOf, type Field, fieldAt, fieldsOf, typeOf } from "../resources/fields.js";
import { kindOf } from "../resources/kinds.js";

export interface ExplainOptions {
  readonly json: boolean;
  readonly recursive: boolean;
}

const INDENT = "  ";

/** @param path such as `route.spec.targets.device.ttl` @throws AppError `config.unknown_kind`, `config.invalid` */
export async function explain(path: string, { json, recursive }: ExplainOptions): Promise<number> {
  const [word = "", ...steps] = path.replaceAll(/\[[0-9]*\]/g, "").split(".");
  const kind = kindOf(word);
  const schema = documentSchema(kinds[kind]);
  const field = fieldAt({ kind, schema }, steps);
  if (json) printJson({ kind, path: steps.join("."), required: field.isRequired, schema: field.schema });
  else show(kind, steps, field, recursive);
  return EXIT.ok;
}

function show(kind: string, steps: readonly string[], field: Field, recursive: boolean): void {
  const { schema, isRequired } = field;
  print(`${colour.bold("KIND:")}    ${kind}`);
  if (steps.length > 0) {
    print(
      `${colour.bold("FIELD:")}   ${steps.join(".")} <${typeOf(schema)}>${isRequired ? " required" : ""}`,
    );
  }
  for (const line of facts(schema)) print(`${INDENT}${line}`);
  if (schema.description !== undefined) {
    print(colour.bold("DESCRIPTION:"));
    print(`${INDENT}${schema.description}`);
  }
  const inner = fieldsOf(schema);
  if (inner.length === 0) return;
  print(colour.bold("FIELDS:"));
  for (const one of inner) list(one, INDENT, recursive);
}

function list({ name, schema, isRequired }: Field, indent: string, recursive: boolean): void {
  print(`${indent}${colour.cyan(name)} <${typeOf(schema)}>${isRequired ? " required" : ""}`);
  if (recursive) {
    for (const inner of fieldsOf(schema)) list(inner, indent + INDENT, true);
    return;
  }
  if (schema.description !== undefined) print(`${indent}${INDENT}${schema.description}`);
  for (const line of facts(schema)) print(`${indent}${INDENT}${line}`);
}

function facts(schema: Schema): string[] {
  const lines: string[] = [];
  if (schema.default !== undefined) lines.push(`default: ${JSON.stringify(schema.default)}`);
  return [...lines, ...boundsOf(schema)];
}
