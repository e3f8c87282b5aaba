/** What MQTT remembers of a client beyond the bytes of its connection. */

import { Ring } from "@myelin/kernel";
import type { Patience } from "../../core/pressure.js";
import { FIRST_LOCAL_PACKET_ID, type KeptSession } from "../../core/session-home.js";
import type { OutgoingPublish, PublishProperties } from "./codec/publish-writer.js";
import type { ReceivedPublish } from "./receiving.js";
import type { TopicAliases } from "./topic-aliases.js";

/** A message waiting for room in the window; owns its payload. A packet identifier of 0 is given when it is sent. */
export interface QueuedPublish {
  readonly message: OutgoingPublish;
  readonly properties: PublishProperties | undefined;
  readonly acked: AckCallback | undefined;
  /** By the monotonic clock: its message expiry runs on. */
  readonly queuedAtMs: number;
}

/**
 * Told when a message above QoS 0 was acknowledged with this reason, or is given up (undefined), which may be before it was sent. True: somebody
 * else takes care of it.
 */
export type AckCallback = (reason: number | undefined, wasSent: boolean) => boolean | undefined;

/** Set in the number of an event that came with QoS 2; below it is the packet identifier. */
export const QOS2_BIT = 0x10000;

/**
 * State of an incoming QoS 2 packet id: its home is being told of it, being stored, stored and PUBREC sent; or it has begun over an
 * earlier connection and may be stored, as an event with this id.
 */
export type IncomingState = "begins" | "storing" | "received" | { readonly id: Uint8Array };

/** A sent message that holds a place in the client's window. */
export interface Sent {
  readonly qos: 1 | 2;
  /** QoS 2: PUBREC came and PUBREL was sent. */
  readonly released: boolean;
  readonly acked: AckCallback | undefined;
}

// Nearly all messages have nobody who waits for their acknowledgement: they share these.
const SENT: readonly Sent[] = [1, 1, 2].map((qos) => ({
  qos: qos as 1 | 2,
  released: false,
  acked: undefined,
}));
const RELEASED: Sent = { qos: 2, released: true, acked: undefined };

/** This part of the queue may be in use before its client presses. */
const PRESSING_PART = 16;

/** Plain numbers of one client, for operators. */
export interface SessionFigures {
  /** Messages above QoS 0 that were sent and not acknowledged. */
  readonly inflight: number;
  /** Messages that wait for room in the window, and their payload bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  /** Messages for this client that were dropped because it was too slow, too small or too late for them. */
  readonly dropped: number;
  /** The same by reason. */
  readonly droppedBy: ReadonlyMap<string, number>;
}

/** Of a client that was sent nothing above QoS 0 and is no subscriber. */
export const NO_FIGURES: SessionFigures = {
  inflight: 0,
  queued: 0,
  queuedBytes: 0,
  dropped: 0,
  droppedBy: new Map(),
};

/**
 * Made when a client is first sent something above QoS 0 or by an alias, or publishes QoS 2; most clients never have one. Lives and dies
 * with its connection, except for what its home remembers, see `kept`.
 */
export class MqttSession {
  /** Filter to granted tag, of a kept session; other clients have theirs in the listener's table alone. */
  filters: Map<string, number> | undefined = undefined;
  /** Of a kept session: the filters of each SUBSCRIBE that its home has not answered, less those that were unsubscribed meanwhile. */
  adding: Set<Set<string>> | undefined = undefined;
  /** Incoming QoS 2 packet ids until PUBREL; made with the first. */
  incoming: Map<number, IncomingState> | undefined = undefined;
  /** Of a kept session, QoS 2 by packet id: those that wait for its home before they are stored, and those behind them. */
  receiving: Map<number, ReceivedPublish> | undefined = undefined;
  receivingBytes = 0;
  /** Messages of QoS 1 that have waited there. */
  receivedBehind = 0;
  /** Set where the session outlives its connection. */
  kept: KeptSession | undefined = undefined;
  /** Set where the client takes topic aliases. */
  aliases: TopicAliases | undefined = undefined;
  /** By reason; made with the first. */
  dropped: Map<string, number> | undefined = undefined;
  /** Made when too much waits for the client for the first time. */
  patience: Patience | undefined = undefined;
  queuedBytes = 0;
  private sent: Map<number, Sent> | undefined = undefined;
  private queue: Ring<QueuedPublish> | undefined = undefined;
  private nextPacketId = 1;

  /** @param window most messages sent and not acknowledged; @param maxQueue most messages waiting behind them */
  constructor(
    readonly window: number,
    readonly maxQueue: number,
    readonly maxQueueBytes: number,
  ) {}

  get windowFull(): boolean {
    return this.sent !== undefined && this.sent.size >= this.window;
  }

  get isWaiting(): boolean {
    return this.queue !== undefined && this.queue.length > 0;
  }

  /** Enough waits that no more should come for now; far from what the queue can hold, and so little that sending it takes no time. */
  get isPressing(): boolean {
    return (
      this.queued * PRESSING_PART > this.maxQueue || this.queuedBytes * PRESSING_PART > this.maxQueueBytes
    );
  }

  get isHalfFull(): boolean {
    return this.queued * 2 >= this.maxQueue || this.queuedBytes * 2 >= this.maxQueueBytes;
  }

  get inflight(): number {
    return this.sent?.size ?? 0;
  }

  get queued(): number {
    return this.queue?.length ?? 0;
  }

  figures(): SessionFigures {
    const droppedBy = this.dropped ?? NO_FIGURES.droppedBy;
    let dropped = 0;
    for (const count of droppedBy.values()) dropped += count;
    return {
      inflight: this.inflight,
      queued: this.queued,
      queuedBytes: this.queuedBytes,
      dropped,
      droppedBy,
    };
  }

  stateOf(packetId: number): Sent | undefined {
    return this.sent?.get(packetId);
  }

  /** Takes a place in the window. @param given by the session's home; 0: an identifier that is not in use */
  take(given: number, qos: 1 | 2, acked: AckCallback | undefined): number {
    this.sent ??= new Map();
    const id = given === 0 ? this.freeId(this.sent) : given;
    this.sent.set(id, acked === undefined ? SENT[qos]! : { qos, released: false, acked });
    return id;
  }

  /** QoS 2: the client has the message, its place in the window stays taken until PUBCOMP. */
  release(packetId: number): void {
    this.sent ??= new Map();
    this.sent.set(packetId, RELEASED);
  }

  /** The place in the window is free again. */
  done(packetId: number): void {
    this.sent?.delete(packetId);
  }

  /** False: the queue is full and the message was not taken. */
  enqueue(entry: QueuedPublish): boolean {
    this.queue ??= new Ring();
    const bytes = entry.message.payloadEnd - entry.message.payloadStart;
    // One message goes beyond it: it may be as large as the whole of it.
    if (this.queue.length >= this.maxQueue || this.queuedBytes >= this.maxQueueBytes) return false;
    this.queue.push(entry);
    this.queuedBytes += bytes;
    return true;
  }

  dequeue(): QueuedPublish | undefined {
    const entry = this.queue?.shift();
    if (entry !== undefined) this.queuedBytes -= entry.message.payloadEnd - entry.message.payloadStart;
    return entry;
  }

  /** Ends every wait for an acknowledgement; returns how many messages were not delivered for certain, those of its home and of who takes them over not counted. */
  giveUp(): number {
    let count = 0;
    for (const [id, { released, acked }] of this.sent ?? []) {
      const isCaredFor = acked?.(undefined, true) === true || released || this.isHomes(id);
      if (!isCaredFor) count += 1;
    }
    for (let next = this.dequeue(); next !== undefined; next = this.dequeue()) {
      const isCaredFor = next.acked?.(undefined, false) === true || this.isHomes(next.message.packetId);
      if (!isCaredFor) count += 1;
    }
    this.sent = this.queue = undefined;
    this.queuedBytes = 0;
    return count;
  }

  /** Was the identifier given by the session's home? */
  isHomes(packetId: number): boolean {
    return this.kept !== undefined && packetId > 0 && packetId < FIRST_LOCAL_PACKET_ID;
  }

  /** The window is smaller than the range, so there always is one. */
  private freeId(sent: ReadonlyMap<number, Sent>): number {
    const first = this.kept === undefined ? 1 : FIRST_LOCAL_PACKET_ID;
    let id = Math.max(first, this.nextPacketId);
    while (sent.has(id)) id = id === 65_535 ? first : id + 1;
    this.nextPacketId = id === 65_535 ? first : id + 1;
    return id;
  }
}
