/** Senders that keep what they are given: the listener's outputs without a bus. */
import type { EventSender, EventTicket, SenderCounters, TelemetrySender } from "@myelin/bus";
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import type { AppError } from "@myelin/kernel";

export interface Taken {
  readonly channel: Channel;
  readonly path: string;
  readonly deviceId: string;
  readonly text: string;
  readonly payload: Buffer;
  readonly extras: EnvelopeExtras | undefined;
  readonly number: number;
}

class Recorder {
  readonly taken: Taken[] = [];
  readonly counters: SenderCounters = { received: 0, forwarded: 0, stored: 0, dropped: {}, queued: () => 0 };
  congested = false;
  private readonly listeners = new Set<(congested: boolean) => void>();

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  flush(): void {}

  onCongestion(listener: (congested: boolean) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  setCongested(congested: boolean): void {
    this.congested = congested;
    for (const listener of this.listeners) listener(congested);
  }

  protected keep(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    extras: EnvelopeExtras | undefined,
    number: number,
  ): void {
    const payload = Buffer.from(source.slice(start, end));
    const { path, deviceId } = channel.head;
    this.taken.push({ channel, path, deviceId, text: payload.toString(), payload, extras, number });
    this.counters.received += 1;
  }
}

export class RecordingTelemetry extends Recorder implements TelemetrySender {
  readonly name = "telemetry";

  append(channel: Channel, source: Uint8Array, start: number, end: number): void {
    this.keep(channel, source, start, end, undefined, 0);
  }

  appendWith(channel: Channel, source: Uint8Array, start: number, end: number, extras: EnvelopeExtras): void {
    this.keep(channel, source, start, end, extras, 0);
  }
}

export class RecordingEvents extends Recorder implements EventSender {
  readonly name = "events";
  private waiting: { ticket: EventTicket; number: number }[] = [];

  append(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    ticket: EventTicket,
    number: number,
    extras?: EnvelopeExtras,
  ): void {
    this.keep(channel, source, start, end, extras, number);
    this.waiting.push({ ticket, number });
  }

  /** Tells every ticket, in runs as the real sender does. */
  settle(error?: AppError): void {
    const waiting = this.waiting;
    this.waiting = [];
    const numbers = waiting.map((entry) => entry.number);
    for (let i = 0; i < waiting.length; ) {
      let end = i + 1;
      while (end < waiting.length && waiting[end]!.ticket === waiting[i]!.ticket) end++;
      waiting[i]!.ticket.settled(numbers, i, end, error);
      i = end;
    }
  }
}
