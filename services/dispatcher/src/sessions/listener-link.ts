/** From a home to the connections of one listener: messages and signals, each once and in order. */
import { OrderedCalls } from "@myelin/bus";
import { BATCH_FLAGS, envelope, Lane, session as wire } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { HolderLink, Session } from "./session.js";

export interface ListenerLinkOptions {
  readonly listener: string;
  readonly incarnation: number;
  readonly partition: number;
  readonly epoch: number;
  /** Of this link, among all of its home. */
  readonly number: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly request: (data: Uint8Array) => Promise<Uint8Array>;
}

/** What goes in one call. */
interface Parcel {
  readonly records: Buffer[];
  readonly recipients: number[];
  readonly connections: number[];
  readonly packetIds: number[];
  readonly flags: number[];
  readonly tags: number[];
  readonly signalConnections: number[];
  readonly signals: wire.SignalKind[];
  readonly signalValues: number[];
  bytes: number;
}

const PARCEL_BYTES = 256 * 1024;
/** Beyond it messages of QoS 0 are dropped; those above are bounded by the windows of their clients. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
const RECIPIENT_BYTES = 16;

/** One incarnation of a listener, as one home knows it. */
export class ListenerLink implements HolderLink {
  readonly key: string;
  /** Sessions that its connections hold, by the number of the connection. */
  readonly sessions = new Map<number, Session>();
  /** When it was taken for gone; 0: it is there. By the monotonic clock. */
  goneAtMs = 0;
  private readonly parcels: Parcel[] = [];
  private waitingBytes = 0;
  private readonly calls: OrderedCalls;

  constructor(private readonly options: ListenerLinkOptions) {
    this.key = linkKey(options.listener, options.incarnation);
    this.calls = new OrderedCalls({
      clock: options.clock,
      request: options.request,
      take: (sequence) => this.take(sequence),
      onDefect: (err) =>
        options.log.error({ err, listener: options.listener }, "a listener cannot take messages, will retry"),
    });
  }

  get listener(): string {
    return this.options.listener;
  }

  get incarnation(): number {
    return this.options.incarnation;
  }

  /** Too much waits: messages that may be dropped should be. */
  get isFull(): boolean {
    return this.waitingBytes > MAX_WAITING_BYTES;
  }

  /** A message for a connection. The same record for several connections in a row is sent once. */
  message(
    record: Buffer,
    connection: number,
    packetId: number,
    qos: number,
    dup: boolean,
    tags: readonly number[],
  ): void {
    let parcel = this.parcels.at(-1);
    const goesOn = parcel !== undefined && parcel.records.at(-1) === record && isOpen(parcel);
    if (!goesOn) {
      if (parcel === undefined || !isOpen(parcel) || parcel.bytes + record.length > PARCEL_BYTES) {
        parcel = this.begin();
      }
      parcel.records.push(record);
      parcel.recipients.push(0);
      this.grow(parcel, record.length);
    }
    const into = parcel!;
    into.recipients[into.recipients.length - 1]! += 1;
    into.connections.push(connection);
    into.packetIds.push(packetId);
    into.flags.push(qos + (dup ? 4 : 0) + tags.length * 8);
    for (const tag of tags) into.tags.push(tag);
    this.grow(into, RECIPIENT_BYTES);
    this.calls.kick();
  }

  signal(connection: number, kind: wire.SignalKind, value = 0): void {
    const last = this.parcels.at(-1);
    const parcel = last === undefined || last.bytes > PARCEL_BYTES ? this.begin() : last;
    parcel.signalConnections.push(connection);
    parcel.signals.push(kind);
    parcel.signalValues.push(value);
    this.grow(parcel, RECIPIENT_BYTES);
    this.calls.kick();
  }

  close(): void {
    this.calls.close();
    this.parcels.length = 0;
    this.waitingBytes = 0;
  }

  private begin(): Parcel {
    const parcel: Parcel = {
      records: [],
      recipients: [],
      connections: [],
      packetIds: [],
      flags: [],
      tags: [],
      signalConnections: [],
      signals: [],
      signalValues: [],
      bytes: 0,
    };
    this.parcels.push(parcel);
    return parcel;
  }

  private grow(parcel: Parcel, bytes: number): void {
    parcel.bytes += bytes;
    this.waitingBytes += bytes;
  }

  private take(sequence: number): Uint8Array | undefined {
    const parcel = this.parcels.shift();
    if (parcel === undefined) return undefined;
    this.waitingBytes -= parcel.bytes;
    const { partition, epoch, incarnation, number: link } = this.options;
    const { records, bytes: _, ...lists } = parcel;
    const batch =
      records.length === 0 ? EMPTY : Buffer.concat([hopOf(partition, epoch, records.length), ...records]);
    return wire.SessionDeliveries.encode({
      partition,
      epoch,
      incarnation,
      link,
      sequence,
      batch,
      ...lists,
    }).finish();
  }
}

const EMPTY = Buffer.alloc(0);

/** Signals come behind the messages of their parcel, so a message behind a signal begins another one. */
function isOpen(parcel: Parcel): boolean {
  return parcel.signals.length === 0 && parcel.bytes <= PARCEL_BYTES;
}

function hopOf(partition: number, epoch: number, count: number): Uint8Array {
  const hop = envelope.Hop.create({
    partition,
    epoch,
    count,
    lane: Lane.EVENT,
    flags: BATCH_FLAGS.expiry | BATCH_FLAGS.headers,
  });
  return envelope.Batch.encode({ origin: undefined, hop, envelopes: [] }).finish();
}

/** A start of a listener. */
export function linkKey(listener: string, incarnation: number): string {
  return `${listener}\0${incarnation}`;
}
