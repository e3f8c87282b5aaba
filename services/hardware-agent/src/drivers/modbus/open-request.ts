/** A request that was sent and waits for its reply. */
import type { Clock, Timer } from "@myelin/kernel";
import type { Exchange, ExchangeResult } from "./session.js";

/** Ends once: by a reply, by its time, by its caller's signal, or with the line. */
export class OpenRequest {
  readonly ended: Promise<ExchangeResult>;
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #onAbort = (): void => this.end({ status: "aborted" });
  readonly #sentMs: number;
  #resolve: (result: ExchangeResult) => void = () => undefined;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(
    readonly request: Exchange,
    clock: Clock,
    onEnd: () => void,
  ) {
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#sentMs = clock.nowMs();
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    request.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Begins a time in which it must end; one that was begun before does not count any more. */
  await(timeoutMs: number, onTimeout: () => void): void {
    this.#clock.clear(this.#timer);
    if (!this.#isOver) this.#timer = this.#clock.setTimeout(onTimeout, timeoutMs);
  }

  end(result: Pick<ExchangeResult, "status"> & Partial<ExchangeResult>): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clock.clear(this.#timer);
    this.request.signal.removeEventListener("abort", this.#onAbort);
    this.#onEnd();
    this.#resolve({ sent: true, latencyMs: this.#clock.nowMs() - this.#sentMs, ...result });
  }
}
