/** The only owner of time: every timer and every reading of a clock goes through a `Clock`. */
import { AppError } from "../errors/app-error.js";

/** A pending timer; `unref` lets the process end before it fires, `refresh` starts its time anew. */
export interface Timer {
  unref(): Timer;
  refresh(): Timer;
}

/** Time as components see it; `systemClock` in a process, `FakeClock` in tests. */
export interface Clock {
  /** Milliseconds that never go back and mean nothing across processes: for deadlines, ages and rates. */
  nowMs(): number;
  /** Unix time in milliseconds; may jump when the machine's clock is set. */
  wallMs(): number;
  /** Unix time in whole microseconds, a safe integer; what envelopes carry. */
  wallUs(): number;
  setTimeout(callback: () => void, ms: number): Timer;
  setInterval(callback: () => void, ms: number): Timer;
  /** Ends a timer of either sort; harmless when it has fired, was cleared, or is undefined. */
  clear(timer: Timer | undefined): void;
  /**
   * Resolves after `ms`.
   * @throws AppError `operation.aborted`, or the signal's own AppError, as soon as the signal aborts.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** An aborted signal's reason as an AppError: the one it carries, else `operation.aborted`. */
export function abortError(signal: AbortSignal): AppError {
  return AppError.wrap("operation.aborted", "the operation was called off", signal.reason);
}

/** A sleep on any clock's timers; leaves neither timer nor listener behind. */
export function sleepOn(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortError(signal));
      return;
    }
    const onAbort = (): void => {
      clock.clear(timer);
      reject(abortError(signal as AbortSignal));
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

// Node takes a longer delay for one millisecond.
const MAX_TIMER_MS = 2 ** 31 - 1;

// Beyond this the microsecond clock follows the machine's clock again: it was set, or the machine slept.
const MAX_WALL_DRIFT_MS = 2;

class SystemClock implements Clock {
  // Offset from monotonic to wall time; NaN makes the first reading take it.
  #offsetMs = Number.NaN;

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  wallUs(): number {
    const monotonicMs = performance.now();
    const wallMs = Date.now();
    if (!(Math.abs(this.#offsetMs + monotonicMs - wallMs) <= MAX_WALL_DRIFT_MS)) {
      this.#offsetMs = wallMs - monotonicMs;
    }
    return Math.round((this.#offsetMs + monotonicMs) * 1000);
  }

  setTimeout(callback: () => void, ms: number): Timer {
    return setTimeout(callback, Math.min(ms, MAX_TIMER_MS));
  }

  setInterval(callback: () => void, ms: number): Timer {
    return setInterval(callback, Math.min(ms, MAX_TIMER_MS));
  }

  clear(timer: Timer | undefined): void {
    // clearTimeout ends intervals too: both are one class in Node.
    clearTimeout(timer as NodeJS.Timeout | undefined);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }
}

/** The machine's clocks and Node's timers. */
export const systemClock: Clock = new SystemClock();
