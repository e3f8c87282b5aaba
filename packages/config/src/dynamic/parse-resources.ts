/** Turns the text of one file into resources, or into the reasons why not. Pure but for the YAML library. */
import { type AnyKind, documentSchema } from "../kinds/kind.js";
import { kinds } from "../kinds/registry.js";
import { checkValue, formatPath, formatValue, type Problem, type ValuePath } from "../schema/check.js";
import type { Schema } from "../schema/schema.js";
import { parseYaml, type YamlDocument } from "../static/yaml.js";
import { generationOf } from "./generation.js";
import { findKind, type Resource, type ResourceProblem } from "./resource.js";

/** One document of a file; `resource` is undefined when it was refused. */
export interface ParsedDocument {
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  /** As it is written, without defaults. */
  readonly value: unknown;
  /** Of the spec as it is meant, or as it is written where it was refused. */
  readonly generation: number;
  readonly resource: Resource | undefined;
  readonly problems: readonly ResourceProblem[];
}

/** A file; `problems` are those of the text as a whole. */
export interface ParsedFile {
  readonly documents: readonly ParsedDocument[];
  readonly problems: readonly ResourceProblem[];
}

/** What `checkResource` found. */
export interface CheckedResource {
  readonly resource: Resource | undefined;
  readonly problems: readonly Problem[];
}

const schemas = new WeakMap<AnyKind, Schema>();

/** `source` is the file's name as it appears in problems. Never throws for any text. */
export async function parseResources(text: string, source: string): Promise<ParsedFile> {
  const { documents, errors } = await parseYaml(text);
  const problems = errors.map((e) => ({
    source,
    line: e.line,
    path: "(file)",
    value: "this text",
    rule: `YAML: ${e.message}`,
  }));
  const parsed = documents.map((document) => parseDocument(document, source));
  return { documents: withoutDoubles(parsed, source), problems };
}

function parseDocument(document: YamlDocument, source: string): ParsedDocument {
  const { value, line } = document;
  const { resource, problems } = checkResource(value);
  return {
    ...identityOf(value),
    line,
    value,
    generation: generationOf(resource?.spec ?? (value as { spec?: unknown } | null)?.spec),
    resource,
    problems: problems.map((p) => ({
      source,
      line: document.lineOf(p.path),
      path: formatPath(p.path),
      value: formatValue(p.value),
      rule: p.rule,
    })),
  };
}

/** One document, given as a parsed value; `resource` is undefined when there are problems. */
export function checkResource(value: unknown): CheckedResource {
  const { kind } = identityOf(value);
  const definition = findKind(kinds, kind);
  if (definition === undefined) {
    const given = (value as { kind?: unknown } | null)?.kind;
    const rule = `one of ${Object.keys(kinds).join(", ")}`;
    return { resource: undefined, problems: [{ path: ["kind"], value: given, rule }] };
  }
  const result = checkValue(schemaOf(definition), value);
  if (result.problems.length > 0) return { resource: undefined, problems: result.problems };
  const resource = result.value as Resource;
  const deeper = definition.check?.(resource.spec as never) ?? [];
  if (deeper.length > 0)
    return {
      resource: undefined,
      problems: deeper.map((p) => ({ ...p, path: ["spec", ...p.path] as ValuePath })),
    };
  return { resource, problems: [] };
}

function schemaOf(definition: AnyKind): Schema {
  let schema = schemas.get(definition);
  if (schema === undefined) {
    schema = documentSchema(definition);
    schemas.set(definition, schema);
  }
  return schema;
}

function identityOf(value: unknown): { kind: string; name: string } {
  const { kind, metadata } = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const name = (metadata as { name?: unknown } | null | undefined)?.name;
  return { kind: typeof kind === "string" ? kind : "", name: typeof name === "string" ? name : "" };
}

function withoutDoubles(documents: readonly ParsedDocument[], source: string): ParsedDocument[] {
  const firstLines = new Map<string, number>();
  return documents.map((document) => {
    if (document.resource === undefined) return document;
    const key = `${document.kind}/${document.name}`;
    const first = firstLines.get(key);
    if (first === undefined) {
      firstLines.set(key, document.line);
      return document;
    }
    const problem = nameTaken(document, source, `${source}:${first}`);
    return { ...document, resource: undefined, problems: [problem] };
  });
}

/** The problem of a resource whose name another one has already. */
export function nameTaken(document: ParsedDocument, source: string, by: string): ResourceProblem {
  const rule = `a name of its own: ${by} has a ${document.kind} of that name`;
  return { source, line: document.line, path: "metadata.name", value: formatValue(document.name), rule };
}
