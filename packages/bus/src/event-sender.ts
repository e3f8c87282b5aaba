/** Puts events into the stream, batch by batch, and tells their senders when they are stored. */
import { randomBytes } from "node:crypto";
import { BATCH_TARGET_BYTES, type Channel, type EnvelopeExtras, Stamp } from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { EventSender, EventTicket, SenderCounters, Unsubscribe } from "./api.js";
import { Congestion } from "./congestion.js";
import { drop, senderCounters } from "./counters.js";
import { EventLink, type EventLinkContext, type EventPort, type PublishAnswer } from "./event-link.js";
import { EVENT_BATCH_BYTES, LARGE_PAYLOAD_BYTES, MESSAGE_OVERHEAD_BYTES } from "./links.js";

const TICK_MS = 100;
/** Tags and lengths of one envelope in a batch. */
const FRAMING_BYTES = 16;
/** How long a stop waits for answers. */
const STOP_DEADLINE_MS = 5_000;

/** What carries the batches: NATS, or a test. */
export interface EventTransport extends EventPort {
  onAnswer(listener: (partition: number, token: number, answer: PublishAnswer) => void): Unsubscribe;
  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe;
}

interface Refused {
  readonly tickets: EventTicket[];
  readonly numbers: number[];
}

/** Collects events per partition and hands them to their links once per turn of the event loop. */
export class BatchingEventSender implements EventSender {
  readonly name = "event-sender";
  readonly counters: SenderCounters = senderCounters(() => this.#queued());

  readonly #transport: EventTransport;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stamp: Stamp;
  readonly #congestion = new Congestion();
  readonly #links: EventLink[];
  readonly #dirty: EventLink[] = [];
  readonly #endOfTurn = (): void => this.flush();
  /** Events that no batch takes: told at the end of the turn. */
  readonly #overfull: Refused = { tickets: [], numbers: [] };
  readonly #tooLarge: Refused = { tickets: [], numbers: [] };
  /** Limits of a batch and of a message in this turn; the server sets them. */
  #batchBytes = 0;
  #messageBytes = 0;
  #turnOpen = false;
  #ends: Unsubscribe[] = [];
  #ticking: Timer | undefined;
  #idle: (() => void) | undefined;

  /** @param options.stamp shared with other senders of the process; absent: its own */
  constructor(
    transport: EventTransport,
    options: { partitions: number; clock: Clock; logger: Logger; stamp?: Stamp },
  ) {
    this.#transport = transport;
    this.#stamp = options.stamp ?? new Stamp(randomBytes(10));
    this.#clock = options.clock;
    this.#logger = options.logger;
    const context: EventLinkContext = {
      port: transport,
      clock: this.#clock,
      stamp: this.#stamp,
      counters: this.counters,
      congestion: this.#congestion,
      settle: (tickets, numbers, error) => this.#settle(tickets, numbers, error),
    };
    this.#links = Array.from({ length: options.partitions }, (_, p) => new EventLink(context, p));
  }

  get congested(): boolean {
    return this.#congestion.congested;
  }

  onCongestion(listener: (congested: boolean) => void): Unsubscribe {
    return this.#congestion.onChange(listener);
  }

  async start(): Promise<void> {
    this.#ends = [
      this.#transport.onAnswer((partition, token, answer) => this.#onAnswer(partition, token, answer)),
      this.#transport.onConnectionChange((connected) => {
        if (connected) for (const link of this.#links) link.connected();
      }),
    ];
    this.#ticking = this.#clock.setInterval(() => {
      const nowMs = this.#clock.nowMs();
      for (const link of this.#links) link.tick(nowMs);
    }, TICK_MS);
  }

  async stop(): Promise<void> {
    if (this.#ends.length === 0) return;
    this.flush();
    if (this.#queued() > 0) {
      await new Promise<void>((resolve) => {
        const late = this.#clock.setTimeout(resolve, STOP_DEADLINE_MS);
        this.#idle = () => {
          this.#clock.clear(late);
          resolve();
        };
      });
    }
    this.#clock.clear(this.#ticking);
    for (const end of this.#ends.splice(0)) end();
    const error = new AppError("bus.timeout", "this process ended before the stream had answered");
    for (const link of this.#links) link.abandon(error);
  }

  append(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    ticket: EventTicket,
    number: number,
    extras?: EnvelopeExtras,
  ): void {
    if (!this.#turnOpen) this.#openTurn();
    const link = this.#links[channel.partition]!;
    const bytes = channel.prefix.length + end - start + FRAMING_BYTES;
    const isLarge = bytes >= LARGE_PAYLOAD_BYTES;
    if (isLarge || link.builder.size + bytes > this.#batchBytes) link.seal();
    if (link.isFull || bytes > this.#messageBytes) {
      this.counters.received += 1;
      this.#refuse(link, ticket, number);
      return;
    }
    // What the builder throws for is the caller's to refuse and to count: nothing was received then.
    if (extras === undefined) link.builder.append(channel, source, start, end);
    else link.builder.appendWith(channel, source, start, end, extras);
    this.counters.received += 1;
    link.tickets.push(ticket);
    link.numbers.push(number);
    if (isLarge) link.seal();
    if (link.builder.size >= BATCH_TARGET_BYTES && !link.isBusy) link.flush();
    else if (!link.dirty) {
      link.dirty = true;
      this.#dirty.push(link);
    }
  }

  flush(): void {
    this.#turnOpen = false;
    this.#settleRefused(this.#overfull, "queue.full", "too many events wait for the stream");
    this.#settleRefused(this.#tooLarge, "bus.too_large", "an event is larger than NATS takes");
    for (const link of this.#dirty.splice(0)) if (link.dirty) link.flush();
  }

  #openTurn(): void {
    this.#turnOpen = true;
    this.#stamp.tick(this.#clock.wallUs());
    this.#messageBytes = this.#transport.maxPayloadBytes - MESSAGE_OVERHEAD_BYTES;
    this.#batchBytes = Math.min(EVENT_BATCH_BYTES, this.#messageBytes);
    setImmediate(this.#endOfTurn);
  }

  #refuse(link: EventLink, ticket: EventTicket, number: number): void {
    const list = link.isFull ? this.#overfull : this.#tooLarge;
    list.tickets.push(ticket);
    list.numbers.push(number);
  }

  #settleRefused(list: Refused, code: "queue.full" | "bus.too_large", text: string): void {
    if (list.tickets.length === 0) return;
    const tickets = list.tickets.splice(0);
    drop(this.counters, code, tickets.length);
    this.#settle(tickets, list.numbers.splice(0), new AppError(code, text));
  }

  #onAnswer(partition: number, token: number, answer: PublishAnswer): void {
    const link = this.#links[partition];
    if (link === undefined) return;
    link.answered(token, answer);
    if (!link.dirty && link.builder.count > 0) {
      link.dirty = true;
      this.#dirty.push(link);
      if (!this.#turnOpen) this.#openTurn();
    }
    if (this.#idle !== undefined && this.#queued() === 0) this.#idle();
  }

  /** Tells each run of events of one ticket. */
  #settle(tickets: readonly EventTicket[], numbers: readonly number[], error: AppError | undefined): void {
    let from = 0;
    for (let to = 1; to <= tickets.length; to++) {
      if (to < tickets.length && tickets[to] === tickets[from]) continue;
      try {
        tickets[from]!.settled(numbers, from, to, error);
      } catch (thrown) {
        // The other tickets of the batch must hear of it all the same.
        this.#logger.error({ err: thrown }, "a ticket failed to take its outcome");
      }
      from = to;
    }
  }

  #queued(): number {
    return this.#links.reduce(
      (sum, link) => sum + link.queued,
      this.#overfull.tickets.length + this.#tooLarge.tickets.length,
    );
  }
}
