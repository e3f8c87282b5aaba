/** YAML with positions, so that a problem names its line; the only importer of yaml, loaded when there is a file. */
import type { Document, LineCounter, Node, Pair } from "yaml";
import type { ValuePath } from "../schema/check.js";

/** One document of a file. `lineOf` gives the line of the deepest part of a path that is there. */
export interface YamlDocument {
  readonly value: unknown;
  readonly line: number;
  lineOf(path: ValuePath): number;
}

/** What is wrong with the text itself. */
export interface YamlError {
  readonly line: number;
  readonly message: string;
}

/** The documents of a file, or why it is not YAML; empty documents are left out. */
export interface YamlFile {
  readonly documents: readonly YamlDocument[];
  readonly errors: readonly YamlError[];
}

// Aliases can blow a small file up to gigabytes; real files use a few.
const MAX_ALIASES = 100;
/** Deeper than any setting or resource; whoever walks a value walks it recursively. */
const MAX_DEPTH = 64;
/** A text that is no YAML at all can be wrong at every character. */
const MAX_ERRORS = 100;

/** Parses YAML 1.2 (so `no` is text and `0o17` octal); doubled keys are errors. */
export async function parseYaml(text: string): Promise<YamlFile> {
  const { LineCounter, parseAllDocuments } = await import("yaml");
  const lines = new LineCounter();
  const options = { lineCounter: lines, uniqueKeys: true, version: "1.2", logLevel: "error" } as const;
  let parsed: readonly Document.Parsed[];
  try {
    parsed = parseAllDocuments(text, options) as readonly Document.Parsed[];
  } catch (error) {
    // The library composes recursively, so a deep nest is the end of its stack.
    return { documents: [], errors: [{ line: 1, message: inWords(error) }] };
  }
  const documents: YamlDocument[] = [];
  const errors: YamlError[] = [];
  for (const document of parsed) {
    for (const error of [...document.errors, ...document.warnings]) {
      const line = error.linePos?.[0].line ?? 1;
      errors.push({ line, message: (error.message.split("\n", 1)[0] as string).replace(/ at line .*$/, "") });
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    const line = lineAt(lines, document.contents);
    try {
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (!isShallow(value, MAX_DEPTH)) {
        errors.push({ line, message: `Nested more than ${MAX_DEPTH} levels deep, or within itself` });
      } else if (value !== null) {
        documents.push({ value, line, lineOf: (path) => lineOf(document, lines, path) });
      }
    } catch (error) {
      // Unresolved and excessive aliases, or the end of the stack.
      errors.push({ line, message: inWords(error) });
    }
  }
  return { documents, errors: errors.slice(0, MAX_ERRORS) };
}

function inWords(error: unknown): string {
  if (error instanceof RangeError) return "Nested too deeply";
  return error instanceof Error ? error.message : String(error);
}

/** False also for a value that an alias has put within itself, which has no end. */
function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1));
}

function lineAt(lines: LineCounter, node: Node): number {
  return node.range ? lines.linePos(node.range[0]).line : 1;
}

function lineOf(document: Document.Parsed, lines: LineCounter, path: ValuePath): number {
  let node: unknown = document.contents;
  let line = lineAt(lines, document.contents as Node);
  for (const step of path) {
    const items: unknown = (node as { items?: unknown } | null)?.items;
    if (!Array.isArray(items)) break;
    if (typeof step === "number") {
      node = items[step];
    } else {
      const pair = (items as Pair[]).find(
        (p) => String((p.key as { value?: unknown } | null)?.value) === step,
      );
      if (pair === undefined) break;
      line = lineAt(lines, pair.key as Node);
      node = pair.value;
      continue;
    }
    if (node === undefined || node === null) break;
    line = lineAt(lines, node as Node);
  }
  return line;
}

/** A value as YAML in block style, as people write it; ends with a line break. */
export async function formatYaml(value: unknown): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify(value, { version: "1.2", lineWidth: 0, aliasDuplicateObjects: false });
}

/** The text of one document without what lies at these paths; its comments stay. Text that has none of them stays as it is. */
export async function withoutPaths(text: string, paths: readonly (readonly string[])[]): Promise<string> {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { version: "1.2", logLevel: "error" });
  const there = paths.filter((path) => document.hasIn(path));
  if (there.length === 0) return text;
  for (const path of there) document.deleteIn(path);
  return document.toString({ lineWidth: 0 });
}
