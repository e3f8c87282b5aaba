/** The fast style: one call per batch. */
import { AppError } from "@myelin/kernel";
import { type Consumer, type ConsumerPorts, FailureHandler, isThenable, type Work } from "./consumer.js";
import type { MessageBatch } from "./message-batch.js";

/**
 * Called per batch, one at a time and in order; a returned promise is waited for. Telemetry is acknowledged when the
 * handler has returned; events when `ack` is called, now or later.
 */
export type BatchHandler = (batch: MessageBatch, ack: () => void) => unknown;

/** Keeps order by calling the next batch's handler only when the one before has returned. */
export class BatchConsumer implements Consumer {
  readonly #handler: BatchHandler;
  readonly #ports: ConsumerPorts;
  readonly #failures: FailureHandler;
  #queue: Work[] = [];
  #busy = false;
  #stopped = false;

  constructor(handler: BatchHandler, ports: ConsumerPorts) {
    this.#handler = handler;
    this.#ports = ports;
    this.#failures = new FailureHandler(ports);
  }

  get running(): number {
    return this.#busy ? 1 : 0;
  }

  push(work: Work): void {
    if (this.#busy || this.#stopped) this.#queue.push(work);
    else if (!this.#run(work)) this.#next();
  }

  stop(): void {
    this.#stopped = true;
    this.#failures.stop();
  }

  /** True while the handler's promise is open. */
  #run(work: Work): boolean {
    if (work.batch.lane === "event" && work.gone()) return false;
    try {
      const result = this.#handler(work.batch, work.ticket.done);
      if (!isThenable(result)) {
        this.#finished(work);
        return false;
      }
      this.#busy = true;
      void this.#wait(work, result);
    } catch (thrown) {
      this.#busy = true;
      void this.#recover(work, thrown);
    }
    return this.#busy;
  }

  async #wait(work: Work, result: PromiseLike<unknown>): Promise<void> {
    try {
      await result;
      this.#finished(work);
      this.#next();
    } catch (thrown) {
      await this.#recover(work, thrown);
    }
  }

  async #recover(work: Work, thrown: unknown): Promise<void> {
    if (AppError.is(thrown) && thrown.code === "contract.bad_envelope") {
      // No handler can mend bytes that are broken.
      this.#ports.counters.malformed += 1;
      this.#ports.onError(thrown);
      work.ticket.done();
    } else {
      const again = (): unknown => {
        work.batch.rewind();
        return this.#handler(work.batch, work.ticket.done);
      };
      const verdict = await this.#failures.recover(again, thrown, () => work.gone());
      if (verdict === "again") this.#finished(work);
      else if (verdict === "skip") work.ticket.done();
    }
    this.#next();
  }

  #finished(work: Work): void {
    this.#ports.counters.handled += work.batch.count;
    if (work.batch.lane === "telemetry") work.ticket.done();
  }

  #next(): void {
    this.#busy = false;
    while (!this.#stopped) {
      const work = this.#queue.shift();
      if (work === undefined || this.#run(work)) return;
    }
  }
}
