/** Questions that wait for their answer by number: bounded in count, each with its own deadline. */
import { AppError } from "../errors/app-error.js";
import type { Clock, Timer } from "../time/clock.js";

interface Pending<T> {
  readonly resolve: (answer: T) => void;
  readonly reject: (error: AppError) => void;
  readonly timer: Timer;
}

/** Options of a table; `what` completes "the answer of … did not come within N ms". */
export interface CallTableOptions {
  readonly clock: Clock;
  readonly maxPending: number;
  readonly what: string;
}

/** One table per connection and direction. */
export class CallTable<T> {
  readonly #options: CallTableOptions;
  readonly #pending = new Map<number, Pending<T>>();
  #lastId = 0;

  constructor(options: CallTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pending.size;
  }

  /**
   * Calls `ask` with a new number and waits for `answer` with the same.
   * @throws AppError `queue.full`, `request.timeout`, or the reason of `failAll`
   */
  call(timeoutMs: number, ask: (id: number) => void): Promise<T> {
    const { clock, maxPending, what } = this.#options;
    if (this.#pending.size >= maxPending) {
      return Promise.reject(new AppError("queue.full", `${maxPending} calls wait for ${what} already`));
    }
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      const timer = clock.setTimeout(() => {
        this.#pending.delete(id);
        reject(new AppError("request.timeout", `the answer of ${what} did not come within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      try {
        ask(id);
      } catch (thrown) {
        this.#take(id);
        reject(thrown);
      }
    });
  }

  /** False for a number that nobody waits for: late, doubled or invented. */
  answer(id: number, value: T): boolean {
    const pending = this.#take(id);
    pending?.resolve(value);
    return pending !== undefined;
  }

  failAll(error: AppError): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error);
  }

  #take(id: number): Pending<T> | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    this.#options.clock.clear(pending.timer);
    return pending;
  }
}
