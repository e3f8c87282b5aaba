/** What stands between received batches and the application's handlers. */
import { AppError, backoff, type Clock } from "@myelin/kernel";
import type { AckTicket } from "./ack-tracker.js";
import type { Message } from "./message.js";
import type { MessageBatch } from "./message-batch.js";
import type { HandlerErrorPolicy } from "./options.js";

/** One received batch on its way through the handlers. */
export interface Work {
  readonly batch: MessageBatch;
  readonly ticket: AckTicket;
  /** True when its connection is gone: events will come again, so there is no use in beginning them. */
  gone(): boolean;
}

/** One style of consuming. Batches come in order; what waits is bounded by the credit. */
export interface Consumer {
  push(work: Work): void;
  /** Handlers that run or wait to run again. */
  readonly running: number;
  /** Begins no more handlers; those that run go on. */
  stop(): void;
}

/** Plain counters that consumers share with the health report. */
export interface ConsumerCounters {
  received: number;
  handled: number;
  handlerErrors: number;
  skipped: number;
  malformed: number;
}

/** What consumers need of the client. */
export interface ConsumerPorts {
  readonly clock: Clock;
  readonly counters: ConsumerCounters;
  /** In force at the moment: it may be changed while running. */
  concurrency(): number;
  policy(): Required<HandlerErrorPolicy>;
  onError(error: AppError, message?: Message): void;
  /** The policy says stop. */
  halt(error: AppError): void;
}

/** What to do after a failure. */
export type Verdict = "again" | "skip" | "halt";

const RETRY = { initialMs: 100, maxMs: 30_000 } as const;

/** Counts and reports a handler's failure and says what follows; waits where the answer is `again`. */
export class FailureHandler {
  readonly #ports: ConsumerPorts;
  readonly #aborter = new AbortController();

  constructor(ports: ConsumerPorts) {
    this.#ports = ports;
  }

  /** Runs `task` until it succeeds or the policy says otherwise. `attempt` 1 has failed with `first` already. */
  async recover(
    task: () => unknown,
    first: unknown,
    gone: () => boolean,
    message?: Message,
  ): Promise<Verdict> {
    const waits = backoff(RETRY);
    let thrown = first;
    for (let attempt = 1; ; attempt++) {
      const { policy, maxAttempts } = this.#ports.policy();
      const error = AppError.wrap("app.handler_failed", "a message handler failed", thrown);
      this.#ports.counters.handlerErrors += 1;
      this.#ports.onError(error, message);
      if (policy === "stop") {
        this.#ports.halt(error);
        return "halt";
      }
      if (policy === "skip" || (maxAttempts > 0 && attempt >= maxAttempts)) {
        this.#ports.counters.skipped += 1;
        return "skip";
      }
      try {
        await this.#ports.clock.sleep(waits.nextMs(), this.#aborter.signal);
      } catch {
        // The client stops: what was not handled stays unacknowledged and comes again.
        return "halt";
      }
      if (gone()) return "halt";
      try {
        await task();
        return "again";
      } catch (next) {
        thrown = next;
      }
    }
  }

  stop(): void {
    this.#aborter.abort();
  }
}

/** True for what `await` would wait on. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}
