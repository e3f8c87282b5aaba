/** Knows which batches of a stream are under way and acknowledges each when every target has taken responsibility. */
import type { ShareSource } from "./share.js";

/** One batch in the hands of its consumer; the part of the bus's `EventDelivery` that is used here. */
export interface SourceDelivery {
  readonly data: Buffer;
  readonly streamSequence: number;
  readonly redelivered: boolean;
  ack(): void;
}

/** A batch under way. It starts with one claim, the router's, released by the first `done`. */
export class TrackedBatch implements ShareSource {
  private claims = 1;

  constructor(
    readonly delivery: SourceDelivery,
    readonly sinceMs: number,
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

/** Deliveries of one consumer. Their number is bounded by the consumer's own limit of unacknowledged messages. */
export class EventTracker {
  private readonly pending = new Map<number, TrackedBatch>();
  private pendingBytes = 0;
  private closed = false;

  constructor(private readonly nowMs: () => number) {}

  get size(): number {
    return this.pending.size;
  }

  get bytes(): number {
    return this.pendingBytes;
  }

  /** The oldest batch under way; undefined when there is none. */
  get oldest(): TrackedBatch | undefined {
    for (const batch of this.pending.values()) return batch;
    return undefined;
  }

  /** Takes a delivery; undefined when it is under way already: nothing is to be done then. */
  begin(delivery: SourceDelivery): TrackedBatch | undefined {
    const sequence = delivery.streamSequence;
    if (this.pending.has(sequence)) return undefined;
    const batch = new TrackedBatch(delivery, this.nowMs(), (done) => this.settle(done));
    this.pending.set(sequence, batch);
    this.pendingBytes += delivery.data.length;
    return batch;
  }

  /** Acknowledges nothing more. */
  close(): void {
    this.closed = true;
    this.pending.clear();
    this.pendingBytes = 0;
  }

  private settle({ delivery }: TrackedBatch): void {
    if (this.closed) return;
    if (this.pending.delete(delivery.streamSequence)) this.pendingBytes -= delivery.data.length;
    delivery.ack();
  }
}
