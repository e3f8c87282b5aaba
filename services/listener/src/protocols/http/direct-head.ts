/** The head of the one request that must be fast: a reading by POST, written as plainly as most clients write it. */
import type { LaneIndex } from "../../core/channel-table.js";

/** What a plain head says. Everything that is not in here was absent. */
export interface DirectHead {
  /** Request line to blank line; a copy. The same bytes mean the same again. */
  readonly bytes: Buffer;
  readonly deviceId: string;
  readonly path: string;
  readonly lane: LaneIndex;
  readonly host: string;
  /** Empty: not given. */
  readonly authorization: string;
  readonly contentType: string;
  readonly contentLength: number;
}

/** Longer ones are for the library, which bounds them. */
const MAX_HEAD_BYTES = 2048;
const END = "\r\n\r\n";
/** RFC 3986 unreserved characters and the few others that mean nothing anywhere: no escapes, so nothing to decode. */
const REQUEST_LINE =
  /^POST \/api\/v1\/devices\/([A-Za-z0-9\-._~:@]{1,256})\/messages\/([A-Za-z0-9\-._~:@/]+)(?:\?lane=(event|telemetry))? HTTP\/1\.1$/;
/** RFC 9110, 5.5, without obs-text and obs-fold: a value that has nothing around it to trim but the one usual space. */
const HEADER = /^([A-Za-z-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/;
const LENGTH = /^[1-9]\d{0,7}$/;
const TYPE = /^[a-z]+\/[a-z0-9.+-]+$/;
/** Headers that say nothing about a POST of a reading. */
const IGNORED = new Set(["user-agent", "accept", "accept-encoding", "accept-language", "cache-control"]);

/**
 * Reads the head that begins at `start`. Deliberately knows little: every byte that could be read in two ways (escapes, folded or
 * doubled headers, transfer codings, bare line feeds, headers with a meaning) makes it no plain head.
 * @returns undefined for what the HTTP library must look at, incomplete heads included
 */
export function tryParseDirectHead(chunk: Buffer, start: number): DirectHead | undefined {
  const end = chunk.indexOf(END, start, "latin1");
  if (end < 0 || end - start > MAX_HEAD_BYTES) return undefined;
  const lines = chunk.toString("latin1", start, end).split("\r\n");
  const request = REQUEST_LINE.exec(lines[0]!);
  if (request === null) return undefined;
  const headers = headersOf(lines);
  const length = headers?.get("content-length");
  const host = headers?.get("host");
  const contentType = headers?.get("content-type");
  if (headers === undefined || length === undefined || host === undefined || contentType === undefined) {
    return undefined;
  }
  if (!LENGTH.test(length) || !TYPE.test(contentType)) return undefined;
  const connection = headers.get("connection");
  if (connection !== undefined && connection.toLowerCase() !== "keep-alive") return undefined;
  return {
    bytes: Buffer.from(chunk.subarray(start, end + END.length)),
    deviceId: request[1]!,
    path: request[2]!,
    lane: request[3] === "telemetry" ? 0 : 1,
    host,
    authorization: headers.get("authorization") ?? "",
    contentType,
    contentLength: Number(length),
  };
}

/** Does the head that begins at `start` consist of the same bytes? */
export function isSameHead(head: DirectHead, chunk: Buffer, start: number): boolean {
  const { bytes } = head;
  const end = start + bytes.length;
  return end <= chunk.length && bytes.compare(chunk, start, end) === 0;
}

const KNOWN = new Set(["host", "authorization", "content-type", "content-length", "connection"]);

function headersOf(lines: readonly string[]): Map<string, string> | undefined {
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const match = HEADER.exec(lines[i]!);
    if (match === null) return undefined;
    const name = match[1]!.toLowerCase();
    if (IGNORED.has(name)) continue;
    if (!KNOWN.has(name) || headers.has(name)) return undefined;
    headers.set(name, match[2]!);
  }
  return headers;
}
