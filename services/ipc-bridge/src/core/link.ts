/** One link into an app session: what was delivered on (partition, lane, epoch) and not yet acknowledged. */
import type { envelope, Lane } from "@myelin/contract";
import type { DeliveryTrace } from "./delivery-trace.js";

/** One batch that is held here or with the app. */
export interface Outstanding {
  readonly link: Link;
  readonly sequence: number;
  /** `first_ordinal + count` of the batch. */
  readonly endOrdinal: number;
  readonly count: number;
  readonly bytes: number;
  /** The frame while it waits here; undefined once it was sent or given up. */
  frame: Buffer | undefined;
  done: boolean;
  /** Undefined for almost all. */
  trace: DeliveryTrace | undefined;
}

/** What `accept` thinks of a batch's place in its link. `gap`: something before it never came. */
export type LinkVerdict = "next" | "double" | "gap";

/**
 * Counts one link. Acknowledgements are cumulative for what was sent; what is still held is never covered by them,
 * whatever number the app names.
 */
export class Link {
  readonly partition: number;
  readonly lane: Lane;
  readonly epoch: number;
  readonly sender: string;
  readonly incarnation: number;
  readonly target: string;
  readonly targetInstance: string;
  /** Of everything accepted: the last sequence and the ordinal behind it. */
  lastSequence = 0;
  endOrdinal = 0;
  /** Everything up to these is done with. */
  ackedSequence = 0;
  ackedOrdinal = 0;
  /** Envelopes that were announced by the numbers of later batches and never came. */
  lost = 0;
  private fifo: Outstanding[] = [];
  private head = 0;

  constructor(hop: envelope.Hop) {
    this.partition = hop.partition;
    this.lane = hop.lane;
    this.epoch = hop.epoch;
    this.sender = hop.sender;
    this.incarnation = hop.incarnation;
    this.target = hop.target;
    this.targetInstance = hop.targetInstance;
  }

  /** Batches not yet done with. */
  get outstanding(): number {
    return this.fifo.length - this.head;
  }

  /** Judges the numbers of the next batch without taking it. */
  judge(hop: envelope.Hop): LinkVerdict {
    if (hop.sequence === this.lastSequence + 1) return hop.firstOrdinal === this.endOrdinal ? "next" : "gap";
    return hop.sequence <= this.lastSequence ? "double" : "gap";
  }

  /** Takes a batch; envelopes between the last one and this one count as lost. Returns how many those are. */
  take(hop: envelope.Hop, frame: Buffer): { readonly entry: Outstanding; readonly lost: number } {
    const lost = Math.max(0, hop.firstOrdinal - this.endOrdinal);
    this.lost += lost;
    this.lastSequence = hop.sequence;
    this.endOrdinal = hop.firstOrdinal + hop.count;
    const entry: Outstanding = {
      link: this,
      sequence: hop.sequence,
      endOrdinal: this.endOrdinal,
      count: hop.count,
      bytes: frame.length,
      frame,
      done: false,
      trace: undefined,
    };
    this.fifo.push(entry);
    return { entry, lost };
  }

  /** The app is done with everything sent up to `sequence`. `each` is called for each batch that this ends. */
  acknowledge(sequence: number, each: (entry: Outstanding) => void): boolean {
    for (let i = this.head; i < this.fifo.length; i++) {
      const entry = this.fifo[i]!;
      if (entry.sequence > sequence || (entry.frame !== undefined && !entry.done)) break;
      if (entry.done) continue;
      entry.done = true;
      each(entry);
    }
    return this.advance();
  }

  /** Gives a held batch up: it counts as done with as soon as all before it are. */
  giveUp(entry: Outstanding): boolean {
    entry.done = true;
    entry.frame = undefined;
    return this.advance();
  }

  /** Ends the link: `each` is called for each batch that nobody was done with. */
  close(each: (entry: Outstanding) => void): void {
    for (let i = this.head; i < this.fifo.length; i++) {
      const entry = this.fifo[i]!;
      if (!entry.done) each(entry);
      entry.done = true;
      entry.frame = undefined;
    }
    this.fifo = [];
    this.head = 0;
  }

  private advance(): boolean {
    const before = this.ackedSequence;
    while (this.head < this.fifo.length && this.fifo[this.head]!.done) {
      const entry = this.fifo[this.head++]!;
      this.ackedSequence = entry.sequence;
      this.ackedOrdinal = entry.endOrdinal;
    }
    if (this.head === this.fifo.length) {
      this.fifo.length = 0;
      this.head = 0;
    } else if (this.head > 1024) {
      this.fifo = this.fifo.slice(this.head);
      this.head = 0;
    }
    return this.ackedSequence !== before;
  }
}
