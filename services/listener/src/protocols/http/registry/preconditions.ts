/** Entity tags of records and the conditions of requests on them (RFC 9110, 13). */

import type { IncomingHttpHeaders } from "node:http";
import type { DeviceRecord } from "@myelin/bus";
import { AppError } from "@myelin/kernel";

/** A tag that a client has: of a version, and of what the presence was then. */
interface Tag {
  readonly version: number;
  readonly moment: string;
}

type Tags = "*" | readonly Tag[];
type Shown = Pick<DeviceRecord, "version" | "presence">;

/** What a request asks of the record that is there. */
export interface Preconditions {
  /** The record must be one of these versions; `*`: any. */
  readonly match: Tags | undefined;
  /** It must be none of these; `*`: there must be none. */
  readonly noneMatch: Tags | undefined;
}

/** The strong entity tag of what is shown: the version, and behind a point the moment since which the presence is what it is. */
export function etagOf(device: Shown): string {
  const moment = momentOf(device);
  return moment === "" ? `"${device.version}"` : `"${device.version}.${moment}"`;
}

function momentOf({ presence }: Shown): string {
  if (presence === undefined) return "";
  const { online, sinceMs, protocol, address } = presence;
  // Of the same connection all of it is the same.
  return `${sinceMs.toString(36)}${online ? "+" : "-"}${protocol}@${address}`;
}

/** @throws AppError `protocol.malformed` */
export function preconditionsOf(headers: IncomingHttpHeaders): Preconditions {
  return {
    match: tagsOf("If-Match", headers["if-match"], true),
    noneMatch: tagsOf("If-None-Match", headers["if-none-match"], false),
  };
}

/** A tag and what stands between two of them; foreign ones match no version. */
const LISTED = /^\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)/;
const OWN = /^(\d{1,15})(?:\.(.*))?$/;

/** @param strong weak tags match nothing, RFC 9110, 8.8.3.2 */
function tagsOf(name: string, text: string | undefined, strong: boolean): Tags | undefined {
  if (text === undefined) return undefined;
  if (text.trim() === "*") return "*";
  const tags: Tag[] = [];
  let rest = text;
  while (rest.trim() !== "") {
    const found = LISTED.exec(rest);
    if (found === null) throw new AppError("protocol.malformed", `${name} is * or a list of entity tags`);
    const [all, weak, tag = ""] = found;
    const own = strong && weak !== undefined ? null : OWN.exec(tag);
    if (own !== null) tags.push({ version: Number(own[1]), moment: own[2] ?? "" });
    rest = rest.slice(all.length);
  }
  return tags;
}

/** Has the record one of the versions? Presence is no part of what is changed. */
export function isVersion(wanted: Tags, { version }: Pick<DeviceRecord, "version">): boolean {
  return wanted === "*" || wanted.some((tag) => tag.version === version);
}

/** Is it one of what the client has, presence included? */
export function isShown(wanted: Tags, device: Shown): boolean {
  const moment = momentOf(device);
  return wanted === "*" || wanted.some((tag) => tag.version === device.version && tag.moment === moment);
}

/** A condition of the request does not hold. */
export function preconditionFailed(message: string): AppError {
  return Object.assign(new AppError("device.version_conflict", message), { statusCode: 412 });
}
