/** Messages on their way to a client: the window of unacknowledged ones, what waits behind it, and the acknowledgements. */

import { Patience } from "../../core/pressure.js";
import { MAX_PACKET_BYTES } from "./client-offer.js";
import { violation } from "./codec/fault.js";
import { PACKET } from "./codec/packets.table.js";
import {
  NO_ALIAS,
  type OutgoingPublish,
  type PublishProperties,
  publishSize,
  writePublish,
} from "./codec/publish-writer.js";
import { REASON } from "./codec/reason-codes.table.js";
import { writeAck } from "./codec/writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import type { AckCallback, MqttSession } from "./session.js";
import { STATE } from "./state.js";

const EARLY_FLUSH_BYTES = 64 * 1024;

/** What became of a message for the client. */
export type Outcome = "sent" | "queued" | "dropped";

/** Why a message for a client was dropped: label of the counter, so a closed set. */
export type DropReason = "expired" | "too_large" | "slow_client";

export const NO_PROPERTIES: PublishProperties = {
  isText: false,
  contentType: "",
  messageExpiry: 0,
  responseTopic: "",
  correlationData: Buffer.alloc(0),
  subscriptionIds: [],
  userProperties: [],
};

/** The client may hold its half of the handshake already, which goes on to its end: the message expires no more (MQTT-4.3.3-7). */
export function isHalfway({ qos, dup }: Pick<OutgoingPublish, "qos" | "dup">): boolean {
  return qos === 2 && dup;
}

/** Sends it, or keeps a copy until there is room for it. Above QoS 0 a packet identifier of 0 is given one here. */
export function send(
  c: MqttConnection,
  message: OutgoingPublish,
  properties: PublishProperties | undefined,
  acked: AckCallback | undefined,
): Outcome {
  if (c.state !== STATE.ready) return "dropped";
  const { maximumPacketSize } = c.offer;
  if (
    maximumPacketSize < MAX_PACKET_BYTES &&
    publishSize(message, c.version, properties) > maximumPacketSize
  ) {
    // 3.1.2.11.4: behave as if it had been sent.
    return drop(c, "too_large");
  }
  const isSlow = c.waiting > c.scope.limits.maxWriteBufferBytes;
  if (message.qos === 0) {
    if (isSlow) return drop(c, "slow_client");
    write(c, message, properties);
    return "sent";
  }
  const session = c.openSession();
  // Behind those that wait already, or a later message would overtake them.
  if (session.windowFull || isSlow || session.isWaiting) {
    const own = {
      ...message,
      payload: Buffer.from(message.payload.subarray(message.payloadStart, message.payloadEnd)),
      payloadStart: 0,
      payloadEnd: message.payloadEnd - message.payloadStart,
    };
    const queuedAtMs = c.shared.ctx.clock.nowMs();
    if (session.enqueue({ message: own, properties, acked, queuedAtMs })) {
      if (session.isPressing) press(c, session, queuedAtMs);
      return "queued";
    }
    drop(c, "slow_client");
    c.disconnect("slow_client");
    return "dropped";
  }
  const packetId = session.take(message.packetId, message.qos, acked);
  write(c, packetId === message.packetId ? message : { ...message, packetId }, properties);
  return "sent";
}

/** Sends what waits, as far as the window and the transport have room. */
export function sendWaiting(c: MqttConnection): void {
  const { session } = c;
  if (c.state !== STATE.ready) return;
  if (session !== undefined) {
    sendQueued(c, session);
    if (!session.isWaiting) ease(c);
  }
  const { feeds } = c.shared;
  if (feeds.size > 0) feeds.get(c)?.resume();
}

/** What waits is too much for the moment: nobody is given events until it is less, or the client's patience is over. */
function press(c: MqttConnection, session: MqttSession, nowMs: number): void {
  session.patience ??= new Patience(c.shared.config.slowPatience, nowMs);
  c.shared.ctx.subscriptions.pressure.press(session.patience, nowMs);
}

/** The client takes more again, or is gone. */
export function ease(c: MqttConnection): void {
  const patience = c.session?.patience;
  if (patience?.isPressing !== true) return;
  c.shared.ctx.subscriptions.pressure.ease(patience, c.shared.ctx.clock.nowMs());
}

function sendQueued(c: MqttConnection, session: MqttSession): void {
  while (session.isWaiting && !session.windowFull && c.waiting <= c.scope.limits.maxWriteBufferBytes) {
    const { message, properties, acked, queuedAtMs } = session.dequeue()!;
    const remaining = properties === undefined ? 0 : secondsLeft(c, properties.messageExpiry, queuedAtMs);
    const left = remaining < 0 && isHalfway(message) ? 1 : remaining;
    if (left < 0) {
      drop(c, "expired");
      acked?.(REASON.unspecified, false);
      if (session.isHomes(message.packetId)) {
        session.kept!.progress(message.packetId, "acknowledged", REASON.unspecified);
      }
      continue;
    }
    const packetId = session.take(message.packetId, message.qos as 1 | 2, acked);
    write(c, { ...message, packetId }, left === 0 ? properties : { ...properties!, messageExpiry: left });
  }
}

/** What is left of `expiry` seconds; below 0: nothing. 0: it never expires. */
function secondsLeft(c: MqttConnection, expiry: number, sinceMs: number): number {
  if (expiry === 0) return 0;
  const left = expiry - Math.floor((c.shared.ctx.clock.nowMs() - sinceMs) / 1000);
  return left > 0 ? left : -1;
}

function write(c: MqttConnection, message: OutgoingPublish, properties: PublishProperties | undefined): void {
  const out = c.outbox();
  const aliases = c.offer.topicAliasMaximum > 0 ? c.openSession().aliases : undefined;
  let naming = NO_ALIAS;
  if (aliases !== undefined) {
    naming = aliases.of(message.topic);
    if (!naming.known && naming.alias > 0) {
      // The first one carries topic and alias, which may be what makes it too large.
      if (publishSize(message, c.version, properties, naming) > c.offer.maximumPacketSize) naming = NO_ALIAS;
      else aliases.told(message.topic);
    }
  }
  writePublish(out, message, c.version, properties, naming);
  c.session?.patience?.sent(message.payloadEnd - message.payloadStart);
  c.shared.counters.sentMessages += 1;
  // A burst within one turn must not count as slowness of the client.
  if (out.length > EARLY_FLUSH_BYTES || out.length > c.scope.limits.maxWriteBufferBytes >>> 2) c.flush();
}

/** PUBACK of the client; one for nothing, as a client may send that has just lost its last connection, changes nothing. */
export function onPuback(c: MqttConnection, packetId: number, reason: number): void {
  const sent = c.session?.stateOf(packetId);
  if (sent !== undefined && sent.qos === 2) throw violation("order", "PUBACK for a message of QoS 2");
  finish(c, packetId, sent?.acked, reason);
}

/** PUBREC of the client: the message is its own now, unless it refuses. */
export function onPubrec(c: MqttConnection, packetId: number, reason: number): void {
  const { session } = c;
  const sent = session?.stateOf(packetId);
  if (sent !== undefined && sent.qos === 1) throw violation("order", "PUBREC for a message of QoS 1");
  if (reason >= 0x80) {
    finish(c, packetId, sent?.acked, reason);
    return;
  }
  if (session?.isHomes(packetId)) {
    session.release(packetId);
    session.kept!.progress(packetId, "received", reason);
    return;
  }
  if (sent === undefined) {
    // Before MQTT 5 there is no way to say that it means nothing; the client wants to be rid of it.
    const unknown = c.version === 5 ? REASON.packetIdNotFound : REASON.success;
    writeAck(c.outbox(), PACKET.pubrel, packetId, unknown);
    return;
  }
  session!.release(packetId);
  writeAck(c.outbox(), PACKET.pubrel, packetId, REASON.success);
  sent.acked?.(reason, true);
}

/** PUBCOMP of the client. */
export function onPubcomp(c: MqttConnection, packetId: number): void {
  const { session } = c;
  const sent = session?.stateOf(packetId);
  if (sent !== undefined && !sent.released) throw violation("order", "PUBCOMP before PUBREC");
  session?.done(packetId);
  if (session?.isHomes(packetId)) session.kept!.progress(packetId, "completed", REASON.success);
  sendWaiting(c);
}

function finish(c: MqttConnection, packetId: number, acked: AckCallback | undefined, reason: number): void {
  const { session } = c;
  session?.done(packetId);
  acked?.(reason, true);
  if (session?.isHomes(packetId)) session.kept!.progress(packetId, "acknowledged", reason);
  sendWaiting(c);
}

/** Books a message that the client does not get. */
export function drop(c: MqttConnection, reason: DropReason): "dropped" {
  c.shared.ctx.metrics.undelivered.add(`mqtt,${reason}`);
  const session = c.openSession();
  session.dropped ??= new Map();
  session.dropped.set(reason, (session.dropped.get(reason) ?? 0) + 1);
  return "dropped";
}
