/** The receiving end of links: refuses doubles and stale owners, books what is missing. */
import type { BatchView } from "@myelin/contract";
import type { LinkPosition, LinkReader } from "./api.js";

/** Beyond this the link that was silent longest is forgotten: its next batch then counts as its first. */
const DEFAULT_MAX_LINKS = 16_384;

interface Link {
  readonly sender: string;
  readonly incarnation: number;
  readonly epoch: number;
  /** First sequence this reader took. */
  readonly start: number;
  /** Last sequence taken, and the count of envelopes up to there. */
  sequence: number;
  ordinal: number;
}

/** A reader that knows nothing yet; for one receiver, whatever the number of senders and partitions. */
export function createLinkReader(options: { readonly maxLinks?: number } = {}): LinkReader {
  return new CountingLinkReader(options.maxLinks ?? DEFAULT_MAX_LINKS);
}

class CountingLinkReader implements LinkReader {
  lostInTransit = 0;
  doubled = 0;

  readonly #maxLinks: number;
  /** In the order of last use. */
  readonly #links = new Map<string, Link>();
  readonly #epochs = new Map<number, number>();

  constructor(maxLinks: number) {
    this.#maxLinks = maxLinks;
  }

  accept(view: BatchView): boolean {
    const { sender, incarnation, sequence, firstOrdinal, count, partition, lane, epoch } = view.hop;
    const { target, targetInstance } = view.hop;
    if (epoch < (this.#epochs.get(partition) ?? 0)) return false;
    if (epoch > 0) this.#epochs.set(partition, epoch);
    const key = `${lane} ${partition} ${incarnation} ${JSON.stringify([sender, target, targetInstance])}`;
    const known = this.#links.get(key);
    const link = known !== undefined && known.epoch === epoch ? known : undefined;
    if (link === undefined) {
      // A new start of a sender that was heard before begins under our eyes: everything from its first envelope on is ours.
      if (known === undefined && this.#isHeardOf(sender, incarnation)) this.lostInTransit += firstOrdinal;
      const ordinal = firstOrdinal + count;
      this.#remember(key, { sender, incarnation, epoch, start: sequence, sequence, ordinal });
      return true;
    }
    if (sequence <= link.sequence) {
      // From before this reader began, and now too late to keep the order: lost. Within what it took: a double, or booked already.
      if (sequence < link.start) this.lostInTransit += count;
      else this.doubled += count;
      return false;
    }
    if (firstOrdinal > link.ordinal) this.lostInTransit += firstOrdinal - link.ordinal;
    link.sequence = sequence;
    link.ordinal = firstOrdinal + count;
    this.#links.delete(key);
    this.#links.set(key, link);
    return true;
  }

  positions(): LinkPosition[] {
    return [...this.#links].map(([key, link]) => ({ key, ...link }));
  }

  restore(positions: readonly LinkPosition[]): void {
    for (const { key, ...link } of positions) this.#remember(key, link);
  }

  #isHeardOf(sender: string, incarnation: number): boolean {
    for (const link of this.#links.values()) {
      if (link.sender === sender && link.incarnation !== incarnation) return true;
    }
    return false;
  }

  #remember(key: string, link: Link): void {
    this.#links.delete(key);
    this.#links.set(key, link);
    if (this.#links.size <= this.#maxLinks) return;
    const oldest = this.#links.keys().next();
    if (!oldest.done) this.#links.delete(oldest.value);
  }
}
