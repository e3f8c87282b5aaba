/** Deadlines as abort signals that leave no timer behind. */
import { AppError } from "../errors/app-error.js";
import type { ErrorCode } from "../errors/codes.js";
import { abortError, type Clock, systemClock } from "./clock.js";

/** `what` completes the sentence "… did not end within N ms"; `code` is `operation.timeout` unless given. */
export interface DeadlineOptions {
  readonly clock?: Clock;
  readonly code?: ErrorCode;
  readonly what?: string;
}

/** Use with `using`: leaving the block clears the timer and lets go of the parent signal. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * A signal that aborts after `ms` (with an AppError of the given code as its reason) or when `parent` does
 * (with the parent's reason); with `ms` infinite only the parent counts. Unlike `AbortSignal.any`, nothing stays attached to a long-lived parent.
 */
export function deadline(
  parent: AbortSignal | undefined,
  ms: number,
  options: DeadlineOptions = {},
): Deadline {
  const { clock = systemClock, code = "operation.timeout", what = "the operation" } = options;
  const controller = new AbortController();
  if (parent?.aborted) {
    controller.abort(parent.reason);
    return { signal: controller.signal, [Symbol.dispose]: () => undefined };
  }
  const dispose = (): void => {
    clock.clear(timer);
    parent?.removeEventListener("abort", onParentAbort);
  };
  const onParentAbort = (): void => {
    dispose();
    controller.abort((parent as AbortSignal).reason);
  };
  const onTimeout = (): void => {
    dispose();
    controller.abort(new AppError(code, `${what} did not end within ${ms} ms`));
  };
  const timer = ms === Number.POSITIVE_INFINITY ? undefined : clock.setTimeout(onTimeout, ms);
  parent?.addEventListener("abort", onParentAbort, { once: true });
  return { signal: controller.signal, [Symbol.dispose]: dispose };
}

/**
 * Runs `task` under a deadline and settles when it does, or at the deadline even if the task ignores its signal.
 * A task left behind that way may still fail later; that failure goes nowhere, because nobody waits for it.
 * @throws what the task throws, or an AppError of the given code at the deadline, or the parent's reason.
 */
export async function withDeadline<T>(
  parent: AbortSignal | undefined,
  ms: number,
  task: (signal: AbortSignal) => Promise<T>,
  options: DeadlineOptions = {},
): Promise<T> {
  using limit = deadline(parent, ms, options);
  if (limit.signal.aborted) throw abortError(limit.signal);
  return await new Promise<T>((resolve, reject) => {
    limit.signal.addEventListener("abort", () => reject(abortError(limit.signal)), { once: true });
    task(limit.signal).then(resolve, reject);
  });
}
