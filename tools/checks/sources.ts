/** The repository's TypeScript, parsed once: what each file imports, and its syntax tree. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { type Program, parseSync } from "oxc-parser";

/** The repository's root; the checks run from anywhere. */
export const ROOT = join(import.meta.dirname, "..", "..");

/** One import, static or dynamic, or one re-export. */
export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** Leaves nothing behind at run time. */
  readonly typeOnly: boolean;
}

/** `path` is relative to the root, with forward slashes. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly program: Program;
  readonly comments: readonly { readonly value: string; readonly start: number; readonly end: number }[];
}

// The compiler drops the whole statement only when "type" stands in front; `import { type X }` still loads the file.
const ERASED = /^(import|export)\s+type\s+(?!from\s*["'])/;

/** Parses a text as if it stood at `path`; also for fixtures in tests. */
export function parse(path: string, text: string): Source {
  const { program, module, comments, errors } = parseSync(path, text);
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]?.message}`);
  const found: Import[] = [];
  const add = (specifier: string, at: number): void => {
    found.push({ specifier, line: lineOf(text, at), typeOnly: ERASED.test(text.slice(at, at + 40)) });
  };
  for (const { moduleRequest, start } of module.staticImports) add(moduleRequest.value, start);
  for (const { entries, start } of module.staticExports) {
    const request = entries.find((entry) => entry.moduleRequest !== null)?.moduleRequest;
    if (request !== undefined && request !== null) add(request.value, start);
  }
  for (const { moduleRequest, start } of module.dynamicImports) {
    const literal = /^(["'`])(.*)\1$/s.exec(text.slice(moduleRequest.start, moduleRequest.end));
    if (literal?.[2] !== undefined) add(literal[2], start);
  }
  return { path, text, imports: found, program, comments };
}

/** Counted from 1. */
export function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

const SKIPPED = new Set([
  "node_modules",
  "dist",
  ".git",
  ".tools",
  ".turbo",
  ".myelin",
  "coverage",
  ".build",
]);

/** The repository's files whose path satisfies `wanted`, without what is ignored or installed. */
export function listFiles(wanted: (path: string) => boolean, folder = ""): string[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : listFiles(wanted, path);
    return entry.isFile() && wanted(path) ? [path] : [];
  });
}

/** The folders directly in `folder`. */
export function listFolders(folder: string): string[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

let cached: readonly Source[] | undefined;

/** All TypeScript of packages and services, generated files left out. */
export function loadSources(): readonly Source[] {
  const wanted = (path: string): boolean =>
    /^(packages|services)\//.test(path) && path.endsWith(".ts") && !isGenerated(path);
  cached ??= listFiles(wanted).map((path) => parse(path, readFileSync(join(ROOT, path), "utf8")));
  return cached;
}

export function isGenerated(path: string): boolean {
  return path.includes("/generated/");
}

/** Tests, benches, and what lies in a folder of tests. */
export function isTest(path: string): boolean {
  return (
    /\.(test|itest|bench|leak|contract)\.ts$/.test(path) || /\/(test|testcases|conformance)\//.test(path)
  );
}

/** `packages/kernel`, `services/listener`, `tools`: the folder with the package.json. */
export function projectOf(path: string): string {
  const parts = path.split("/");
  return parts[0] === "tools" ? "tools" : parts.slice(0, 2).join("/");
}

/** Where a relative import leads, as a path of a TypeScript file; undefined for an import of a package. */
export function resolveRelative(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return posix.join(posix.dirname(from), specifier.replace(/\.js$/, ".ts"));
}
