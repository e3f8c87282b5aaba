/** Connecting a line for all who need it: one attempt at a time, with waits between those that fail. */
import { AppError, type Backoff, backoff, type Clock } from "@myelin/kernel";

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** A line that was there for so long was a good one: the waits begin anew. */
const STABLE_MS = 10_000;

/** Makes a line usable, or says at once that it is not: nobody waits for a line that was tried a moment ago. */
export class Reconnector {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #open: (signal: AbortSignal) => Promise<void>;
  readonly #waits: Backoff;
  #attempt: Promise<void> | undefined;
  #stop: AbortController | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #openedMs = 0;
  #trouble: AppError | undefined;

  constructor(name: string, clock: Clock, open: (signal: AbortSignal) => Promise<void>) {
    this.#name = name;
    this.#clock = clock;
    this.#open = open;
    this.#waits = backoff({ initialMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS, jitter: "none" });
  }

  /** @throws AppError `hardware.line_down` when it cannot be made usable now; `operation.aborted` when the caller's signal aborts. */
  async connect(signal: AbortSignal): Promise<void> {
    if (this.#attempt === undefined) {
      const leftMs = this.#notBeforeMs - this.#clock.nowMs();
      if (leftMs > 0) {
        const text = `${this.#name} is down, and is tried again in ${Math.ceil(leftMs)} ms`;
        throw new AppError("hardware.line_down", text, { cause: this.#trouble });
      }
      this.#attempt = this.#try().finally(() => {
        this.#attempt = undefined;
      });
    }
    // The attempt is for everybody who waits; one of them who leaves does not end it.
    await untilAborted(this.#attempt, signal);
  }

  /** The line is gone: the next attempt waits, longer where lines do not last. */
  lost(error: AppError): void {
    this.#trouble = error;
    if (this.#clock.nowMs() - this.#openedMs >= STABLE_MS) this.#waits.reset();
    this.#notBeforeMs = this.#clock.nowMs() + this.#waits.nextMs();
  }

  /** Ends an attempt that is under way; the next one may begin at once. */
  async close(): Promise<void> {
    this.#stop?.abort();
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    await this.#attempt?.catch(() => {
      // Whoever waited for it has been told; here only its end counts.
    });
    this.#waits.reset();
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
  }

  async #try(): Promise<void> {
    const stop = new AbortController();
    this.#stop = stop;
    try {
      await this.#open(stop.signal);
      this.#openedMs = this.#clock.nowMs();
    } catch (cause) {
      const error = AppError.wrap("hardware.line_down", `${this.#name} cannot be opened`, cause);
      this.lost(error);
      throw error;
    }
  }
}

function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(AppError.wrap("operation.aborted", "the wait for a line was called off", signal.reason));
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
