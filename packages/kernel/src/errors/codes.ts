/** The catalogue of error codes: the only place where a code is written as a literal. */

/** Who has to act: the caller fixes the request, the world is waited for, ours is a defect of this program. */
export type ErrorFamily = "caller" | "world" | "ours";

/** The names of the gRPC status codes, as the gRPC specification spells them. */
export type GrpcStatus =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** What the catalogue knows about one code; what it means stands in meanings.table.ts. */
export interface ErrorEntry {
  readonly family: ErrorFamily;
  readonly retryable: boolean;
  readonly http: number;
  readonly grpc: GrpcStatus;
}

/**
 * Every code there is. A code is `area.problem`, is never renamed and never used for something else:
 * one that is no longer thrown moves to `RETIRED`.
 */
export const ERROR_CODES = {
  // Defects of this program: logged with their stack, counted, alarmed.
  "internal.unexpected": { family: "ours", retryable: false, http: 500, grpc: "INTERNAL" },
  "internal.unreachable": { family: "ours", retryable: false, http: 500, grpc: "INTERNAL" },
  "internal.invalid_argument": { family: "ours", retryable: false, http: 500, grpc: "INTERNAL" },
  "internal.worker_died": { family: "ours", retryable: true, http: 503, grpc: "UNAVAILABLE" },

  // Waiting and giving up.
  "operation.timeout": { family: "world", retryable: true, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "operation.aborted": { family: "caller", retryable: false, http: 499, grpc: "CANCELLED" },
  "operation.circuit_open": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "queue.full": { family: "world", retryable: true, http: 503, grpc: "RESOURCE_EXHAUSTED" },
  "queue.item_too_large": { family: "caller", retryable: false, http: 413, grpc: "RESOURCE_EXHAUSTED" },
  "queue.closed": { family: "world", retryable: false, http: 503, grpc: "UNAVAILABLE" },

  // Errors that other processes report.
  "remote.unknown": { family: "world", retryable: false, http: 502, grpc: "UNKNOWN" },

  // Configuration and resources.
  "config.invalid": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "config.unreadable": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "config.store_too_small": { family: "caller", retryable: false, http: 400, grpc: "FAILED_PRECONDITION" },
  "config.secret_unavailable": { family: "caller", retryable: false, http: 400, grpc: "FAILED_PRECONDITION" },
  "config.unknown_kind": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "config.invalid_resource": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "resource.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },

  // NATS.
  "bus.disconnected": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "bus.timeout": { family: "world", retryable: true, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "bus.no_responders": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "bus.stream_full": { family: "world", retryable: true, http: 503, grpc: "RESOURCE_EXHAUSTED" },
  "bus.stream_unavailable": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "bus.too_large": { family: "caller", retryable: false, http: 413, grpc: "RESOURCE_EXHAUSTED" },
  "bus.conflict": { family: "world", retryable: true, http: 409, grpc: "ABORTED" },
  "bus.stale_epoch": { family: "world", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "bus.refused": { family: "world", retryable: false, http: 502, grpc: "FAILED_PRECONDITION" },

  // The wire.
  "contract.bad_frame": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "contract.frame_too_large": { family: "caller", retryable: false, http: 413, grpc: "RESOURCE_EXHAUSTED" },
  "contract.bad_envelope": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "contract.bad_payload": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "contract.unsupported_version": { family: "caller", retryable: false, http: 400, grpc: "UNIMPLEMENTED" },
  "contract.bad_token": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },

  // Admission and the listener.
  "auth.bad_credentials": { family: "caller", retryable: false, http: 401, grpc: "UNAUTHENTICATED" },
  "auth.not_authorized": { family: "caller", retryable: false, http: 403, grpc: "PERMISSION_DENIED" },
  "limit.rate": { family: "caller", retryable: true, http: 429, grpc: "RESOURCE_EXHAUSTED" },
  "limit.connections": { family: "world", retryable: true, http: 503, grpc: "RESOURCE_EXHAUSTED" },
  "limit.sessions": { family: "world", retryable: true, http: 503, grpc: "RESOURCE_EXHAUSTED" },
  "limit.filters": { family: "caller", retryable: false, http: 409, grpc: "RESOURCE_EXHAUSTED" },
  "session.lost": { family: "world", retryable: true, http: 409, grpc: "ABORTED" },
  "limit.apps": { family: "world", retryable: true, http: 503, grpc: "RESOURCE_EXHAUSTED" },
  "limit.frame_too_large": { family: "caller", retryable: false, http: 413, grpc: "RESOURCE_EXHAUSTED" },
  "limit.slow_client": { family: "caller", retryable: true, http: 408, grpc: "DEADLINE_EXCEEDED" },
  "protocol.violation": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "protocol.malformed": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "protocol.unsupported": { family: "caller", retryable: false, http: 501, grpc: "UNIMPLEMENTED" },
  "protocol.timeout": { family: "caller", retryable: true, http: 408, grpc: "DEADLINE_EXCEEDED" },

  // Routing and targets.
  "route.not_found": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "route.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "expression.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "expression.failed": { family: "caller", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },
  "alarm.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "alarm.over": { family: "caller", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "action.failed": { family: "world", retryable: true, http: 502, grpc: "UNAVAILABLE" },
  "action.refused": { family: "caller", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },
  "rule.elsewhere": { family: "caller", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "rule.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "target.unavailable": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "device.not_connected": { family: "world", retryable: true, http: 409, grpc: "FAILED_PRECONDITION" },
  "device.connected": { family: "caller", retryable: true, http: 409, grpc: "FAILED_PRECONDITION" },
  "device.left": { family: "world", retryable: true, http: 409, grpc: "FAILED_PRECONDITION" },
  "device.not_subscribed": { family: "world", retryable: true, http: 409, grpc: "FAILED_PRECONDITION" },
  "device.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "device.exists": { family: "caller", retryable: false, http: 409, grpc: "ALREADY_EXISTS" },
  "device.version_conflict": { family: "caller", retryable: false, http: 412, grpc: "FAILED_PRECONDITION" },
  "device.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "device.unreadable": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "device.refused": { family: "caller", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },
  "command.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "command.unsupported": { family: "caller", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },
  "command.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "command.denied": { family: "caller", retryable: false, http: 403, grpc: "PERMISSION_DENIED" },
  "command.under_way": { family: "caller", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "command.key_reused": { family: "caller", retryable: false, http: 422, grpc: "ALREADY_EXISTS" },
  "flow.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "flow.invalid": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "flow.key_reused": { family: "caller", retryable: false, http: 422, grpc: "ALREADY_EXISTS" },
  "flow.ended": { family: "caller", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "flow.cancelled": { family: "caller", retryable: false, http: 409, grpc: "CANCELLED" },
  "flow.timeout": { family: "world", retryable: false, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "flow.outcome_unknown": { family: "world", retryable: false, http: 502, grpc: "UNKNOWN" },
  "flow.step_failed": { family: "world", retryable: true, http: 502, grpc: "FAILED_PRECONDITION" },
  "shadow.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "shadow.invalid": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "shadow.too_large": { family: "caller", retryable: false, http: 413, grpc: "RESOURCE_EXHAUSTED" },
  "shadow.version_conflict": { family: "caller", retryable: false, http: 409, grpc: "ABORTED" },
  "partition.not_owned": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },

  // Application services.
  "app.unknown": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },
  "app.unhealthy": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "app.timeout": { family: "world", retryable: true, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "app.running": { family: "caller", retryable: false, http: 409, grpc: "FAILED_PRECONDITION" },
  "app.duplicate_instance": { family: "caller", retryable: false, http: 409, grpc: "ALREADY_EXISTS" },
  "app.protocol": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "app.handler_failed": { family: "caller", retryable: true, http: 500, grpc: "INTERNAL" },
  "request.timeout": { family: "world", retryable: true, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "request.key_reused": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "request.no_responder": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },

  // Connections between processes.
  "rpc.unavailable": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "rpc.refused": { family: "caller", retryable: false, http: 502, grpc: "FAILED_PRECONDITION" },

  // Hardware.
  "hardware.bad_address": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "hardware.unfit": { family: "caller", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },
  "hardware.line_down": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "hardware.no_reply": { family: "world", retryable: true, http: 504, grpc: "DEADLINE_EXCEEDED" },
  "hardware.bad_reply": { family: "world", retryable: true, http: 502, grpc: "DATA_LOSS" },
  "hardware.refused": { family: "world", retryable: false, http: 422, grpc: "FAILED_PRECONDITION" },

  // Stores.
  "store.unavailable": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "store.conflict": { family: "world", retryable: true, http: 409, grpc: "ABORTED" },
  "store.write_failed": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "store.corrupt": { family: "world", retryable: false, http: 500, grpc: "DATA_LOSS" },
  "store.full": { family: "world", retryable: true, http: 507, grpc: "RESOURCE_EXHAUSTED" },
  "history.bad_query": { family: "caller", retryable: false, http: 400, grpc: "INVALID_ARGUMENT" },
  "history.too_many_series": { family: "caller", retryable: false, http: 422, grpc: "INVALID_ARGUMENT" },
  "history.too_large": { family: "caller", retryable: false, http: 413, grpc: "OUT_OF_RANGE" },
  "history.no_sink": { family: "caller", retryable: false, http: 404, grpc: "NOT_FOUND" },

  // Start and stop.
  "lifecycle.start_failed": { family: "world", retryable: true, http: 503, grpc: "UNAVAILABLE" },
  "lifecycle.start_timeout": { family: "world", retryable: true, http: 503, grpc: "DEADLINE_EXCEEDED" },
  "lifecycle.stop_timeout": { family: "ours", retryable: false, http: 500, grpc: "DEADLINE_EXCEEDED" },
  "lifecycle.stop_failed": { family: "ours", retryable: false, http: 500, grpc: "INTERNAL" },
  "lifecycle.bad_state": { family: "ours", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },

  // The machine the program is started on.
  "setup.port_in_use": { family: "caller", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },
  "setup.port_forbidden": { family: "caller", retryable: false, http: 500, grpc: "PERMISSION_DENIED" },
  "setup.read_only": { family: "caller", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },
  "setup.disk_hangs": { family: "world", retryable: true, http: 500, grpc: "UNAVAILABLE" },
  "setup.missing_tool": { family: "caller", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },
  "setup.process_failed": { family: "world", retryable: true, http: 500, grpc: "UNAVAILABLE" },
  "setup.already_running": { family: "caller", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },
  "setup.not_running": { family: "caller", retryable: false, http: 500, grpc: "FAILED_PRECONDITION" },
} as const satisfies Record<string, ErrorEntry>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Codes that were in a release and must never come back with another meaning. */
export const RETIRED: readonly string[] = [];

/** True for a string that is a code of this version's catalogue; inherited names such as `toString` are not. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}
