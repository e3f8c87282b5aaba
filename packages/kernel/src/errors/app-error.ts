/** The one error class of the platform, and its shape between processes. */
import { ERROR_CODES, type ErrorCode, type ErrorFamily, type GrpcStatus, isErrorCode } from "./codes.js";

// Registered globally, so that two copies of this package recognise each other's errors.
const BRAND: unique symbol = Symbol.for("myelin.AppError") as never;

/** Plain data that says more than the message: no class instances, no payloads, no secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** How an error crosses a process or worker border: never with a stack. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: ErrorDetails;
}

/** `retryable` overrides the catalogue; only an error that came from elsewhere needs that. */
export interface AppErrorOptions {
  readonly details?: ErrorDetails | undefined;
  readonly cause?: unknown;
  readonly retryable?: boolean | undefined;
}

/**
 * An error with a code. Decide by `code` or `family`, never by the message; recognise it with `AppError.is`.
 * The message says what was tried, on what, and what came. `details` are kept, not copied.
 */
export class AppError extends Error {
  readonly [BRAND] = true;
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly family: ErrorFamily;
  readonly retryable: boolean;
  readonly http: number;
  readonly grpc: GrpcStatus;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const entry = ERROR_CODES[code];
    this.code = code;
    this.details = options.details;
    this.family = entry.family;
    this.retryable = options.retryable ?? entry.retryable;
    this.http = entry.http;
    this.grpc = entry.grpc;
  }

  /** True for an `AppError` of any copy of this package, false for everything else, also for a cloned one. */
  static is(value: unknown): value is AppError {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
  }

  /**
   * For boundaries: what a vendor threw becomes an `AppError` with the original in `cause`.
   * An `AppError` is returned as it is, because wrapping happens once.
   */
  static wrap(code: ErrorCode, message: string, cause: unknown, details?: ErrorDetails): AppError {
    return AppError.is(cause) ? cause : new AppError(code, message, { cause, details });
  }

  /** Any thrown value as an `AppError`; what is not one already becomes `internal.unexpected`. */
  static from(thrown: unknown): AppError {
    if (AppError.is(thrown)) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new AppError("internal.unexpected", message, { cause: thrown });
  }

  /** What goes over NATS, gRPC, a socket or `postMessage`: neither stack nor cause. */
  toWire(): WireError {
    const wire = { code: this.code, message: this.message, retryable: this.retryable };
    return this.details === undefined ? wire : { ...wire, details: this.details };
  }

  /**
   * Rebuilds the error of another process; accepts anything, because the sender may be of another version or broken.
   * An unknown code becomes `remote.unknown` with the original in `details.code` and the sender's retry flag kept.
   */
  static fromWire(wire: unknown): AppError {
    const fields = typeof wire === "object" && wire !== null ? (wire as Partial<WireError>) : {};
    const code = typeof fields.code === "string" ? fields.code : "";
    const message = typeof fields.message === "string" ? fields.message : "the other side reported an error";
    const retryable = typeof fields.retryable === "boolean" ? fields.retryable : undefined;
    const details =
      typeof fields.details === "object" && fields.details !== null ? fields.details : undefined;
    if (isErrorCode(code)) return new AppError(code, message, { details, retryable });
    return new AppError("remote.unknown", message, { details: { ...details, code }, retryable });
  }
}
