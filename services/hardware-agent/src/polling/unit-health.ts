/** How a unit does: after some silences in a row it is asked seldom, so that its neighbours do not wait for it. */

/** Silences in a row after which a unit is taken for dead. */
const FAILURES = 3;
const FIRST_WAIT_MS = 1_000;
/** A unit that is back is noticed within this time and its timeout. */
export const LONGEST_WAIT_MS = 10_000;

/** One per unit. Times are those of the clock that does not go back. */
export class UnitHealth {
  /** Silences in a row. */
  failures = 0;
  /** Until when a dead unit is left alone. */
  retryAtMs = 0;
  #waitMs = FIRST_WAIT_MS;

  /** It is asked with one request at a time, and seldom. */
  get isDegraded(): boolean {
    return this.failures >= FAILURES;
  }

  /** It answered. True when it had been taken for dead. */
  answered(): boolean {
    const was = this.isDegraded;
    this.failures = 0;
    this.#waitMs = FIRST_WAIT_MS;
    return was;
  }

  /** It kept silent. True when that makes it dead. */
  silent(nowMs: number): boolean {
    const was = this.isDegraded;
    this.failures += 1;
    if (!this.isDegraded) return false;
    this.retryAtMs = nowMs + this.#waitMs;
    this.#waitMs = Math.min(LONGEST_WAIT_MS, 2 * this.#waitMs);
    return !was;
  }
}
