/** Entity tags of records and the conditions of requests on them (RFC 9110, 13). */

import type { IncomingHttpHeaders } from "node:http";
import type { DeviceRecord } from "@myelin/bus";
import { AppError } from "@myelin/kernel";

/** What a request asks of the record that is there. */
export interface Preconditions {
  /** The record must be one of these versions; `*`: any. */
  readonly match: "*" | readonly number[] | undefined;
  /** It must be none of these; `*`: there must be none. */
  readonly noneMatch: "*" | readonly number[] | undefined;
}

/** The strong entity tag of a version. */
export function etagOf({ version }: Pick<DeviceRecord, "version">): string {
  return `"${version}"`;
}

/** @throws AppError `protocol.malformed` */
export function preconditionsOf(headers: IncomingHttpHeaders): Preconditions {
  return {
    match: tagsOf("If-Match", headers["if-match"], true),
    noneMatch: tagsOf("If-None-Match", headers["if-none-match"], false),
  };
}

/** A tag and what stands between two of them; obsolete or foreign ones match no version. */
const TAG = /^\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)/;

/** @param strong weak tags match nothing, RFC 9110, 8.8.3.2 */
function tagsOf(name: string, text: string | undefined, strong: boolean): Preconditions["match"] {
  if (text === undefined) return undefined;
  if (text.trim() === "*") return "*";
  const versions: number[] = [];
  let rest = text;
  while (rest.trim() !== "") {
    const found = TAG.exec(rest);
    if (found === null) throw new AppError("protocol.malformed", `${name} is * or a list of entity tags`);
    const [all, weak, tag = ""] = found;
    const counts = /^\d{1,15}$/.test(tag) && !(strong && weak !== undefined);
    versions.push(counts ? Number(tag) : Number.NaN);
    rest = rest.slice(all.length);
  }
  return versions;
}

/** Is the version among those? */
export function isAmong(
  wanted: "*" | readonly number[],
  { version }: Pick<DeviceRecord, "version">,
): boolean {
  return wanted === "*" || wanted.includes(version);
}

/** A condition of the request does not hold. */
export function preconditionFailed(message: string): AppError {
  return Object.assign(new AppError("device.version_conflict", message), { statusCode: 412 });
}
