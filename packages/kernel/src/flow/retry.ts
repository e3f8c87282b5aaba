/** Tries again while trying again can help. */
import { AppError } from "../errors/app-error.js";
import { abortError, type Clock, systemClock } from "../time/clock.js";
import { type BackoffOptions, backoff } from "./backoff.js";

/** `attempts` counts the first try too; leave it out to go on until the signal aborts. */
export interface RetryOptions {
  readonly backoff: BackoffOptions;
  readonly attempts?: number;
  readonly clock?: Clock;
  /** Decides whether an error is worth another try; by default its own retry flag. */
  readonly isRetryable?: (error: AppError) => boolean;
  /** Called before each wait, for state and counters; logging every try is the caller's mistake to avoid. */
  readonly onRetry?: (error: AppError, attempt: number, waitMs: number) => void;
}

/**
 * Calls `task` until it succeeds, the error says that another try is useless, or the tries are used up.
 * @throws AppError: the last error of the task, or the signal's reason.
 */
export async function retry<T>(
  task: (signal: AbortSignal, attempt: number) => Promise<T>,
  options: RetryOptions,
  signal: AbortSignal,
): Promise<T> {
  const {
    attempts = Number.POSITIVE_INFINITY,
    clock = systemClock,
    isRetryable = (e) => e.retryable,
  } = options;
  const waits = backoff(options.backoff);
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw abortError(signal);
    try {
      return await task(signal, attempt);
    } catch (thrown) {
      const error = AppError.from(thrown);
      if (attempt >= attempts || signal.aborted || !isRetryable(error)) throw error;
      const waitMs = waits.nextMs();
      options.onRetry?.(error, attempt, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}
