/** What MQTT remembers of a client beyond the bytes of its connection: the one place where durable sessions will live. */
import type { OutgoingPublish, PublishProperties } from "./codec/writer.js";

/** A message waiting for room in the window; owns its payload. */
export interface QueuedPublish {
  readonly message: OutgoingPublish;
  readonly properties: PublishProperties | undefined;
  readonly acked: AckCallback | undefined;
}

/** Told when a QoS 1 message was acknowledged with this reason, or is given up (undefined). */
export type AckCallback = (reason: number | undefined) => void;

/** State of an incoming QoS 2 packet id: being stored, or stored and PUBREC sent. */
export type IncomingState = "storing" | "received";

/**
 * Made when a client first subscribes, is sent QoS 1, or publishes QoS 2; most publishers never have one.
 */
export class MqttSession {
  /** Filter to granted tag. */
  readonly filters = new Map<string, number>();
  /** Incoming QoS 2 packet ids until PUBREL. */
  readonly incoming = new Map<number, IncomingState>();
  /** Sent with QoS 1 and not acknowledged. */
  readonly inflight = new Map<number, AckCallback | undefined>();
  readonly queue: QueuedPublish[] = [];
  queuedBytes = 0;
  private nextPacketId = 1;

  /** @param window most messages sent and not acknowledged; @param maxQueue most messages waiting behind them */
  constructor(
    readonly window: number,
    readonly maxQueue: number,
    readonly maxQueueBytes: number,
  ) {}

  get windowFull(): boolean {
    return this.inflight.size >= this.window;
  }

  /** A packet id that is not in use; the window is below 65,535, so there always is one. */
  takePacketId(acked: AckCallback | undefined): number {
    let id = this.nextPacketId;
    while (this.inflight.has(id)) id = id === 65_535 ? 1 : id + 1;
    this.nextPacketId = id === 65_535 ? 1 : id + 1;
    this.inflight.set(id, acked);
    return id;
  }

  /** False: the queue is full and the message was not taken. */
  enqueue(entry: QueuedPublish): boolean {
    const bytes = entry.message.payloadEnd - entry.message.payloadStart;
    if (this.queue.length >= this.maxQueue || this.queuedBytes + bytes > this.maxQueueBytes) return false;
    this.queue.push(entry);
    this.queuedBytes += bytes;
    return true;
  }

  dequeue(): QueuedPublish | undefined {
    const entry = this.queue.shift();
    if (entry !== undefined) this.queuedBytes -= entry.message.payloadEnd - entry.message.payloadStart;
    return entry;
  }

  /** Ends every wait for an acknowledgement; returns how many messages were not delivered for certain. */
  giveUp(): number {
    const count = this.inflight.size + this.queue.length;
    for (const acked of this.inflight.values()) acked?.(undefined);
    for (const { acked } of this.queue) acked?.(undefined);
    this.inflight.clear();
    this.queue.length = 0;
    this.queuedBytes = 0;
    return count;
  }
}
