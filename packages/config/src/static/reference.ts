/** Tables for the reference and the READMEs of plugins, made from schemas. */
import { mayBeMissing } from "../schema/builders.js";
import type { Schema } from "../schema/schema.js";
import { environmentName } from "./environment.js";

interface Row {
  readonly path: readonly string[];
  readonly schema: Schema;
  readonly required: boolean;
}

/** A Markdown table: one row per setting, with its variable when `environment` is true. */
export function settingsTable(
  schema: Schema,
  options: { environment: boolean; prefix?: readonly string[] },
): string {
  const { environment, prefix = [] } = options;
  const head = ["setting", "form", "default", "meaning", ...(environment ? ["variable"] : [])];
  const rows = rowsOf(schema, prefix, true).map(({ path, schema: s, required }) => {
    const cells = [
      `\`${path.join(".")}\``,
      formOf(s),
      defaultOf(s, required),
      escapeCell(s.description ?? ""),
    ];
    if (environment) cells.push(`\`${environmentName(path)}\``);
    return `| ${cells.join(" | ")} |`;
  });
  return [`| ${head.join(" | ")} |`, `|${head.map(() => "---|").join("")}`, ...rows, ""].join("\n");
}

function rowsOf(schema: Schema, path: readonly string[], required: boolean): Row[] {
  if (schema.type === "object" && schema["x-form"] !== "secret") {
    if (schema.properties !== undefined) {
      return Object.entries(schema.properties).flatMap(([key, s]) =>
        rowsOf(s, [...path, key], !mayBeMissing(s)),
      );
    }
    if (schema.additionalProperties) return rowsOf(schema.additionalProperties, [...path, "<name>"], false);
  }
  const items = schema.items;
  if (items?.type === "object" && items.properties !== undefined) {
    return [
      { path, schema, required },
      ...rowsOf(items, [...path.slice(0, -1), `${path.at(-1)}[]`], required),
    ];
  }
  return [{ path, schema, required }];
}

function formOf(schema: Schema): string {
  if (schema["x-form"] === "secret") return "`{ fromFile }` or `{ fromEnv }`";
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`${word}\``).join(", ");
  if (schema["x-rule"] !== undefined) return escapeCell(schema["x-rule"]);
  if (schema.type === "integer" || schema.type === "number") {
    return `${schema.type === "integer" ? "whole number" : "number"}, ${schema.minimum} to ${schema.maximum}`;
  }
  if (schema.type === "array") return `list of at most ${schema.maxItems}: ${formOf(schema.items ?? {})}`;
  if (schema.type === "object") return "mapping";
  return schema.type === "boolean" ? "`true` or `false`" : "text";
}

function defaultOf(schema: Schema, required: boolean): string {
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``;
  return required ? "(required)" : "";
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
