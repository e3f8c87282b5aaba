/** Waiting for a condition instead of for a time. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";

/** `what` completes "waited in vain for …"; `signal` ends the wait early with its reason. */
export interface WaitOptions {
  readonly what: string;
  readonly deadlineMs?: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** What a condition may answer for "not yet". */
export type NotYet = false | null | undefined;

/**
 * Asks `condition` every 20 ms until it answers with something other than false, null or undefined, and returns that.
 * A condition that throws counts as "not yet"; its last error is the cause of the rejection.
 * @throws AppError `operation.timeout` after 5 s (unless told otherwise), naming what was waited for.
 */
export async function waitFor<T>(
  condition: () => T | NotYet | Promise<T | NotYet>,
  options: WaitOptions,
): Promise<T> {
  const { what, deadlineMs = 5_000, everyMs = 20, signal } = options;
  const end = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const answer = await before(end, condition());
      if (answer !== false && answer !== null && answer !== undefined) return answer as T;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() + everyMs >= end) {
      throw new AppError("operation.timeout", `waited in vain for ${what}, ${deadlineMs} ms`, { cause });
    }
    await delay(everyMs, undefined, signal === undefined ? {} : { signal });
  }
}

async function before<T>(end: number, answer: T | Promise<T>): Promise<T | undefined> {
  if (!(answer instanceof Promise)) return answer;
  const timer = new AbortController();
  // The loser of the race may reject later; nobody listens then, and that is fine: the wait has been answered.
  answer.catch(() => undefined);
  const late = delay(Math.max(0, end - performance.now()), undefined, { signal: timer.signal }).catch(
    () => undefined,
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    timer.abort();
  }
}
