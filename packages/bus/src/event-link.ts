/** One partition of the event sender: one publish on the way, the next batch growing behind it. */
import {
  BatchBuilder,
  BatchView,
  encodeOrigin,
  HopHeader,
  Lane,
  type LinkIdentity,
  type Stamp,
} from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { EventTicket, SenderCounters } from "./api.js";
import type { Congestion } from "./congestion.js";
import { drop } from "./counters.js";
import { EVENT_WINDOW_BYTES, MESSAGE_OVERHEAD_BYTES } from "./links.js";

/** A publish without an answer is repeated after this. */
const ANSWER_TIMEOUT_MS = 5_000;
/** A stream that says that it is not there yet is asked again after this. */
const UNAVAILABLE_PAUSE_MS = 250;
/** A stream that refuses is left alone for this long: refusing costs it as much as storing, and it needs its strength to get empty. */
const REFUSED_PAUSE_MS = 100;

/** What became of one publish. `again`: nothing was stored and asking once more is right. */
export type PublishAnswer =
  | { readonly kind: "stored" | "again" }
  | { readonly kind: "refused"; readonly error: AppError };

/** The way to the stream, so that a link can be tested without NATS. */
export interface EventPort {
  readonly sender: string;
  readonly incarnation: number;
  readonly connected: boolean;
  readonly maxPayloadBytes: number;
  /** False: not sent. The answer comes to `EventLink.answered` with the same token. */
  publish(partition: number, token: number, data: Buffer, messageId: string): boolean;
}

interface Batch {
  sequence: number;
  firstOrdinal: number;
  readonly data: Buffer;
  readonly tickets: EventTicket[];
  readonly numbers: number[];
  messageId: string;
  attempts: number;
  /** Token of the latest attempt. */
  token: number;
  /** When the next attempt is due. */
  dueMs: number;
  /** Why it cannot be sent at all. */
  error: AppError | undefined;
}

/** What the links of a sender share. */
export interface EventLinkContext {
  readonly port: EventPort;
  readonly clock: Clock;
  readonly stamp: Stamp;
  readonly counters: SenderCounters;
  readonly congestion: Congestion;
  /** Tells the tickets of one batch. */
  settle(tickets: readonly EventTicket[], numbers: readonly number[], error: AppError | undefined): void;
}

export class EventLink {
  readonly builder: BatchBuilder;
  /** Waits for the end of the turn. */
  dirty = false;
  tickets: EventTicket[] = [];
  numbers: number[] = [];

  readonly #context: EventLinkContext;
  readonly #identity: LinkIdentity;
  readonly #partition: number;
  #onTheWay: Batch | undefined;
  readonly #waiting: Batch[] = [];
  #waitingBytes = 0;
  #isPaused = false;
  #pausedUntilMs = 0;
  #tokens = 0;
  #refusals = 0;

  constructor(context: EventLinkContext, partition: number) {
    const { sender, incarnation } = context.port;
    this.#context = context;
    this.#partition = partition;
    this.#identity = { sender, incarnation, partition, lane: Lane.EVENT, target: "", targetInstance: "" };
    this.builder = new BatchBuilder(this.#identity, context.stamp);
  }

  /** Messages without an answer. */
  get queued(): number {
    let count = this.builder.count + (this.#onTheWay?.tickets.length ?? 0);
    for (const batch of this.#waiting) count += batch.tickets.length;
    return count;
  }

  /** Bytes that wait or are on the way. */
  get bytes(): number {
    return this.builder.size + this.#waitingBytes + (this.#onTheWay?.data.length ?? 0);
  }

  /** True when the link must not take another message. */
  get isFull(): boolean {
    return this.#waitingBytes >= 2 * EVENT_WINDOW_BYTES;
  }

  /** True while a publish has no answer: what is appended meanwhile grows into one batch. */
  get isBusy(): boolean {
    return this.#onTheWay !== undefined || this.#isPaused;
  }

  /** Sends what was appended, or lets it grow while the batch before it is being stored. */
  flush(): void {
    this.dirty = false;
    if (!this.isBusy) this.seal();
    this.#sendNext();
  }

  /** Closes the batch, so that what comes next is in another one. */
  seal(): void {
    const { sequence, ordinal: firstOrdinal } = this.builder;
    const data = this.builder.finish();
    if (data === undefined) return;
    const { tickets, numbers } = this;
    this.tickets = [];
    this.numbers = [];
    this.#waitingBytes += data.length;
    const rest = { messageId: "", attempts: 0, token: -1, dueMs: 0, error: undefined };
    this.#waiting.push({ sequence, firstOrdinal, data, tickets, numbers, ...rest });
  }

  /** The stream's answer to the attempt `token`. */
  answered(token: number, answer: PublishAnswer): void {
    const batch = this.#onTheWay;
    if (batch === undefined || token < batch.token - batch.attempts + 1 || token > batch.token) return;
    // "Stored" holds whichever attempt it answers. Of an earlier attempt, anything else is overtaken by the later one.
    if (answer.kind === "stored") this.#settle(batch, undefined);
    else if (token !== batch.token) return;
    else if (answer.kind === "refused") this.#settle(batch, answer.error);
    else batch.dueMs = this.#context.clock.nowMs() + UNAVAILABLE_PAUSE_MS;
  }

  /** The connection is back: what was on the way may be lost, so it is repeated at once. */
  connected(): void {
    this.#isPaused = false;
    if (this.#onTheWay === undefined) this.flush();
    else this.#attempt(this.#onTheWay);
  }

  /** Called ten times a second. */
  tick(nowMs: number): void {
    const batch = this.#onTheWay;
    if (this.#isPaused && nowMs >= this.#pausedUntilMs) {
      this.#isPaused = false;
      this.flush();
    }
    if (batch === undefined) return;
    if (batch.error !== undefined) {
      this.#settle(batch, batch.error);
      // Nothing may come any more that would end a turn.
      this.flush();
    } else if (nowMs >= batch.dueMs) this.#attempt(batch);
  }

  /** The end of the sender: whatever has no answer is reported as such. */
  abandon(error: AppError): void {
    this.seal();
    const left = this.#onTheWay === undefined ? [] : [this.#onTheWay];
    left.push(...this.#waiting.splice(0));
    this.#onTheWay = undefined;
    this.#waitingBytes = 0;
    for (const batch of left) this.#report(batch, error);
    this.noteCongestion();
  }

  noteCongestion(): void {
    this.#context.congestion.update(this, this.bytes, EVENT_WINDOW_BYTES);
  }

  #sendNext(): void {
    const batch = this.isBusy ? undefined : this.#waiting.shift();
    if (batch !== undefined) {
      this.#waitingBytes -= batch.data.length;
      this.#onTheWay = batch;
      const { sender, incarnation } = this.#context.port;
      // A number that a refusal has given back is used for other content, which needs another id.
      const use = this.#refusals === 0 ? "" : `.${this.#refusals}`;
      batch.messageId = `${sender}.${incarnation}.${this.#partition}.${batch.sequence}${use}`;
      this.#attempt(batch);
    }
    this.noteCongestion();
  }

  #attempt(batch: Batch): void {
    const { port, clock } = this.#context;
    batch.dueMs = clock.nowMs() + ANSWER_TIMEOUT_MS;
    if (port.connected && batch.data.length + MESSAGE_OVERHEAD_BYTES > port.maxPayloadBytes) {
      const text = `a batch of ${batch.data.length} bytes is over NATS's limit of ${port.maxPayloadBytes}`;
      // Reported by `tick`: a ticket is never told within `append`.
      batch.error = new AppError("bus.too_large", text);
      return;
    }
    if (!port.publish(this.#partition, this.#tokens, batch.data, batch.messageId)) {
      // NATS is away: `connected` repeats it. Or too much waits to be written: soon there is room.
      batch.dueMs = clock.nowMs();
      return;
    }
    batch.token = this.#tokens++;
    batch.attempts += 1;
  }

  #settle(batch: Batch, error: AppError | undefined): void {
    this.#onTheWay = undefined;
    if (error !== undefined) {
      this.#giveBack(batch);
      this.#isPaused = error.code !== "bus.too_large";
      this.#pausedUntilMs = this.#context.clock.nowMs() + REFUSED_PAUSE_MS;
    }
    this.#report(batch, error);
    // What is still open goes at the end of the turn, so that everything that arrives until then goes along.
    this.#sendNext();
  }

  #report(batch: Batch, error: AppError | undefined): void {
    const { counters } = this.#context;
    if (error === undefined) counters.stored += batch.tickets.length;
    else drop(counters, error.code, batch.tickets.length);
    this.#context.settle(batch.tickets, batch.numbers, error);
  }

  /** A refused batch's numbers go to the next one, so that the link shows no gap: nothing after it was published yet. */
  #giveBack(batch: Batch): void {
    this.#refusals += 1;
    // Where an earlier attempt had no answer, it might still be stored: its number is not used twice.
    let sequence = batch.attempts <= 1 ? batch.sequence : batch.sequence + 1;
    let ordinal = batch.firstOrdinal;
    const at = encodeOrigin(this.#identity.sender, this.#identity.incarnation).length;
    const header = new HopHeader(this.#identity);
    for (const next of this.#waiting) {
      const { flags, epoch, count } = new BatchView().reset(next.data).hop;
      next.sequence = sequence++;
      next.firstOrdinal = ordinal;
      header.patch(next.data, at, { sequence: next.sequence, firstOrdinal: ordinal, count, flags, epoch });
      ordinal += count;
    }
    this.builder.sequence = sequence;
    this.builder.ordinal = ordinal;
  }
}
