/** Brings events to the server: sends what was not sent in this session, and, over datagrams, sends again what may be lost. */
import type { McpMessageInit } from "@myelin/contract";
import { AppError, type Timer } from "@myelin/kernel";
import type { Connection } from "./connection.js";
import type { ResolvedOptions } from "./options.js";
import { Outbox, type OutboxEntry } from "./outbox.js";

// Datagrams on their way without an acknowledgement; the rest waits, so that a slow server is not flooded.
const DATAGRAM_WINDOW = 256;
const LONGEST_RETRANSMIT_FACTOR = 8;

/** One client's events, over all its connections. */
export class EventDelivery {
  readonly #options: ResolvedOptions;
  readonly #outbox: Outbox;
  #connection: Connection | undefined;
  #timer: Timer | undefined;
  /** The connection's buffer is full; `flush` waits for `drained`. */
  #blocked = false;

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options);
  }

  get size(): number {
    return this.#outbox.size;
  }

  /**
   * Keeps an event until it is settled, and sends it as soon as it can be.
   * @throws AppError see `McpClient.send`
   */
  send(
    message: McpMessageInit & { readonly id: string; readonly sequence: number },
    frame: Buffer,
  ): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#outbox.add({
      id: message.id,
      sequence: message.sequence,
      frame,
      keptAtMs: nowMs,
      expiresAtMs: message.ttlMs ? nowMs + message.ttlMs : Number.POSITIVE_INFINITY,
      sends: 0,
      sentAtMs: 0,
      message,
      resolve,
      reject,
    });
    this.#flush();
    return promise;
  }

  /** A session begins, or goes on, over a new connection: what it has not stored is sent, oldest first. */
  connected(connection: Connection): void {
    const { welcome } = connection;
    this.#connection = connection;
    this.#blocked = false;
    this.#outbox.newSession();
    if (welcome.resumed) this.#outbox.settleUpTo(welcome.lastStoredSequence);
    this.#flush();
  }

  disconnected(): void {
    this.#connection = undefined;
    this.#options.clock.clear(this.#timer);
    this.#timer = undefined;
  }

  drained(): void {
    this.#blocked = false;
    this.#flush();
  }

  acknowledged(ids: readonly string[], sequence: number): void {
    if (sequence > 0) this.#outbox.settleUpTo(sequence);
    for (const id of ids) this.#outbox.settle(id);
    this.#flush();
  }

  /** False when no event of that id is on its way. */
  refused(id: string, error: AppError): boolean {
    const known = this.#outbox.settle(id, error);
    this.#flush();
    return known;
  }

  rejectAll(error: AppError): void {
    this.#outbox.rejectAll(error);
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#blocked) return;
    const { clock, replayedAfterMs } = this.#options;
    const nowMs = clock.nowMs();
    const window = connection.reliable ? Number.POSITIVE_INFINITY : DATAGRAM_WINDOW;
    while (!this.#blocked && this.#outbox.inFlight < window) {
      const entry = this.#outbox.firstUnsent();
      if (entry === undefined) break;
      if (this.#givenUp(entry, connection, nowMs)) continue;
      const frame = this.#outbox.frameOf(entry, nowMs, replayedAfterMs);
      this.#outbox.markSent(entry, nowMs);
      this.#blocked = !connection.sendFrame(frame);
    }
    if (!connection.reliable && this.#outbox.inFlight > 0) this.#watch(connection);
  }

  #watch(connection: Connection): void {
    const { clock, retransmitMs } = this.#options;
    this.#timer ??= clock.setTimeout(() => {
      this.#timer = undefined;
      this.#sendAgain(connection);
      this.#flush();
    }, retransmitMs / 2);
  }

  #sendAgain(connection: Connection): void {
    const { clock, retransmitMs } = this.#options;
    const nowMs = clock.nowMs();
    for (const entry of this.#outbox.entries()) {
      if (entry.sends === 0) return;
      const factor = Math.min(2 ** (entry.sends - 1), LONGEST_RETRANSMIT_FACTOR);
      if (nowMs - entry.sentAtMs < retransmitMs * factor || this.#givenUp(entry, connection, nowMs)) continue;
      this.#outbox.markSent(entry, nowMs);
      connection.sendFrame(entry.frame);
    }
  }

  /** Rejects an event that nobody wants any more, or that this server would close the connection for. */
  #givenUp(entry: OutboxEntry, connection: Connection, nowMs: number): boolean {
    const { id, frame } = entry;
    if (entry.expiresAtMs <= nowMs) {
      return this.#outbox.settle(
        id,
        new AppError("operation.timeout", `the event ${id} has outlived its TTL`),
      );
    }
    const error = connection.tooLarge(frame);
    return error !== undefined && this.#outbox.settle(id, error);
  }
}
