/** What the headers of a request say about its readings. */
import type { IncomingHttpHeaders } from "node:http";
import { parseDurationMs } from "@myelin/config";
import type { EnvelopeExtras } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { tryParseTraceparent } from "@myelin/observability";
import { expiryUs } from "../../core/expiry.js";

const HEADER_PREFIX = "x-myelin-header-";
const MAX_KEY_LENGTH = 256;

/** The headers' part of the envelope, and the sender's key, from which each reading's id is derived. */
export interface RequestExtras {
  readonly extras: EnvelopeExtras | undefined;
  readonly idempotencyKey: string | undefined;
}

const NONE: RequestExtras = { extras: undefined, idempotencyKey: undefined };

/** @throws AppError `protocol.malformed` for a header that cannot be read; a bad `traceparent` is ignored, as its standard asks */
export function requestExtras(headers: IncomingHttpHeaders, clock: Clock): RequestExtras {
  let some = false;
  let user: { name: string; value: string }[] | undefined;
  for (const name in headers) {
    if (name === "traceparent" || name === "idempotency-key") some = true;
    else if (name.startsWith("x-myelin-")) {
      some = true;
      if (name.startsWith(HEADER_PREFIX)) {
        user ??= [];
        user.push({ name: name.slice(HEADER_PREFIX.length), value: String(headers[name]) });
      }
    }
  }
  if (!some) return NONE;
  const { traceparent, tracestate } = headers;
  const traced = typeof traceparent === "string" && tryParseTraceparent(traceparent) !== undefined;
  const key = headers["idempotency-key"];
  if (key !== undefined && (key === "" || key.length > MAX_KEY_LENGTH)) {
    throw new AppError("protocol.malformed", `Idempotency-Key takes 1 to ${MAX_KEY_LENGTH} characters`);
  }
  const sourceTimeUs = sourceTimeOf(text(headers["x-myelin-source-time"]));
  const ttlMs = ttlOf(text(headers["x-myelin-ttl"]));
  const extras: EnvelopeExtras = {
    headers: user,
    sourceTimeUs,
    expiresAtUs: ttlMs === undefined ? undefined : expiryUs(sourceTimeUs ?? clock.wallUs(), ttlMs),
    traceparent: traced ? traceparent : undefined,
    tracestate: traced ? text(tracestate) : undefined,
  };
  return { extras, idempotencyKey: text(key) };
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

/** RFC 3339, or microseconds since the Unix epoch. */
function sourceTimeOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const us = /^\d{1,16}$/.test(value) ? Number(value) : Date.parse(value) * 1000;
  if (Number.isSafeInteger(us) && us > 0) return us;
  throw new AppError(
    "protocol.malformed",
    "X-Myelin-Source-Time takes an RFC 3339 time or microseconds since 1970",
  );
}

function ttlOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,12}$/.test(value) ? Number(value) : parseDurationMs(value);
  if (ms !== undefined && Number.isFinite(ms) && ms > 0) return ms;
  throw new AppError("protocol.malformed", "X-Myelin-Ttl takes milliseconds or a duration such as 30s");
}
