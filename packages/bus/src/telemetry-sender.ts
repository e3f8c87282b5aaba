/** Puts telemetry onto the partitions: the producers' end of the telemetry lane. */
import {
  BATCH_TARGET_BYTES,
  type Channel,
  control,
  type EnvelopeExtras,
  Lane,
  type Stamp,
  subjects,
} from "@myelin/contract";
import { type Clock, systemClock, type Timer } from "@myelin/kernel";
import type { Bus, SenderCounters, TelemetrySender, Unsubscribe } from "./api.js";
import { Congestion } from "./congestion.js";
import { senderCounters } from "./counters.js";
import { ACK_INTERVAL_MS, LARGE_PAYLOAD_BYTES } from "./links.js";
import { sharedStamp } from "./shared-stamp.js";
import { TelemetryLink, type TelemetryLinkContext } from "./telemetry-link.js";

/** `partitions` is the deployment's; channels carry the partition they belong to. */
export interface SenderOptions {
  readonly partitions: number;
  readonly clock?: Clock;
  /** Name of the sender in its links; absent: the process's. Each may be used once per bus. */
  readonly sender?: string;
}

/**
 * Each batch costs every hop as much as some fifty messages, so small ones are not sent more often than this. It is what a
 * loaded system adds to a message at most twice, and an idle one never.
 */
const GATHER_MS = 1;

/** A telemetry sender over `bus`. It owns the links of its name and `bus.incarnation`. */
export function createTelemetrySender(bus: Bus, options: SenderOptions): TelemetrySender {
  return new BatchingTelemetrySender(bus, options);
}

class BatchingTelemetrySender implements TelemetrySender {
  readonly name = "telemetry-sender";
  readonly counters: SenderCounters = senderCounters(() => this.#queued());

  readonly #bus: Bus;
  readonly #sender: string;
  readonly #clock: Clock;
  readonly #stamp: Stamp;
  readonly #congestion = new Congestion();
  readonly #links: TelemetryLink[];
  readonly #dirty: TelemetryLink[] = [];
  readonly #inbox: string;
  readonly #endOfTurn = (): void => this.#turnEnded();
  #flushedMs = Number.NEGATIVE_INFINITY;
  #holding: Timer | undefined;
  #turnOpen = false;
  #ends: Unsubscribe[] = [];
  #ticking: Timer | undefined;

  constructor(bus: Bus, options: SenderOptions) {
    this.#bus = bus;
    this.#sender = options.sender ?? bus.instance;
    this.#stamp = sharedStamp(bus);
    this.#clock = options.clock ?? systemClock;
    this.#inbox = bus.newInbox();
    const context: TelemetryLinkContext = {
      bus,
      sender: this.#sender,
      clock: this.#clock,
      stamp: this.#stamp,
      counters: this.counters,
      congestion: this.#congestion,
      inbox: this.#inbox,
    };
    this.#links = Array.from({ length: options.partitions }, (_, p) => new TelemetryLink(context, p));
  }

  get congested(): boolean {
    return this.#congestion.congested;
  }

  onCongestion(listener: (congested: boolean) => void): Unsubscribe {
    return this.#congestion.onChange(listener);
  }

  async start(): Promise<void> {
    this.#ends = [
      this.#bus.subscribe(subjects.linkAck(this.#sender), (data) => this.#onAck(data), { only: true }),
      this.#bus.subscribe(`${this.#inbox}.>`, (_data, subject) => this.#onNobody(subject)),
      this.#bus.onConnectionChange((connected) => {
        if (!connected) for (const link of this.#links) link.disconnected();
      }),
    ];
    this.#ticking = this.#clock.setInterval(() => {
      const nowMs = this.#clock.nowMs();
      for (const link of this.#links) link.tick(nowMs);
    }, ACK_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.flush();
    for (const link of this.#links) link.stopped();
    this.#clock.clear(this.#ticking);
    for (const end of this.#ends.splice(0)) end();
  }

  append(channel: Channel, source: Uint8Array, start: number, end: number): void {
    if (!this.#turnOpen) this.#openTurn();
    const link = this.#links[channel.partition]!;
    if (end - start >= LARGE_PAYLOAD_BYTES) link.flush();
    link.builder.append(channel, source, start, end);
    this.#appended(link);
  }

  appendWith(channel: Channel, source: Uint8Array, start: number, end: number, extras: EnvelopeExtras): void {
    if (!this.#turnOpen) this.#openTurn();
    const link = this.#links[channel.partition]!;
    if (end - start >= LARGE_PAYLOAD_BYTES) link.flush();
    link.builder.appendWith(channel, source, start, end, extras);
    this.#appended(link);
  }

  flush(): void {
    this.#turnOpen = false;
    this.#clock.clear(this.#holding);
    this.#holding = undefined;
    this.#flushedMs = this.#clock.nowMs();
    for (const link of this.#dirty) if (link.dirty) link.flush();
    this.#dirty.length = 0;
  }

  #openTurn(): void {
    this.#turnOpen = true;
    this.#stamp.tick(this.#clock.wallUs());
    setImmediate(this.#endOfTurn);
  }

  /** A first message leaves at once; those that follow within a millisecond leave together. */
  #turnEnded(): void {
    this.#turnOpen = false;
    if (this.#holding !== undefined || this.#dirty.length === 0) return;
    if (this.#clock.nowMs() - this.#flushedMs >= GATHER_MS) this.flush();
    else this.#holding = this.#clock.setTimeout(() => this.flush(), GATHER_MS);
  }

  #appended(link: TelemetryLink): void {
    this.counters.received += 1;
    if (link.builder.size >= BATCH_TARGET_BYTES) link.flush();
    else if (!link.dirty) {
      link.dirty = true;
      this.#dirty.push(link);
    }
  }

  #onAck(data: Uint8Array): void {
    const ack = control.LinkAck.decode(data);
    if (ack.incarnation !== this.#bus.incarnation || ack.lane !== Lane.TELEMETRY || ack.target !== "") return;
    this.#links[ack.partition]?.acknowledged(ack.sequence);
  }

  #onNobody(subject: string): void {
    const [partition, token] = subject.slice(this.#inbox.length + 1).split(".");
    this.#links[Number(partition)]?.nobodyListens(Number(token));
  }

  #queued(): number {
    return this.#links.reduce((sum, link) => sum + link.queued, 0);
  }
}
