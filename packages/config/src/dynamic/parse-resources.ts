/** Turns the text of one file into resources, or into the reasons why not. Pure but for the YAML library. */
import { type AnyKind, documentSchema } from "../kinds/kind.js";
import { kinds } from "../kinds/registry.js";
import { checkValue, formatPath, formatValue, type Problem, type ValuePath } from "../schema/check.js";
import type { Schema } from "../schema/schema.js";
import { parseYaml, type YamlDocument } from "../static/yaml.js";
import { findKind, type Resource, type ResourceProblem } from "./resource.js";

/** One document of a file; `resource` is undefined when it was refused. */
export interface ParsedDocument {
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  readonly resource: Resource | undefined;
  readonly problems: readonly ResourceProblem[];
}

/** A file; `problems` are those of the text as a whole. */
export interface ParsedFile {
  readonly documents: readonly ParsedDocument[];
  readonly problems: readonly ResourceProblem[];
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
  const { kind, name } = identityOf(document.value);
  const locate = (p: Problem): ResourceProblem => ({
    source,
    line: document.lineOf(p.path),
    path: formatPath(p.path),
    value: formatValue(p.value),
    rule: p.rule,
  });
  const refused = (problems: readonly Problem[]): ParsedDocument => ({
    kind,
    name,
    line: document.line,
    resource: undefined,
    problems: problems.map(locate),
  });
  const definition = findKind(kinds, kind);
  if (definition === undefined) {
    const value = (document.value as { kind?: unknown } | null)?.kind;
    return refused([{ path: ["kind"], value, rule: `one of ${Object.keys(kinds).join(", ")}` }]);
  }
  const result = checkValue(schemaOf(definition), document.value);
  if (result.problems.length > 0) return refused(result.problems);
  const resource = result.value as Resource;
  const deeper = definition.check?.(resource.spec as never) ?? [];
  if (deeper.length > 0)
    return refused(deeper.map((p) => ({ ...p, path: ["spec", ...p.path] as ValuePath })));
  return { kind, name, line: document.line, resource, problems: [] };
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
