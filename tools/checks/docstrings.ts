/** Every export of a package has a docstring at the place where it is declared. */
import { posix } from "node:path";
import type { Directive, Statement } from "oxc-parser";
import { lineOf, resolveRelative, type Source } from "./sources.js";

/** One sentence for each name that an index exports and that is declared without a docstring. */
export function missingDocstrings(index: Source, sources: ReadonlyMap<string, Source>): string[] {
  return exportsOf(index, sources, new Set());
}

function exportsOf(source: Source, sources: ReadonlyMap<string, Source>, seen: Set<string>): string[] {
  if (seen.has(source.path)) return [];
  seen.add(source.path);
  return source.program.body.flatMap((statement) => {
    if (statement.type === "ExportAllDeclaration") {
      const target = targetOf(source, statement.source.value, sources);
      return target === undefined ? [] : exportsOf(target, sources, seen);
    }
    if (statement.type !== "ExportNamedDeclaration") return [];
    if (statement.source === null) return undocumented(source, statement);
    const target = targetOf(source, statement.source.value, sources);
    if (target === undefined) return [];
    const names = statement.specifiers.map(({ local }) => ("name" in local ? local.name : local.value));
    return names.flatMap((name) => undocumentedName(target, name, sources));
  });
}

function undocumentedName(source: Source, name: string, sources: ReadonlyMap<string, Source>): string[] {
  for (const statement of source.program.body) {
    if (statement.type !== "ExportNamedDeclaration") continue;
    const own = statement.specifiers.find(
      ({ exported }) => ("name" in exported ? exported.name : exported.value) === name,
    );
    if (own !== undefined && statement.source !== null) {
      const target = targetOf(source, statement.source.value, sources);
      const local = "name" in own.local ? own.local.name : own.local.value;
      return target === undefined ? [] : undocumentedName(target, local, sources);
    }
    if (declaredNames(statement).includes(name)) return undocumented(source, statement);
  }
  return [];
}

function undocumented(source: Source, statement: Directive | Statement): string[] {
  const names = declaredNames(statement);
  if (names.length === 0 || hasDocstring(source, statement.start)) return [];
  return [
    `${source.path}:${lineOf(source.text, statement.start)} exports ${names.join(", ")} without a docstring`,
  ];
}

function declaredNames(statement: Directive | Statement): string[] {
  if (statement.type !== "ExportNamedDeclaration" || statement.declaration === null) return [];
  const { declaration } = statement;
  if (declaration.type === "VariableDeclaration") {
    return declaration.declarations.flatMap(({ id }) => (id.type === "Identifier" ? [id.name] : []));
  }
  return "id" in declaration && declaration.id?.type === "Identifier" ? [declaration.id.name] : [];
}

function hasDocstring(source: Source, at: number): boolean {
  const before = source.comments.findLast(({ end }) => end <= at);
  if (before === undefined || !before.value.startsWith("*")) return false;
  // The line at the top of a file tells about the file, and stands apart or above the imports.
  return (
    source.text.slice(before.end, at).trim() === "" && !/\n\s*\n/.test(source.text.slice(before.end, at))
  );
}

function targetOf(
  source: Source,
  specifier: string,
  sources: ReadonlyMap<string, Source>,
): Source | undefined {
  const path = resolveRelative(source.path, specifier);
  return path === undefined ? undefined : sources.get(posix.normalize(path));
}
