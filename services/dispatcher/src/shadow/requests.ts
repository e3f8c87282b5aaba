/** What devices ask for in the form of AWS IoT, and how they are refused. */
import { payloadCodecs } from "@myelin/contract";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { ShadowChange } from "./document.js";
import { seconds } from "./documents.js";
import { checkState, isObject, type JsonObject, SHADOW_LIMITS } from "./json.js";

/** A request, checked. */
export interface ShadowRequest {
  readonly change: ShadowChange;
  /** The state as it was asked for. */
  readonly state: JsonObject;
  readonly clientToken: string | undefined;
}

/** The payload cannot be answered with more than this. */
const MAX_TOKEN_BYTES = 64;
/** Deeper than any state, so that most of what is too deep can be told by its path. */
const MAX_JSON_DEPTH = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What a payload says; an empty one is an empty request. @throws AppError `shadow.invalid`, `shadow.too_large`, `protocol.unsupported` */
export function parseRequest(payload: Buffer): Readonly<Record<string, unknown>> {
  if (payload.length === 0) return {};
  if (payload.length > SHADOW_LIMITS.bytes)
    throw new AppError(
      "shadow.too_large",
      `the request has ${payload.length} bytes; ${SHADOW_LIMITS.bytes} are taken`,
    );
  try {
    utf8.decode(payload);
  } catch (cause) {
    throw new AppError("protocol.unsupported", "the encoding is not UTF-8, which is the one that is taken", {
      cause,
    });
  }
  let value: unknown;
  try {
    value = payloadCodecs.json.decode(payload, { maxDepth: MAX_JSON_DEPTH });
  } catch (cause) {
    throw new AppError("shadow.invalid", `the request is no JSON of at most ${MAX_JSON_DEPTH} levels`, {
      cause,
      details: { path: "", rule: "JSON" },
    });
  }
  if (!isObject(value)) throw invalid("the request", "must be an object");
  return value;
}

/** @throws AppError `shadow.invalid` */
export function clientTokenOf({ clientToken }: Readonly<Record<string, unknown>>): string | undefined {
  if (clientToken === undefined) return undefined;
  if (typeof clientToken === "string" && Buffer.byteLength(clientToken) <= MAX_TOKEN_BYTES)
    return clientToken;
  throw invalid("clientToken", `must be text of at most ${MAX_TOKEN_BYTES} bytes`);
}

/** @throws AppError `shadow.invalid` */
export function versionOf({ version }: Readonly<Record<string, unknown>>): number | undefined {
  if (version === undefined || version === null) return undefined;
  if (typeof version === "number" && Number.isSafeInteger(version) && version >= 0) return version;
  throw invalid("version", "must be a whole number from 0");
}

/** What an update asks for. @throws AppError `shadow.invalid` with path and rule */
export function parseUpdate(request: Readonly<Record<string, unknown>>): ShadowRequest {
  const { state } = request;
  if (state === undefined) throw invalid("state", "is missing");
  if (!isObject(state)) throw invalid("state", "must be an object");
  for (const key of Object.keys(state))
    if (key !== "desired" && key !== "reported")
      throw invalid(`state.${key}`, "is neither desired nor reported");
  const { desired, reported } = state;
  if (desired !== undefined && desired !== null) checkState(desired, "state.desired");
  if (reported !== undefined && reported !== null) checkState(reported, "state.reported");
  const asked = state as JsonObject;
  return {
    change: {
      desired: desired as JsonObject | null | undefined,
      reported: reported as JsonObject | null | undefined,
      version: versionOf(request),
    },
    state: asked,
    clientToken: clientTokenOf(request),
  };
}

const AWS_CODES: Partial<Record<ErrorCode, number>> = {
  "shadow.invalid": 400,
  "auth.bad_credentials": 401,
  "auth.not_authorized": 403,
  "shadow.unknown": 404,
  "shadow.version_conflict": 409,
  "shadow.too_large": 413,
  "protocol.unsupported": 415,
  "limit.rate": 429,
};

/** What a device that is refused is told. */
export function refusal(error: AppError, clientToken: string | undefined, nowUs: number): object {
  return {
    code: AWS_CODES[error.code] ?? 500,
    message:
      AWS_CODES[error.code] === undefined ? "the shadow cannot be stored at the moment" : error.message,
    timestamp: seconds(nowUs),
    ...(clientToken !== undefined && { clientToken }),
  };
}

function invalid(path: string, rule: string): AppError {
  return new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
}
