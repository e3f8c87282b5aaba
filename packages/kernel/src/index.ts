export { assertNever } from "./assert-never.js";
export { AppError, type AppErrorOptions, type ErrorDetails, type WireError } from "./errors/app-error.js";
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorEntry,
  type ErrorFamily,
  type GrpcStatus,
  isErrorCode,
  RETIRED,
} from "./errors/codes.js";
export { listenError } from "./errors/listen-error.js";
export { type Backoff, type BackoffOptions, backoff } from "./flow/backoff.js";
export { BoundedQueue, type BoundedQueueOptions, type FullPolicy } from "./flow/bounded-queue.js";
export { CallTable, type CallTableOptions } from "./flow/call-table.js";
export { CircuitBreaker, type CircuitBreakerOptions, type CircuitState } from "./flow/circuit-breaker.js";
export { type RetryOptions, retry } from "./flow/retry.js";
export { Ring } from "./flow/ring.js";
export {
  fillBucket,
  TokenBucket,
  type TokenBucketLimit,
  type TokenBucketState,
  takeTokens,
  tokensReadyInMs,
} from "./flow/token-bucket.js";
export type {
  Component,
  ComponentCondition,
  ComponentState,
  ComponentStatus,
} from "./lifecycle/component.js";
export { ComponentHost, type ComponentHostOptions } from "./lifecycle/component-host.js";
export { type StartErrorPolicy, Supervised, type SupervisedOptions } from "./lifecycle/supervised.js";
export { sharesPorts, usefulWorkers } from "./shared-ports.js";
export { abortError, type Clock, systemClock, type Timer } from "./time/clock.js";
export { type Deadline, type DeadlineOptions, deadline, withDeadline } from "./time/deadline.js";
export { FakeClock } from "./time/fake-clock.js";
