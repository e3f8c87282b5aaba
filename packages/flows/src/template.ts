/** Texts with expressions in them, and what those may name. */

import { AppError } from "@myelin/kernel";
import { compileExpression, type Expression } from "@myelin/profile";

/** What expressions are evaluated over, by the names of variables. */
export type Values = Readonly<Record<string, unknown>>;

/** A text whose expressions were compiled. */
export interface Template {
  readonly paths: Expression["paths"];
  /** A text that is one expression alone gives its value, any other gives text. @throws AppError `expression.failed` */
  render(values: Values): unknown;
}

const PLACE = /\$\{([^}]*)\}/g;

/** @throws AppError `expression.invalid` */
export function compileTemplate(text: string, variables: readonly string[]): Template {
  const parts: (string | Expression)[] = [];
  let from = 0;
  for (const found of text.matchAll(PLACE)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    parts.push(compileExpression(found[1] as string, variables));
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  const paths = parts.flatMap((part) => (typeof part === "string" ? [] : part.paths));
  const [only] = parts;
  if (parts.length === 1 && typeof only === "object")
    return { paths, render: (values) => only.evaluate(values) };
  return {
    paths,
    render: (values) =>
      parts.map((part) => (typeof part === "string" ? part : asText(part.evaluate(values)))).join(""),
  };
}

function asText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** @throws AppError `expression.failed` where it is none, or longer than `maxLength` */
export function expectText(value: unknown, what: string, maxLength = 4_096): string {
  const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
  if (typeof text === "string" && text !== "" && text.length <= maxLength) return text;
  throw new AppError("expression.failed", `${what} is no text of 1 to ${maxLength} characters`);
}
