/** Turns what the NATS client throws into an `AppError`, once, at this border. */

import { AppError, type ErrorCode } from "@myelin/kernel";
import { JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/nats-core";

/** Error numbers of the JetStream API (`server/errors.json` of nats-server); names as there. */
export const JS_ERROR = {
  clusterNotAvailable: 10008,
  clusterNotLeader: 10009,
  consumerNotFound: 10014,
  consumerNotUnique: 10100,
  insufficientResources: 10023,
  memoryResourcesExceeded: 10028,
  noMessageFound: 10037,
  storageResourcesExceeded: 10047,
  streamMessageExceedsMaximum: 10054,
  streamNotFound: 10059,
  streamStoreFailed: 10077,
  streamTooManyRequests: 10167,
  streamWrongLastSequence: 10071,
  streamNameInUse: 10058,
  streamWrongLastSequenceConstant: 10164,
} as const;

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [JS_ERROR.clusterNotAvailable, "bus.stream_unavailable"],
  [JS_ERROR.clusterNotLeader, "bus.stream_unavailable"],
  [JS_ERROR.consumerNotFound, "bus.stream_unavailable"],
  [JS_ERROR.streamNotFound, "bus.stream_unavailable"],
  [JS_ERROR.streamTooManyRequests, "bus.stream_unavailable"],
  [JS_ERROR.insufficientResources, "bus.stream_full"],
  [JS_ERROR.memoryResourcesExceeded, "bus.stream_full"],
  [JS_ERROR.storageResourcesExceeded, "bus.stream_full"],
  [JS_ERROR.streamStoreFailed, "bus.stream_full"],
  [JS_ERROR.streamMessageExceedsMaximum, "bus.too_large"],
  [JS_ERROR.streamWrongLastSequence, "bus.conflict"],
  [JS_ERROR.streamWrongLastSequenceConstant, "bus.conflict"],
]);

/** The error a JetStream API answer stands for; unknown ones of status 503 are worth another try, all others are not. */
export function jetStreamError(number: number, status: number, what: string, description: string): AppError {
  const code = CODES.get(number) ?? (status === 503 ? "bus.stream_unavailable" : "bus.refused");
  return new AppError(code, `${what}: ${description}`, { details: { number, status } });
}

/** Number of a JetStream API error, or 0 when it is none. */
export function jetStreamErrorNumber(thrown: unknown): number {
  return thrown instanceof JetStreamApiError ? thrown.code : 0;
}

/** Anything the client threw while it did `what`. An `AppError` stays as it is. */
export function busError(thrown: unknown, what: string): AppError {
  if (AppError.is(thrown)) return thrown;
  if (thrown instanceof JetStreamApiError) {
    const error = jetStreamError(thrown.code, thrown.status, what, thrown.message);
    return new AppError(error.code, error.message, { details: error.details, cause: thrown });
  }
  return AppError.wrap(codeOf(thrown), what, thrown);
}

function codeOf(thrown: unknown): ErrorCode {
  if (thrown instanceof errors.TimeoutError) return "bus.timeout";
  if (isNoResponders(thrown)) return "bus.no_responders";
  if (
    thrown instanceof errors.ClosedConnectionError ||
    thrown instanceof errors.DrainingConnectionError ||
    thrown instanceof errors.ConnectionError ||
    thrown instanceof errors.RequestError
  ) {
    return "bus.disconnected";
  }
  if (thrown instanceof errors.InvalidArgumentError || thrown instanceof errors.InvalidSubjectError) {
    return "internal.invalid_argument";
  }
  if (thrown instanceof Error && thrown.name.startsWith("JetStream")) return "bus.stream_unavailable";
  return thrown instanceof errors.PermissionViolationError || thrown instanceof errors.AuthorizationError
    ? "bus.refused"
    : "bus.disconnected";
}

/** True when nobody listened on the subject of a request. */
export function isNoResponders(thrown: unknown): boolean {
  return (
    thrown instanceof errors.NoRespondersError ||
    (thrown instanceof errors.RequestError && thrown.isNoResponders())
  );
}

/** True when an answer did not come in time. */
export function isTimeout(thrown: unknown): boolean {
  return thrown instanceof errors.TimeoutError;
}
