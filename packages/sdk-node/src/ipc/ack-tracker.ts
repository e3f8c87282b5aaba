/** Turns batches that are finished in any order into cumulative acknowledgements per link, sent once per turn. */
import type { app, envelope, Lane } from "@myelin/contract";

/** One batch until it is done with. */
export interface AckTicket {
  /** Safe twice, and after the connection is gone. */
  done(): void;
}

class LinkAcks {
  readonly partition: number;
  readonly lane: Lane;
  readonly epoch: number;
  readonly entries: { sequence: number; done: boolean }[] = [];
  ackedSequence = 0;

  constructor(hop: envelope.Hop) {
    this.partition = hop.partition;
    this.lane = hop.lane;
    this.epoch = hop.epoch;
  }

  /** True when the acknowledged sequence has moved. */
  advance(): boolean {
    let done = 0;
    while (done < this.entries.length && this.entries[done]!.done) done++;
    if (done === 0) return false;
    this.ackedSequence = this.entries[done - 1]!.sequence;
    this.entries.splice(0, done);
    return true;
  }
}

const LANES = 4;

/** One per connection: what an earlier connection left open is delivered again, and acknowledged there. */
export class AckTracker {
  /** Batches not done with. */
  open = 0;
  readonly #send: (ack: app.DeliveryAck) => void;
  readonly #links = new Map<number, LinkAcks>();
  readonly #dirty = new Set<LinkAcks>();
  #scheduled = false;
  #closed = false;

  constructor(send: (ack: app.DeliveryAck) => void) {
    this.#send = send;
  }

  take(hop: envelope.Hop): AckTicket {
    const link = this.#linkOf(hop);
    const entry = { sequence: hop.sequence, done: false };
    link.entries.push(entry);
    this.open += 1;
    return {
      done: () => {
        if (entry.done || this.#closed) return;
        entry.done = true;
        this.open -= 1;
        if (link.advance()) this.#note(link);
      },
    };
  }

  /** Sends what is due now instead of at the end of the turn. */
  flush(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    for (const { partition, lane, epoch, ackedSequence } of this.#dirty) {
      this.#send({ partition, lane, epoch, sequence: ackedSequence });
    }
    this.#dirty.clear();
  }

  close(): void {
    this.#closed = true;
    this.open = 0;
    this.#dirty.clear();
  }

  #linkOf(hop: envelope.Hop): LinkAcks {
    const key = hop.partition * LANES + hop.lane;
    const known = this.#links.get(key);
    if (known?.epoch === hop.epoch) return known;
    // The batches of an older owner keep their own link by their tickets, and are acknowledged under its epoch.
    const link = new LinkAcks(hop);
    this.#links.set(key, link);
    return link;
  }

  #note(link: LinkAcks): void {
    this.#dirty.add(link);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }
}
