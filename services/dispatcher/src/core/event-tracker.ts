/** Knows which batches of a stream are under way and acknowledges each when every target has taken responsibility. */
import type { Clock, Timer } from "@myelin/kernel";
import type { ShareSource } from "./share.js";

/** One batch in the hands of its consumer; the part of the bus's `EventDelivery` that is used here. */
export interface SourceDelivery {
  readonly data: Buffer;
  readonly streamSequence: number;
  readonly redelivered: boolean;
  ack(): void;
  working(): void;
}

/** A batch under way. It starts with one claim, the router's, released by the first `done`. */
export class TrackedBatch implements ShareSource {
  private claims = 1;

  constructor(
    readonly delivery: SourceDelivery,
    private readonly onDone: (batch: TrackedBatch) => void,
  ) {}

  /** One more party must be done before it is acknowledged. */
  claim(): void {
    this.claims++;
  }

  done(): void {
    if (--this.claims === 0) this.onDone(this);
  }
}

const WORKING_EVERY_MS = 5_000;

/** Deliveries of one consumer. Their number is bounded by the consumer's own limit of unacknowledged messages. */
export class EventTracker {
  private readonly pending = new Map<number, TrackedBatch>();
  private timer: Timer | undefined;
  private closed = false;
  /** Sequences already acknowledged that may come again because the acknowledgement was lost. */
  private readonly acknowledged = new Set<number>();
  onSettled: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly rememberAcks = 4096,
  ) {}

  get size(): number {
    return this.pending.size;
  }

  /** Sequence of the oldest batch under way; undefined when there is none. */
  get oldest(): number | undefined {
    for (const sequence of this.pending.keys()) return sequence;
    return undefined;
  }

  /** Takes a delivery; undefined when it is under way already, or was acknowledged and came again: nothing is to be done then. */
  begin(delivery: SourceDelivery): TrackedBatch | undefined {
    const sequence = delivery.streamSequence;
    if (this.pending.has(sequence)) {
      delivery.working();
      return undefined;
    }
    if (this.acknowledged.has(sequence)) {
      delivery.ack();
      return undefined;
    }
    const batch = new TrackedBatch(delivery, (done) => this.settle(done));
    this.pending.set(sequence, batch);
    this.timer ??= this.clock.setInterval(() => this.keep(), WORKING_EVERY_MS).unref();
    return batch;
  }

  /** Acknowledges nothing more. */
  close(): void {
    this.closed = true;
    this.clock.clear(this.timer);
    this.pending.clear();
  }

  private settle(batch: TrackedBatch): void {
    if (this.closed) return;
    const sequence = batch.delivery.streamSequence;
    this.pending.delete(sequence);
    this.acknowledged.add(sequence);
    if (this.acknowledged.size > this.rememberAcks) {
      for (const oldest of this.acknowledged) {
        this.acknowledged.delete(oldest);
        break;
      }
    }
    batch.delivery.ack();
    if (this.pending.size === 0) {
      this.clock.clear(this.timer);
      this.timer = undefined;
    }
    this.onSettled();
  }

  private keep(): void {
    for (const batch of this.pending.values()) batch.delivery.working();
  }
}
