/** Answers for a service's books, and keeps them beyond the process: written while they change, closed by the next start. */
import { control, escapeToken, Lane, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Bus, KeyValue, Unsubscribe } from "./api.js";
import { type BooksPage, type ProcessBooks, processBooksOf } from "./process-books.js";

/** `open` opens the bucket of the books at the start; `accounts` is called per query and once a second. */
export interface LedgerKeeperOptions {
  readonly service: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly open: () => Promise<KeyValue>;
  readonly accounts: () => control.LedgerAccount[];
  /** The books could not be written; called once until they can be again. */
  readonly onWriteFailed: (error: unknown) => void;
}

const WRITE_EVERY_MS = 1_000;
/** Earlier starts whose books are shown; older ones are forgotten. */
export const MAX_CLOSED = 8;

/** One per service and process. NATS away: it answers when it can be asked again, and writes then. */
export class LedgerKeeper implements Component, BooksPage {
  readonly name = "ledger";
  readonly #options: LedgerKeeperOptions;
  readonly #books: ProcessBooks;
  #closed: control.LedgerSnapshot[] = [];
  #obsolete: string[] = [];
  #bucket: KeyValue | undefined;
  #timer: Timer | undefined;
  #end: Unsubscribe | undefined;
  #written = "";
  #failing = false;

  constructor(options: LedgerKeeperOptions) {
    this.#options = options;
    this.#books = processBooksOf(options.bus);
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** Closes the books of earlier starts of this instance, then begins to answer and to write. */
  async start(): Promise<void> {
    const { bus, clock, open } = this.#options;
    const bucket = await open();
    const own = this.#key();
    const prefix = own.slice(0, own.lastIndexOf(".") + 1);
    const earlier: control.LedgerSnapshot[] = [];
    for (const { key, value } of await bucket.entries()) {
      if (!key.startsWith(prefix) || key === own) continue;
      this.#obsolete.push(key);
      const snapshot = tryDecode(value);
      if (snapshot !== undefined) earlier.push(closeBooks({ ...snapshot, closed: [] }), ...snapshot.closed);
    }
    this.#closed = earlier.sort((a, b) => b.atUs - a.atUs).slice(0, MAX_CLOSED);
    this.#bucket = bucket;
    this.#end = bus.serve(subjects.ledgerQuery(), () =>
      control.LedgerSnapshot.encode(this.snapshot()).finish(),
    );
    this.#books.open(this);
    this.#timer = clock.setInterval(() => void this.#books.write(), WRITE_EVERY_MS).unref();
    await this.#books.write();
  }

  /** Writes a last time. */
  async stop(): Promise<void> {
    this.#options.clock.clear(this.#timer);
    this.#end?.();
    this.#end = undefined;
    await this.#books.close(this);
    this.#bucket = undefined;
  }

  /** The books as they are, those of earlier starts included. */
  snapshot(): control.LedgerSnapshot {
    const { service, bus, clock, accounts } = this.#options;
    const { instance, incarnation } = bus;
    return {
      service,
      instance,
      incarnation,
      atUs: clock.wallUs(),
      accounts: accounts(),
      closed: this.#closed,
      links: this.#books.linksOf(this),
    };
  }

  cut(): () => Promise<void> {
    const snapshot = this.snapshot();
    const state = JSON.stringify([snapshot.accounts, snapshot.links]);
    return () => this.#store(snapshot, state);
  }

  async #store(snapshot: control.LedgerSnapshot, state: string): Promise<void> {
    const bucket = this.#bucket;
    if (bucket === undefined || (state === this.#written && this.#obsolete.length === 0)) return;
    try {
      await bucket.put(this.#key(), control.LedgerSnapshot.encode(snapshot).finish());
      this.#written = state;
      this.#failing = false;
      // Only now: until the closed books stand in the new ones they are kept where they are.
      for (const key of this.#obsolete.splice(0)) await bucket.delete(key);
    } catch (error) {
      if (!this.#failing) this.#options.onWriteFailed(error);
      this.#failing = true;
      throw error;
    }
  }

  #key(): string {
    const { service, bus } = this.#options;
    return `${escapeToken(service)}.${escapeToken(bus.instance)}.${bus.incarnation}`;
  }
}

/** What a process had in memory when it died: telemetry is lost, events come again from their stream or their sender. */
export function closeBooks(snapshot: control.LedgerSnapshot): control.LedgerSnapshot {
  const accounts = snapshot.accounts.map((account) => {
    if (account.queued === 0) return account;
    const reason = account.lane === Lane.EVENT ? "requeued" : "process_died";
    return { ...account, queued: 0, dropped: [...account.dropped, { reason, count: account.queued }] };
  });
  return { ...snapshot, accounts };
}

function tryDecode(value: Uint8Array): control.LedgerSnapshot | undefined {
  try {
    return control.LedgerSnapshot.decode(value);
  } catch {
    // Of a version to come, or not ours; it expires with the bucket's age limit.
    return undefined;
  }
}
