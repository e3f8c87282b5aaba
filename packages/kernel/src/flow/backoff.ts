/** How long to wait before trying again. */

/** The nth wait is drawn from 0 … min(maxMs, initialMs × factorⁿ) with `full` jitter; `none` takes the upper end. */
export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor?: number;
  readonly jitter?: "full" | "none";
  /** Numbers in [0, 1); given by tests. */
  readonly random?: () => number;
}

/** An endless series of waits; `reset` after a success, so the next trouble starts small again. */
export interface Backoff extends IterableIterator<number, never> {
  /** The next wait in milliseconds. */
  nextMs(): number;
  reset(): void;
}

/** Full jitter spreads many clients that lost the same server at the same moment (Brooker, AWS, 2015). */
export function backoff(options: BackoffOptions): Backoff {
  const { initialMs, maxMs, factor = 2, jitter = "full", random = Math.random } = options;
  let ceilingMs = Math.min(initialMs, maxMs);
  const nextMs = (): number => {
    const waitMs = jitter === "full" ? random() * ceilingMs : ceilingMs;
    ceilingMs = Math.min(maxMs, ceilingMs * factor);
    return waitMs;
  };
  return {
    nextMs,
    reset() {
      ceilingMs = Math.min(initialMs, maxMs);
    },
    next: () => ({ done: false, value: nextMs() }),
    [Symbol.iterator]() {
      return this;
    },
  };
}
