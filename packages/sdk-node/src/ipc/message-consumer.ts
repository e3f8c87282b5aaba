/** The callback style: one call per message, many at once, in order per device. */
import { AppError } from "@myelin/kernel";
import { type Consumer, type ConsumerPorts, FailureHandler, isThenable, type Work } from "./consumer.js";
import type { Message } from "./message.js";

/** Called per message. A returned promise is waited for: the message counts as handled when it resolves. */
export type MessageHandler = (message: Message) => unknown;

interface Open {
  readonly work: Work;
  /** Messages begun or waiting behind one of the same device, plus one while the batch is still being walked. */
  pending: number;
  /** A message was given up without being handled: the batch is never acknowledged. */
  spoilt: boolean;
}

interface Waiting {
  readonly message: Message;
  readonly open: Open;
}

/** Devices whose handler is slow hold back at most this many messages per allowed handler before reading stops. */
const WAITING_PER_HANDLER = 16;
/** Handlers that return at once may run so long before timers and sockets get their turn. */
const YIELD_AFTER_MS = 20;
const CLOCK_EVERY = 256;

/** A batch is acknowledged when every message of it was handled or skipped. */
export class MessageConsumer implements Consumer {
  readonly #handler: MessageHandler;
  readonly #ports: ConsumerPorts;
  readonly #failures: FailureHandler;
  #queue: Work[] = [];
  #current: Open | undefined;
  /** Devices with a handler under way, and what waits behind it. */
  readonly #devices = new Map<string, Waiting[]>();
  #waiting = 0;
  #stopped = false;
  #running = false;
  #yielded = false;

  constructor(handler: MessageHandler, ports: ConsumerPorts) {
    this.#handler = handler;
    this.#ports = ports;
    this.#failures = new FailureHandler(ports);
  }

  get running(): number {
    return this.#devices.size;
  }

  push(work: Work): void {
    this.#queue.push(work);
    this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#failures.stop();
  }

  #run(): void {
    // A handler that stops the client or feeds it calls back into here.
    if (this.#running || this.#yielded) return;
    this.#running = true;
    const beganMs = this.#ports.clock.nowMs();
    let steps = 0;
    while (!this.#full()) {
      if (this.#current === undefined && !this.#begin()) break;
      this.#step(this.#current!);
      if (++steps % CLOCK_EVERY === 0 && this.#ports.clock.nowMs() - beganMs > YIELD_AFTER_MS) {
        this.#yielded = true;
        setImmediate(() => {
          this.#yielded = false;
          this.#run();
        });
        break;
      }
    }
    this.#running = false;
  }

  #full(): boolean {
    const limit = this.#ports.concurrency();
    return this.#stopped || this.#devices.size >= limit || this.#waiting >= limit * WAITING_PER_HANDLER;
  }

  #begin(): boolean {
    for (let work = this.#queue.shift(); work !== undefined; work = this.#queue.shift()) {
      if (work.batch.lane === "event" && work.gone()) continue;
      work.batch.rewind();
      this.#current = { work, pending: 1, spoilt: false };
      return true;
    }
    return false;
  }

  #step(open: Open): void {
    const { batch } = open.work;
    let more: boolean;
    let deviceKey = "";
    try {
      more = batch.next();
      // A broken head ends its batch like any other broken bytes, and nothing else.
      if (more) deviceKey = batch.cursor.head.deviceKey;
    } catch (thrown) {
      this.#ports.counters.malformed += 1;
      this.#ports.onError(AppError.from(thrown));
      more = false;
    }
    if (!more) {
      this.#current = undefined;
      this.#ended(open);
      return;
    }
    const { cursor } = batch;
    if (this.#devices.size > 0) {
      const waiting = this.#devices.get(deviceKey);
      if (waiting !== undefined) {
        open.pending++;
        this.#waiting++;
        waiting.push({ message: cursor.toMessage(), open });
        return;
      }
    }
    this.#call(cursor.toMessage(), deviceKey, open);
  }

  #call(message: Message, deviceKey: string, open: Open): void {
    let result: unknown;
    try {
      result = this.#handler(message);
    } catch (thrown) {
      result = Promise.reject(thrown);
    }
    if (!isThenable(result)) {
      this.#ports.counters.handled += 1;
      return;
    }
    open.pending++;
    this.#devices.set(deviceKey, []);
    void this.#device(deviceKey, { message, open }, result);
  }

  /** Lives as long as messages of one device follow on each other. */
  async #device(deviceKey: string, first: Waiting, begun: PromiseLike<unknown>): Promise<void> {
    let { message, open } = first;
    let result: unknown = begun;
    for (;;) {
      await this.#handled(message, open, result);
      this.#ended(open);
      const next = this.#devices.get(deviceKey)?.shift();
      if (next === undefined) break;
      this.#waiting--;
      ({ message, open } = next);
      try {
        result = this.#stopped ? undefined : this.#handler(message);
        if (this.#stopped) open.spoilt = true;
      } catch (thrown) {
        result = Promise.reject(thrown);
      }
      this.#run();
    }
    this.#devices.delete(deviceKey);
    this.#run();
  }

  async #handled(message: Message, open: Open, result: unknown): Promise<void> {
    try {
      await result;
      if (!open.spoilt) this.#ports.counters.handled += 1;
    } catch (thrown) {
      const again = (): unknown => this.#handler(message);
      const verdict = await this.#failures.recover(again, thrown, () => open.work.gone(), message);
      if (verdict === "halt") open.spoilt = true;
      else if (verdict === "again") this.#ports.counters.handled += 1;
    }
  }

  #ended(open: Open): void {
    open.pending--;
    if (open.pending === 0 && !open.spoilt) open.work.ticket.done();
  }
}
