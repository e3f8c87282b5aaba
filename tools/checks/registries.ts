/** Holds every registry of plugins to its folders: one folder, one line. */
import { posix } from "node:path";
import { type ObjectExpression, Visitor } from "oxc-parser";
import type { Source } from "./sources.js";

/** `key` is what the configuration says; `specifier` is what the line imports. */
export interface RegistryLine {
  readonly key: string;
  readonly specifier: string | undefined;
}

/** The lines of the registry in this file: the object that satisfies a type named `…Registry`; undefined where there is none. */
export function registryLines(source: Source): readonly RegistryLine[] | undefined {
  let lines: RegistryLine[] | undefined;
  new Visitor({
    TSSatisfiesExpression({ expression, typeAnnotation }) {
      const type = source.text.slice(typeAnnotation.start, typeAnnotation.end);
      if (/Registry\b/.test(type) && expression.type === "ObjectExpression") {
        lines = linesOf(expression, source.text);
      }
    },
  }).visit(source.program);
  return lines;
}

function linesOf(object: ObjectExpression, text: string): RegistryLine[] {
  return object.properties.map((property) => {
    if (property.type !== "Property")
      return { key: text.slice(property.start, property.end), specifier: undefined };
    const { key, value } = property;
    const name = key.type === "Identifier" ? key.name : text.slice(key.start, key.end).replace(/["'`]/g, "");
    const specifier = /\bimport\((["'`])(.+?)\1\)/.exec(text.slice(value.start, value.end))?.[2];
    return { key: name, specifier };
  });
}

/** One sentence for each folder without a line, line without a folder, and line that leads elsewhere. */
export function registryViolations(source: Source, folders: readonly string[]): string[] {
  const lines = registryLines(source);
  if (lines === undefined) return [`${source.path} holds no object that satisfies a registry`];
  const place = posix.dirname(source.path);
  const keys = lines.map(({ key }) => key);
  return [
    ...folders
      .filter((folder) => !keys.includes(folder))
      .map((folder) => `${place}/${folder} has no line in registry.ts`),
    ...keys
      .filter((key) => !folders.includes(key))
      .map((key) => `${source.path} names "${key}", which has no folder`),
    ...lines
      .filter(({ key, specifier }) => specifier !== `./${key}/index.js`)
      .map(({ key }) => `${source.path} does not load "${key}" from ./${key}/index.js on first use`),
  ];
}
