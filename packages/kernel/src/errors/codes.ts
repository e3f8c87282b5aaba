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

/** What the catalogue knows about one code; `meaning` is the line of the reference page. */
export interface ErrorEntry {
  readonly family: ErrorFamily;
  readonly retryable: boolean;
  readonly http: number;
  readonly grpc: GrpcStatus;
  readonly meaning: string;
}

/**
 * Every code there is. A code is `area.problem`, is never renamed and never used for something else:
 * one that is no longer thrown moves to `RETIRED`.
 */
export const ERROR_CODES = {
  // Defects of this program: logged with their stack, counted, alarmed.
  "internal.unexpected": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "INTERNAL",
    meaning: "An error that no code foresaw.",
  },
  "internal.unreachable": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "INTERNAL",
    meaning: "A place that the types rule out was reached.",
  },
  "internal.invalid_argument": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "INTERNAL",
    meaning: "A function of this program was called with an argument outside its stated range.",
  },
  "internal.worker_died": {
    family: "ours",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "A worker process or thread ended without being asked to.",
  },

  // Waiting and giving up.
  "operation.timeout": {
    family: "world",
    retryable: true,
    http: 504,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "An operation did not end within its deadline.",
  },
  "operation.aborted": {
    family: "caller",
    retryable: false,
    http: 499,
    grpc: "CANCELLED",
    meaning: "Whoever asked for the operation called it off.",
  },
  "operation.circuit_open": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The target failed repeatedly and is left alone for a while.",
  },
  "queue.full": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "A bounded queue has no room for another item.",
  },
  "queue.item_too_large": {
    family: "caller",
    retryable: false,
    http: 413,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "One item is larger than the whole queue may hold.",
  },
  "queue.closed": {
    family: "world",
    retryable: false,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The queue was closed while the caller waited on it.",
  },

  // Errors that other processes report.
  "remote.unknown": {
    family: "world",
    retryable: false,
    http: 502,
    grpc: "UNKNOWN",
    meaning: "The other side reported a code that this version does not know; details hold the original.",
  },

  // Configuration and resources.
  "config.invalid": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "The static configuration has unknown keys or bad values; details list every problem.",
  },
  "config.unreadable": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "A configuration file is missing, unreadable or not YAML.",
  },
  "config.secret_unavailable": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "FAILED_PRECONDITION",
    meaning: "A secret reference points at a file or variable that is not there.",
  },
  "config.unknown_kind": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "A plugin or resource kind is not in its registry; the message lists the known ones.",
  },
  "config.invalid_resource": {
    family: "caller",
    retryable: false,
    http: 422,
    grpc: "INVALID_ARGUMENT",
    meaning: "A resource does not fit its schema; details list path, value and rule.",
  },

  // NATS.
  "bus.disconnected": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "There is no connection to NATS at the moment.",
  },
  "bus.timeout": {
    family: "world",
    retryable: true,
    http: 504,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "NATS or a responder behind it did not answer in time.",
  },
  "bus.no_responders": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "Nobody listens on the subject of a request.",
  },
  "bus.stream_full": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "The stream has reached its limit and refuses new messages; nothing stored is discarded.",
  },
  "bus.stream_unavailable": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The stream does not exist or has no leader.",
  },
  "bus.too_large": {
    family: "caller",
    retryable: false,
    http: 413,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "A message is larger than NATS accepts.",
  },
  "bus.conflict": {
    family: "world",
    retryable: true,
    http: 409,
    grpc: "ABORTED",
    meaning: "Another writer changed the value first.",
  },
  "bus.stale_epoch": {
    family: "world",
    retryable: false,
    http: 409,
    grpc: "FAILED_PRECONDITION",
    meaning: "The sender no longer owns the partition: a newer epoch is in charge.",
  },
  "bus.refused": {
    family: "world",
    retryable: false,
    http: 502,
    grpc: "FAILED_PRECONDITION",
    meaning: "NATS refused an operation for a reason that waiting does not mend.",
  },

  // The wire.
  "contract.bad_frame": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "Bytes are not a frame: wrong magic, impossible length, broken message inside.",
  },
  "contract.frame_too_large": {
    family: "caller",
    retryable: false,
    http: 413,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "A frame announces more bytes than the reader accepts.",
  },
  "contract.bad_envelope": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "Bytes are not an envelope or a batch.",
  },
  "contract.bad_payload": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "A payload does not fit its content type.",
  },
  "contract.unsupported_version": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "UNIMPLEMENTED",
    meaning: "The sender speaks a protocol or schema version that this side does not.",
  },
  "contract.bad_token": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "A name cannot become part of a subject, a path or a topic.",
  },

  // Admission and the listener.
  "auth.bad_credentials": {
    family: "caller",
    retryable: false,
    http: 401,
    grpc: "UNAUTHENTICATED",
    meaning: "User, password, token or certificate is not accepted.",
  },
  "auth.not_authorized": {
    family: "caller",
    retryable: false,
    http: 403,
    grpc: "PERMISSION_DENIED",
    meaning: "The sender is known but may not do this.",
  },
  "limit.rate": {
    family: "caller",
    retryable: true,
    http: 429,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "The sender is faster than its rate limit.",
  },
  "limit.connections": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "The listener holds as many connections as it may.",
  },
  "limit.frame_too_large": {
    family: "caller",
    retryable: false,
    http: 413,
    grpc: "RESOURCE_EXHAUSTED",
    meaning: "A request, packet or frame exceeds the size limit of its port.",
  },
  "limit.slow_client": {
    family: "caller",
    retryable: true,
    http: 408,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "The client sends or reads more slowly than the port allows.",
  },
  "protocol.violation": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "The client broke a rule of the protocol it speaks.",
  },
  "protocol.malformed": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "The client sent bytes that its protocol cannot contain.",
  },
  "protocol.unsupported": {
    family: "caller",
    retryable: false,
    http: 501,
    grpc: "UNIMPLEMENTED",
    meaning: "The client asked for a part of the protocol that is not offered.",
  },
  "protocol.timeout": {
    family: "caller",
    retryable: true,
    http: 408,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "The client missed its heartbeat, its first packet or its idle time.",
  },

  // Routing and targets.
  "route.not_found": {
    family: "caller",
    retryable: false,
    http: 404,
    grpc: "NOT_FOUND",
    meaning: "No route matches the message.",
  },
  "route.invalid": {
    family: "caller",
    retryable: false,
    http: 422,
    grpc: "INVALID_ARGUMENT",
    meaning: "A route cannot be compiled.",
  },
  "target.unavailable": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The target of a route cannot take messages at the moment.",
  },
  "device.not_connected": {
    family: "world",
    retryable: true,
    http: 409,
    grpc: "FAILED_PRECONDITION",
    meaning: "No listener holds a connection of the device.",
  },
  "device.not_subscribed": {
    family: "world",
    retryable: true,
    http: 409,
    grpc: "FAILED_PRECONDITION",
    meaning: "The device is connected but has not subscribed to the path of the message.",
  },
  "device.refused": {
    family: "caller",
    retryable: false,
    http: 422,
    grpc: "FAILED_PRECONDITION",
    meaning: "The device answered that it does not take the message.",
  },
  "partition.not_owned": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The partition has no owner at the moment, or this process is not it.",
  },

  // Application services.
  "app.unknown": {
    family: "caller",
    retryable: false,
    http: 404,
    grpc: "NOT_FOUND",
    meaning: "No application service of that name is known.",
  },
  "app.unhealthy": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The application service failed its health checks and gets no work.",
  },
  "app.timeout": {
    family: "world",
    retryable: true,
    http: 504,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "The application service did not answer in time.",
  },
  "app.duplicate_instance": {
    family: "caller",
    retryable: false,
    http: 409,
    grpc: "ALREADY_EXISTS",
    meaning: "An instance with the same name and id is connected already.",
  },
  "app.protocol": {
    family: "caller",
    retryable: false,
    http: 400,
    grpc: "INVALID_ARGUMENT",
    meaning: "The application broke the order of the app stream, for example work before hello.",
  },
  "app.handler_failed": {
    family: "caller",
    retryable: true,
    http: 500,
    grpc: "INTERNAL",
    meaning: "A message handler of the application threw or rejected.",
  },
  "request.timeout": {
    family: "world",
    retryable: true,
    http: 504,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "A request got no answer within its time.",
  },
  "request.no_responder": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "Nobody is there who could answer the request.",
  },

  // Connections between processes.
  "rpc.unavailable": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "The other side of a gRPC or socket connection cannot be reached or went away.",
  },
  "rpc.refused": {
    family: "caller",
    retryable: false,
    http: 502,
    grpc: "FAILED_PRECONDITION",
    meaning: "The other side of a gRPC or socket connection refused the stream.",
  },

  // Stores.
  "store.unavailable": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "A store cannot be reached.",
  },
  "store.conflict": {
    family: "world",
    retryable: true,
    http: 409,
    grpc: "ABORTED",
    meaning: "A stored value changed between reading and writing.",
  },
  "store.write_failed": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "A store or file did not take a write, for example because the disk is full.",
  },
  "store.corrupt": {
    family: "world",
    retryable: false,
    http: 500,
    grpc: "DATA_LOSS",
    meaning: "Stored data cannot be read back.",
  },

  // Start and stop.
  "lifecycle.start_failed": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "UNAVAILABLE",
    meaning: "A component could not start.",
  },
  "lifecycle.start_timeout": {
    family: "world",
    retryable: true,
    http: 503,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "A component was not usable within its start deadline.",
  },
  "lifecycle.stop_timeout": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "DEADLINE_EXCEEDED",
    meaning: "A component did not stop within its deadline and was left behind.",
  },
  "lifecycle.stop_failed": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "INTERNAL",
    meaning: "A component threw while it stopped.",
  },
  "lifecycle.bad_state": {
    family: "ours",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "A component was asked for something that its state does not allow.",
  },

  // The machine the program is started on.
  "setup.port_in_use": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "Another program listens on the port already.",
  },
  "setup.port_forbidden": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "PERMISSION_DENIED",
    meaning: "The system does not let this user listen on the port or the address.",
  },
  "setup.read_only": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "A folder that must be written is read-only or belongs to someone else.",
  },
  "setup.missing_tool": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "A program that this step needs is not installed or too old.",
  },
  "setup.process_failed": {
    family: "world",
    retryable: true,
    http: 500,
    grpc: "UNAVAILABLE",
    meaning: "A process of the box ended or was not ready in time.",
  },
  "setup.already_running": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "Another box uses this data directory.",
  },
  "setup.not_running": {
    family: "caller",
    retryable: false,
    http: 500,
    grpc: "FAILED_PRECONDITION",
    meaning: "No box answers at this data directory.",
  },
} as const satisfies Record<string, ErrorEntry>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Codes that were in a release and must never come back with another meaning. */
export const RETIRED: readonly string[] = [];

/** True for a string that is a code of this version's catalogue; inherited names such as `toString` are not. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}
