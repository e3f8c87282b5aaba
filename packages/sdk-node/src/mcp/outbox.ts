/** Events that the server has not acknowledged yet: bounded, in order, sent again with the same ids and sequences. */
import { encodeMcpFrame, type McpMessageInit } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** One event on its way. */
export interface OutboxEntry {
  readonly id: string;
  readonly sequence: number;
  /** As it was or will be sent; encoded anew only before it is sent for the first time. */
  frame: Buffer;
  readonly keptAtMs: number;
  /** Monotonic time after which nobody wants it; infinite without a TTL. */
  readonly expiresAtMs: number;
  /** 0: not sent in this session; else how often. */
  sends: number;
  sentAtMs: number;
  /** The message while it was never sent, because it may still be marked as replayed. */
  message: McpMessageInit | undefined;
  readonly resolve: () => void;
  readonly reject: (error: AppError) => void;
}

/** Bounds of the outbox. */
export interface OutboxLimits {
  readonly maxUnacknowledged: number;
  readonly maxUnacknowledgedBytes: number;
}

/** Keeps events until they are settled. */
export class Outbox {
  readonly #limits: OutboxLimits;
  // In order of sequence, because sequences are given in order and a Map keeps the order of insertion.
  readonly #entries = new Map<string, OutboxEntry>();
  // What was not sent in this session: a queue over an array, with the entries settled meanwhile still in it.
  #unsent: OutboxEntry[] = [];
  #unsentHead = 0;
  #inFlight = 0;
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws AppError `queue.full`; `contract.bad_frame` when an event of that id is on its way already */
  add(entry: OutboxEntry): void {
    const { maxUnacknowledged, maxUnacknowledgedBytes } = this.#limits;
    if (this.#entries.has(entry.id)) {
      throw new AppError("contract.bad_frame", `an event with the id ${entry.id} is on its way already`);
    }
    if (
      this.#entries.size >= maxUnacknowledged ||
      this.#bytes + entry.frame.length > maxUnacknowledgedBytes
    ) {
      throw new AppError("queue.full", `${this.#entries.size} events wait for their acknowledgement`);
    }
    this.#entries.set(entry.id, entry);
    this.#unsent.push(entry);
    this.#bytes += entry.frame.length;
  }

  /** Sent in this session and not settled. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** The oldest entry that was not sent in this session; it stays until it is marked or settled. */
  firstUnsent(): OutboxEntry | undefined {
    for (; this.#unsentHead < this.#unsent.length; this.#unsentHead++) {
      const entry = this.#unsent[this.#unsentHead] as OutboxEntry;
      if (entry.sends === 0 && this.#entries.get(entry.id) === entry) return entry;
    }
    this.#unsent = [];
    this.#unsentHead = 0;
    return undefined;
  }

  /** The entry has been sent once more. */
  markSent(entry: OutboxEntry, nowMs: number): void {
    if (entry.sends === 0) this.#inFlight++;
    entry.sends++;
    entry.sentAtMs = nowMs;
  }

  /** All entries, oldest first; those sent come first. Entries may be settled while it is walked. */
  entries(): IterableIterator<OutboxEntry> {
    return this.#entries.values();
  }

  /** The server has stored every event up to `sequence`. */
  settleUpTo(sequence: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.sequence > sequence) return;
      this.#remove(entry);
      entry.resolve();
    }
  }

  /** The server has stored the event, or refused it. Ids that are not here were settled before. */
  settle(id: string, error?: AppError): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#remove(entry);
    if (error === undefined) entry.resolve();
    else entry.reject(error);
    return true;
  }

  /** A new session begins: what is here was not sent in it. */
  newSession(): void {
    for (const entry of this.#entries.values()) entry.sends = 0;
    this.#unsent = [...this.#entries.values()];
    this.#unsentHead = 0;
    this.#inFlight = 0;
  }

  rejectAll(error: AppError): void {
    for (const entry of [...this.#entries.values()]) this.settle(entry.id, error);
  }

  /** The frame to send now; marks an event as replayed that waited for its first sending longer than `replayedAfterMs`. */
  frameOf(entry: OutboxEntry, nowMs: number, replayedAfterMs: number): Buffer {
    const { message } = entry;
    if (message === undefined) return entry.frame;
    entry.message = undefined;
    if (nowMs - entry.keptAtMs <= replayedAfterMs || message.replayed !== undefined) return entry.frame;
    this.#bytes -= entry.frame.length;
    entry.frame = encodeMcpFrame({ ...message, replayed: true });
    this.#bytes += entry.frame.length;
    return entry.frame;
  }

  #remove(entry: OutboxEntry): void {
    this.#entries.delete(entry.id);
    this.#bytes -= entry.frame.length;
    if (entry.sends > 0) this.#inFlight--;
  }
}
