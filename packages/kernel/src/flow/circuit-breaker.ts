/** Leaves a target alone that keeps failing, and finds out cheaply when it is well again. */
import { AppError } from "../errors/app-error.js";
import { type Clock, systemClock } from "../time/clock.js";
import { type BackoffOptions, backoff } from "./backoff.js";

// Own code instead of cockatiel: that library reads Date.now and sets its own timers, so its breaker cannot run on our
// clock; what is needed here is one small state machine without a timer.

/** `half_open` lets one call through to see whether the target is back. */
export type CircuitState = "closed" | "open" | "half_open";

/** Opens after `failures` in a row; each failed trial lengthens the next pause by the back-off. */
export interface CircuitBreakerOptions {
  readonly name: string;
  readonly failures: number;
  readonly pause: BackoffOptions;
  readonly clock?: Clock;
  readonly onStateChange?: (state: CircuitState) => void;
}

/** Counts only failures that blame the target: an error of the `caller` family leaves the circuit as it is. */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  readonly #clock: Clock;
  readonly #pauses: ReturnType<typeof backoff>;
  #state: CircuitState = "closed";
  #failuresInARow = 0;
  #openUntilMs = 0;
  #trialUnderWay = false;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pauses = backoff(options.pause);
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** True when a call may be made now. In half-open state the one trial goes to the first who asks. */
  tryAcquire(): boolean {
    if (this.#state === "closed") return true;
    if (this.#state === "open") {
      if (this.#clock.nowMs() < this.#openUntilMs) return false;
      this.#enter("half_open");
      this.#trialUnderWay = false;
    }
    if (this.#trialUnderWay) return false;
    this.#trialUnderWay = true;
    return true;
  }

  /** Tells that a call allowed by `tryAcquire` went well. */
  succeeded(): void {
    this.#failuresInARow = 0;
    this.#trialUnderWay = false;
    if (this.#state === "closed") return;
    this.#pauses.reset();
    this.#enter("closed");
  }

  /** Tells that a call allowed by `tryAcquire` failed and the target is to blame. */
  failed(): void {
    this.#failuresInARow++;
    this.#trialUnderWay = false;
    if (this.#state === "closed" && this.#failuresInARow < this.#options.failures) return;
    if (this.#state === "open") return;
    this.#openUntilMs = this.#clock.nowMs() + this.#pauses.nextMs();
    this.#enter("open");
  }

  /** Gives back a permission without judging the target, for calls that ended before they reached it. */
  released(): void {
    this.#trialUnderWay = false;
  }

  /**
   * Runs `task` through the circuit.
   * @throws AppError `operation.circuit_open` without calling the task, or what the task throws.
   */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (!this.tryAcquire()) {
      throw new AppError(
        "operation.circuit_open",
        `${this.#options.name} failed repeatedly and is left alone`,
      );
    }
    try {
      const result = await task();
      this.succeeded();
      return result;
    } catch (thrown) {
      if (AppError.is(thrown) && thrown.family === "caller") this.released();
      else this.failed();
      throw thrown;
    }
  }

  #enter(state: CircuitState): void {
    this.#state = state;
    this.#options.onStateChange?.(state);
  }
}
