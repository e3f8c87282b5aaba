/** How the parameters of operators' requests are read. */
import { AppError } from "@myelin/kernel";
import { DEFAULT_LIMIT, MAX_LIMIT } from "../../../core/operations-client.js";

/** As the library has parsed it. */
export type Query = Readonly<Record<string, unknown>>;

/** A parameter that stands several times, or holds several values with commas between them. */
export function listOf(query: Query, name: string): string[] {
  const value = query[name];
  const given = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return given.flatMap((text) => String(text).split(","));
}

/** Empty where it is not given. @throws AppError `protocol.malformed` */
export function textOf(query: Query, name: string): string {
  const value = query[name] ?? "";
  if (typeof value !== "string") throw new AppError("protocol.malformed", `${name} is given more than once`);
  return value;
}

/** Cursor and limit of a list. @throws AppError `protocol.malformed` */
export function placeOf(query: Query): { readonly cursor: string; readonly limit: number } {
  const cursor = textOf(query, "cursor");
  return { cursor, limit: numberOf(query, "limit", 1, MAX_LIMIT) ?? DEFAULT_LIMIT };
}

/** Microseconds since the Unix epoch, 0 where it is not given. @throws AppError `protocol.malformed` */
export function sinceOf(query: Query): number {
  const since = textOf(query, "since");
  if (since === "") return 0;
  const ms = Date.parse(since);
  if (Number.isNaN(ms))
    throw new AppError("protocol.malformed", "since is a time such as 2030-01-31T12:00:00Z");
  return Math.max(0, ms * 1000);
}

/** A whole number between the two, undefined where it is not given. @throws AppError `protocol.malformed` */
export function numberOf(query: Query, name: string, low: number, high: number): number | undefined {
  const text = textOf(query, name);
  if (text === "") return undefined;
  if (!/^\d{1,9}$/.test(text) || Number(text) < low || Number(text) > high) {
    throw new AppError("protocol.malformed", `${name} is a whole number from ${low} to ${high}`);
  }
  return Number(text);
}
