/** Errors as RFC 9457 problem details, the same for every way an HTTP request can fail. */
import { STATUS_CODES } from "node:http";
import { AppError, type ErrorCode } from "@myelin/kernel";

export const PROBLEM_TYPE = "application/problem+json";

/** A problem with its status; `extensions` are further members of the body. */
export interface Problem {
  readonly status: number;
  /** Headers the status asks for. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const RETRY: Readonly<Record<string, string>> = { "retry-after": "5" };
/** RFC 9110, 11.6.1, RFC 7617. */
const CHALLENGE: Readonly<Record<string, string>> = {
  "www-authenticate": 'Basic realm="myelin", charset="UTF-8"',
};

/** Where HTTP has a better word for a code than the catalogue's status, which serves all interfaces. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  "device.not_connected": 404,
  "device.not_subscribed": 404,
  "bus.timeout": 503,
};

/** @param status overrides the one of the code: 404 for a path, 405, 415, 431 */
export function problemOf(
  error: AppError,
  status: number = STATUS[error.code] ?? error.http,
  extensions: Readonly<Record<string, unknown>> = {},
): Problem {
  // Defects stay between us and the log.
  const detail = error.family === "ours" ? "the request could not be handled" : error.message;
  const body = {
    type: `urn:myelin:error:${error.code}`,
    title: STATUS_CODES[status] ?? "Error",
    status,
    detail,
    code: error.code,
    ...extensions,
  };
  const headers = status === 503 || status === 429 ? RETRY : status === 401 ? CHALLENGE : {};
  return { status, headers, body: JSON.stringify(body) };
}

const FASTIFY: Readonly<Record<string, { readonly code: ErrorCode; readonly status: number }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: "limit.frame_too_large", status: 413 },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: "protocol.unsupported", status: 415 },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: "protocol.malformed", status: 400 },
  FST_ERR_BAD_URL: { code: "protocol.malformed", status: 400 },
  FST_ERR_MAX_PARAM_LENGTH: { code: "protocol.malformed", status: 414 },
};

/** What fastify or a handler has thrown. `status` is set where the framework knows better than the catalogue. */
export function errorOf(thrown: unknown): { readonly error: AppError; readonly status: number | undefined } {
  if (AppError.is(thrown)) return { error: thrown, status: undefined };
  const {
    code = "",
    message = "",
    statusCode = 0,
  } = (thrown ?? {}) as {
    code?: string;
    message?: string;
    statusCode?: number;
  };
  const known = Object.hasOwn(FASTIFY, code) ? FASTIFY[code] : undefined;
  if (known !== undefined) return { error: new AppError(known.code, message), status: known.status };
  if (statusCode >= 400 && statusCode < 500) {
    return { error: new AppError("protocol.malformed", message), status: statusCode };
  }
  return { error: AppError.from(thrown), status: undefined };
}
