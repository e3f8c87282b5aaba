/** Finds circles of imports. */
import { resolveRelative, type Source } from "./sources.js";

/** Each circle once, as "a → b → a". Imports of types alone do not count: they are gone when the program runs. */
export function importCycles(sources: readonly Source[]): string[] {
  const graph = new Map(sources.map((source) => [source.path, targetsOf(source)]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      found.push([...trail.slice(at), path].join(" → "));
      return;
    }
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

function targetsOf({ path, imports }: Source): string[] {
  const atRunTime = imports.filter(({ typeOnly }) => !typeOnly);
  return atRunTime.flatMap(({ specifier }) => resolveRelative(path, specifier) ?? []);
}
