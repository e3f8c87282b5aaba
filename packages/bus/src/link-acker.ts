/** Tells producers what their receiver has taken, often enough to keep them sending and seldom enough to cost nothing. */
import { type BatchView, control, type Lane, subjects } from "@myelin/contract";
import { type Clock, systemClock, type Timer } from "@myelin/kernel";
import type { Bus, LinkAcker } from "./api.js";
import { ACK_BYTES, ACK_INTERVAL_MS } from "./links.js";
import { type ProcessBooks, processBooksOf } from "./process-books.js";

/** `target` and `targetInstance` as the link names them; empty for the way from producers to a partition's owner. */
export interface LinkAckerOptions {
  readonly lane: Lane;
  readonly epoch: number;
  readonly target?: string;
  readonly targetInstance?: string;
  readonly clock?: Clock;
}

/** A producer that sent nothing for this long is forgotten; its next batch is acknowledged at once again. */
const FORGET_AFTER_MS = 60_000;

interface Producer {
  readonly sender: string;
  readonly incarnation: number;
  readonly partition: number;
  sequence: number;
  ordinal: number;
  bytes: number;
  isDue: boolean;
  lastMs: number;
}

/** Acknowledgements over `bus`. Works from `start` to `stop`. */
export function createLinkAcker(bus: Bus, options: LinkAckerOptions): LinkAcker {
  return new BatchedLinkAcker(bus, options);
}

class BatchedLinkAcker implements LinkAcker {
  readonly name = "link-acker";
  readonly #bus: Bus;
  readonly #options: LinkAckerOptions;
  readonly #clock: Clock;
  readonly #books: ProcessBooks;
  readonly #producers = new Map<string, Producer>();
  #ticking: Timer | undefined;

  constructor(bus: Bus, options: LinkAckerOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#books = processBooksOf(bus);
  }

  async start(): Promise<void> {
    this.#ticking = this.#clock.setInterval(() => this.flush(), ACK_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#clock.clear(this.#ticking);
    this.flush();
  }

  consumed(view: BatchView): void {
    const { sender, incarnation, partition, sequence, firstOrdinal, count } = view.hop;
    if (this.#options.target === undefined) this.#books.reached(view.hop);
    const key = `${partition} ${incarnation} ${sender}`;
    let producer = this.#producers.get(key);
    // The first batch is answered at once: its sender may be waiting to learn that somebody is here.
    const isFirst = producer === undefined;
    if (producer === undefined) {
      producer = { sender, incarnation, partition, sequence, ordinal: 0, bytes: 0, isDue: true, lastMs: 0 };
      this.#producers.set(key, producer);
    }
    producer.sequence = sequence;
    producer.ordinal = firstOrdinal + count;
    producer.bytes += view.bytes.length;
    producer.isDue = true;
    producer.lastMs = this.#clock.nowMs();
    if (isFirst || producer.bytes >= ACK_BYTES) this.#send(producer);
  }

  flush(): void {
    const forgetMs = this.#clock.nowMs() - FORGET_AFTER_MS;
    for (const [key, producer] of this.#producers) {
      if (producer.isDue) this.#send(producer);
      else if (producer.lastMs < forgetMs) this.#producers.delete(key);
    }
  }

  #send(producer: Producer): void {
    const { lane, epoch, target = "", targetInstance = "" } = this.#options;
    const { sender, incarnation, partition, sequence, ordinal } = producer;
    const ack = { target, targetInstance, partition, lane, epoch, sequence, ordinal, incarnation };
    // Not sent: stays due, and the next tick repeats it; acknowledgements are cumulative.
    if (!this.#bus.publish(subjects.linkAck(sender), control.LinkAck.encode(ack).finish())) return;
    producer.isDue = false;
    producer.bytes = 0;
  }
}
