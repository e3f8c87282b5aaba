/** The books of one process as a whole: one cut through all its services, stored before what they count is acknowledged. */
import type { control, envelope, Lane } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { Bus } from "./api.js";

/** The books of one service. */
export interface BooksPage {
  readonly clock: Clock;
  /** Takes the books as they are now and returns how to store them; rejects when they cannot be stored. */
  cut(): () => Promise<void>;
}

/** Something that may be acknowledged to its source once the books that count it are stored. */
export interface Counted {
  booked(): void;
}

interface LinkEnds {
  readonly sender: string;
  readonly incarnation: number;
  readonly lane: Lane;
  readonly byPartition: Map<number, { readonly start: number; end: number }>;
}

/** What is acknowledged waits no longer than this for its books, and the books are not written more often. */
const WRITE_GAP_MS = 50;
/** After a failed attempt. */
const RETRY_MS = 500;
/** Lanes of incarnations of producers whose links are remembered; the one that was silent longest is forgotten. */
const MAX_PRODUCERS = 1_024;

/**
 * A process that is killed takes its counts since the last write with it. What it acknowledged in that time would be in nobody's books,
 * and what it had not acknowledged comes again and is counted by its successor. So it acknowledges nothing that is not written.
 */
export class ProcessBooks {
  readonly #pages = new Set<BooksPage>();
  readonly #links = new Map<string, LinkEnds>();
  #counted: Counted[] = [];
  #writing: Promise<boolean> | undefined;
  #due: Timer | undefined;
  #clock: Clock | undefined;

  /** The pages that are open. */
  get size(): number {
    return this.#pages.size;
  }

  open(page: BooksPage): void {
    this.#pages.add(page);
    this.#clock = page.clock;
  }

  /** Stores everything a last time and takes the page out. Behind the last page nothing waits any more. */
  async close(page: BooksPage): Promise<void> {
    if (!this.#pages.has(page)) return;
    await this.#writing;
    await this.write();
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    this.#clock?.clear(this.#due);
    this.#due = undefined;
    for (const one of this.#counted.splice(0)) one.booked();
  }

  /** Calls `booked` when what has been counted until now is stored; at once where no books are kept. */
  whenBooked(counted: Counted): void {
    if (this.#pages.size === 0) {
      counted.booked();
      return;
    }
    this.#counted.push(counted);
    this.#schedule(WRITE_GAP_MS);
  }

  /** False when it failed; what waits for it waits on. */
  write(): Promise<boolean> {
    this.#writing ??= this.#writeOnce().finally(() => {
      this.#writing = undefined;
      if (this.#counted.length > 0) this.#schedule(WRITE_GAP_MS);
    });
    return this.#writing;
  }

  /** Notes how far a producer's link has come. */
  reached(hop: envelope.Hop): void {
    const { sender, incarnation, lane, partition, firstOrdinal, count } = hop;
    const key = `${lane} ${incarnation} ${sender}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { sender, incarnation, lane, byPartition: new Map() };
      this.#links.set(key, link);
      if (this.#links.size > MAX_PRODUCERS) this.#links.delete(this.#links.keys().next().value!);
    }
    const end = firstOrdinal + count;
    const taken = link.byPartition.get(partition);
    if (taken === undefined) link.byPartition.set(partition, { start: firstOrdinal, end });
    else if (end > taken.end) taken.end = end;
  }

  /** The links for the snapshot of `page`: the first one carries those of the process. */
  linksOf(page: BooksPage): control.LedgerLink[] {
    if (this.#pages.values().next().value !== page) return [];
    return [...this.#links.values()].map(({ byPartition, ...link }) => ({
      ...link,
      partitions: [...byPartition.keys()],
      starts: [...byPartition.values()].map(({ start }) => start),
      ends: [...byPartition.values()].map(({ end }) => end),
    }));
  }

  #schedule(afterMs: number): void {
    if (this.#writing !== undefined || this.#pages.size === 0) return;
    this.#due ??= this.#clock?.setTimeout(() => {
      this.#due = undefined;
      void this.write();
    }, afterMs);
  }

  async #writeOnce(): Promise<boolean> {
    // All in one turn, so that the books of services that hand messages to each other agree.
    const stores = [...this.#pages].map((page) => page.cut());
    const counted = this.#counted;
    this.#counted = [];
    const stored = await Promise.allSettled(stores.map((store) => store()));
    if (stored.some(({ status }) => status === "rejected")) {
      // Each page tells of its own failure.
      counted.push(...this.#counted);
      this.#counted = counted;
      await this.#clock?.sleep(RETRY_MS);
      return false;
    }
    for (const one of counted) one.booked();
    return true;
  }
}

const processes = new WeakMap<Bus, ProcessBooks>();

/** The books of the process whose bus this is. */
export function processBooksOf(bus: Bus): ProcessBooks {
  let books = processes.get(bus);
  if (books === undefined) {
    books = new ProcessBooks();
    processes.set(bus, books);
  }
  return books;
}
