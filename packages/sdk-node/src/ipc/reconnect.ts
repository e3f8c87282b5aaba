/** When to try again: soon at first, then within a budget of tries per minute, spread by jitter. */
import { type Backoff, backoff } from "@myelin/kernel";
import type { ReconnectOptions } from "./options.js";

const MINUTE_MS = 60_000;

/** Keeps the times of the last tries; a connection that held forgets them. */
export class ReconnectSchedule {
  readonly #options: Required<ReconnectOptions>;
  readonly #waits: Backoff;
  #tries: number[] = [];
  /** Failed tries in a row. */
  failures = 0;

  constructor(options: Required<ReconnectOptions>, random: () => number = Math.random) {
    this.#options = options;
    const { initialMs, perMinute } = options;
    this.#waits = backoff({ initialMs, factor: 3, maxMs: MINUTE_MS / perMinute, random });
  }

  /** True when the tries are used up. */
  get exhausted(): boolean {
    return this.#options.maxTries > 0 && this.failures >= this.#options.maxTries;
  }

  /** Notes a try that begins. */
  began(nowMs: number): void {
    this.#tries.push(nowMs);
    if (this.#tries.length > this.#options.perMinute) this.#tries.shift();
  }

  /** How long to wait before the next try. */
  waitMs(nowMs: number): number {
    const waitMs = this.#waits.nextMs();
    if (this.#tries.length < this.#options.perMinute) return waitMs;
    // The budget's oldest try must be a minute old by then.
    return Math.max(waitMs, this.#tries[0]! + MINUTE_MS - nowMs);
  }

  /** A connection held for a while. */
  reset(): void {
    this.failures = 0;
    this.#tries = [];
    this.#waits.reset();
  }
}
