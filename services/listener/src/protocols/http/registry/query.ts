/** How the parameters of requests for devices are read. */
import type { DeviceList } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { type Query, textOf } from "../admin/query.js";

/** Which devices a list is of; the bounds are the registry's. @throws AppError `protocol.malformed` */
export function wishOf(query: Query, tenant: string): Omit<DeviceList, "limit"> {
  return {
    tenant,
    after: idOf(textOf(query, "cursor")),
    profile: textOf(query, "profile"),
    idPrefix: textOf(query, "idPrefix"),
    groups: repeated(query, "group"),
    disabled: truthOf(query, "disabled"),
    presence: presenceOf(query),
    tags: tagsOf(query),
  };
}

/** @throws AppError `protocol.malformed` */
function tagsOf(query: Query): Readonly<Record<string, string>> {
  return Object.fromEntries(
    repeated(query, "tag").map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new AppError("protocol.malformed", "tag is name=value");
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** @throws AppError `protocol.malformed` */
function presenceOf(query: Query): "online" | "offline" | undefined {
  const text = textOf(query, "presence");
  if (text === "" || text === "online" || text === "offline") return text === "" ? undefined : text;
  throw new AppError("protocol.malformed", "presence is online or offline");
}

/** @throws AppError `protocol.malformed` */
function truthOf(query: Query, name: string): boolean {
  const text = textOf(query, name);
  if (text === "" || text === "false") return false;
  if (text === "true") return true;
  throw new AppError("protocol.malformed", `${name} is true or false`);
}

function repeated(query: Query, name: string): string[] {
  const value = query[name];
  return Array.isArray(value) ? value.map(String) : value === undefined ? [] : [String(value)];
}

/** Goes on behind a device. */
export function toCursor(id: string): string {
  return Buffer.from(id).toString("base64url");
}

function idOf(cursor: string): string {
  const id = Buffer.from(cursor, "base64url").toString();
  if (toCursor(id) === cursor) return id;
  throw new AppError("protocol.malformed", "the cursor is none that a list has given");
}

/** How the answer is written: what `format` says, or else what the client accepts. @throws AppError `protocol.malformed` */
export function formatOf(query: Query, accept = ""): "json" | "ndjson" | "csv" {
  const text = textOf(query, "format");
  if (text === "json" || text === "ndjson" || text === "csv") return text;
  if (text !== "") throw new AppError("protocol.malformed", "format is one of json, ndjson, csv");
  if (/\btext\/csv\b/.test(accept)) return "csv";
  return /\bapplication\/(x-)?ndjson\b/.test(accept) ? "ndjson" : "json";
}
