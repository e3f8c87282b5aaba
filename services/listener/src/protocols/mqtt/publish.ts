/** PUBLISH from a client: from the packet's bytes into the batch of its lane, and the acknowledgements back. */
import { isUtf8 } from "node:buffer";
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import type { AppError, Clock, ErrorCode } from "@myelin/kernel";
import type { LaneIndex } from "../../core/channel-table.js";
import { kindOf } from "../../core/ingress.js";
import { traceOf } from "../../core/ingress-trace.js";
import { MqttFault, malformed, violation } from "./codec/fault.js";
import { PACKET, PROPERTY } from "./codec/packets.table.js";
import { AT, type Properties, readProperties } from "./codec/properties.js";
import { isText } from "./codec/reader.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import { writeAck } from "./codec/writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { isReceiving, receiveBehind, receiveKept } from "./receiving.js";
import { type IncomingState, QOS2_BIT } from "./session.js";

const RETAINED: EnvelopeExtras = { retain: true };
const QOS2: EnvelopeExtras = { qos: 2 };
const QOS2_RETAINED: EnvelopeExtras = { qos: 2, retain: true };

/** QoS 1 is not written: the event lane of an MQTT channel says it. */
function plainExtras(qos: number, retain: boolean): EnvelopeExtras | undefined {
  if (qos === 2) return retain ? QOS2_RETAINED : QOS2;
  return retain ? RETAINED : undefined;
}

/**
 * The hot path. `buf[start, end)` is the packet's body.
 * @throws MqttFault for what MQTT does not allow
 */
export function onPublish(c: MqttConnection, buf: Buffer, first: number, start: number, end: number): void {
  if (end - start < 2) throw malformed("truncated", "PUBLISH without a topic");
  const topicStart = start + 2;
  const topicEnd = topicStart + ((buf[start]! << 8) | buf[start + 1]!);
  if (topicEnd > end) throw malformed("truncated", "the topic runs over the end of PUBLISH");
  const flags = first & 0x0f;
  if (flags === 0 && topicEnd > topicStart) {
    let at = topicEnd;
    if (c.version === 5) {
      if (buf[at] !== 0 || at >= end) {
        slowPublish(c, buf, flags, topicStart, topicEnd, end);
        return;
      }
      at += 1;
    }
    const ingress = c.shared.ctx.ingress;
    const channel = ingress.channelFor(c, 0, buf, topicStart, topicEnd);
    if (channel === undefined) refused(c, 0, 0, 0, buf.subarray(topicStart, topicEnd));
    else ingress.telemetry(channel, buf, at, end);
    return;
  }
  slowPublish(c, buf, flags, topicStart, topicEnd, end);
}

/** QoS 1 and 2, RETAIN, and everything that has properties. */
function slowPublish(
  c: MqttConnection,
  buf: Buffer,
  flags: number,
  topicStart: number,
  topicEnd: number,
  end: number,
): void {
  const qos = (flags >> 1) & 3;
  if (qos === 3) throw malformed("qos", "PUBLISH with QoS 3");
  if (qos === 0 && (flags & 8) !== 0) throw malformed("flags", "DUP in a PUBLISH of QoS 0");
  let at = topicEnd;
  let packetId = 0;
  if (qos > 0) {
    if (end - at < 2) throw malformed("truncated", "PUBLISH without its packet identifier");
    packetId = (buf[at]! << 8) | buf[at + 1]!;
    if (packetId === 0) throw violation("packet_id", "packet identifier 0");
    at += 2;
  }
  const retain = (flags & 1) !== 0;
  if (c.version < 5) {
    take(c, buf, topicStart, topicEnd, at, end, qos, packetId, plainExtras(qos, retain), "");
    return;
  }
  if (at >= end) throw malformed("truncated", "PUBLISH without properties");
  let topic = buf;
  let from = topicStart;
  let to = topicEnd;
  let extras = plainExtras(qos, retain);
  let contentType = "";
  let isNoText = false;
  if (buf[at] === 0) at += 1;
  else {
    let alias = 0;
    if (buf[at] === 3 && buf[at + 1] === PROPERTY.topicAlias && end - at >= 4) {
      alias = (buf[at + 2]! << 8) | buf[at + 3]!;
      if (alias === 0) throw new MqttFault("alias", REASON.topicAliasInvalid, "topic alias 0");
      at += 4;
    } else {
      const reader = c.shared.reader.reset(buf, at, end);
      const properties = readProperties(reader, AT.publish);
      at = reader.at;
      alias = properties.topicAlias ?? 0;
      if (properties.topicAlias === 0) {
        throw new MqttFault("alias", REASON.topicAliasInvalid, "topic alias 0");
      }
      // Of a packet that is refused for it the alias counts all the same.
      isNoText = properties.payloadFormat === 1 && !isUtf8(buf.subarray(at, end));
      contentType = properties.contentType ?? "";
      extras = extrasOf(c.shared.ctx.clock, qos, retain, properties);
    }
    if (alias > 0) {
      topic = aliased(c, alias, buf, topicStart, topicEnd);
      if (topic !== buf) {
        from = 0;
        to = topic.length;
      }
    }
  }
  if (isNoText) refuseText(c, qos, packetId);
  else take(c, topic, from, to, at, end, qos, packetId, extras, contentType, buf);
}

/** Stores the alias when a topic came with it; returns the bytes the topic lies in. */
function aliased(c: MqttConnection, alias: number, buf: Buffer, start: number, end: number): Buffer {
  if (alias > c.shared.config.topicAliasMaximum) {
    throw new MqttFault("alias", REASON.topicAliasInvalid, `topic alias ${alias} is above the maximum`);
  }
  c.aliases ??= [];
  if (end > start) {
    const known = c.aliases[alias];
    // Senders repeat topic and alias together; equal bytes need no copy.
    if (known === undefined || known.compare(buf, start, end) !== 0) {
      c.aliases[alias] = Buffer.from(buf.subarray(start, end));
    }
    return buf;
  }
  const topic = c.aliases[alias];
  if (topic === undefined) throw violation("alias", `topic alias ${alias} stands for nothing yet`);
  return topic;
}

function take(
  c: MqttConnection,
  topic: Buffer,
  topicStart: number,
  topicEnd: number,
  payloadStart: number,
  end: number,
  qos: number,
  packetId: number,
  extras: EnvelopeExtras | undefined,
  contentType: string,
  buf: Buffer = topic,
): void {
  if (topicEnd === topicStart) throw violation("topic", "PUBLISH without topic and alias");
  const ingress = c.shared.ctx.ingress;
  const lane: LaneIndex = qos === 0 ? 0 : 1;
  if (qos === 2 && isDoubled(c, packetId)) return;
  if (qos > 0) countUnacknowledged(c);
  // With a content type the head has more than the path in it; the plain channel still answers for admission.
  let channel = ingress.channelFor(c, lane, topic, topicStart, topicEnd);
  if (channel === undefined) {
    refused(c, lane, qos, packetId, topic.subarray(topicStart, topicEnd));
    return;
  }
  if (extras?.retain === true && c.shared.ctx.retained.isFull && end > payloadStart) {
    refuseRetained(c, lane, qos, packetId);
    return;
  }
  if (contentType !== "") channel = typedChannel(c, lane, channel, contentType);
  if (lane === 0) {
    if (extras === undefined) ingress.telemetry(channel, buf, payloadStart, end);
    else ingress.telemetryWith(channel, buf, payloadStart, end, extras);
    return;
  }
  const { session } = c;
  if (session?.kept !== undefined && (qos === 2 || isReceiving(session))) {
    const arrival = { channel, buf, start: payloadStart, end, extras };
    if (qos === 2) receiveKept(c, session.kept, packetId, arrival);
    else receiveBehind(c, session, packetId, arrival);
    return;
  }
  const number = qos === 2 ? packetId | QOS2_BIT : packetId;
  if (qos === 2) receiving(c).set(packetId, "storing");
  ingress.event(channel, buf, payloadStart, end, c, number, extras);
}

function receiving(c: MqttConnection): Map<number, IncomingState> {
  const session = c.openSession();
  session.incoming ??= new Map();
  return session.incoming;
}

/** The channel of a message with a content type. */
function typedChannel(c: MqttConnection, lane: LaneIndex, plain: Channel, contentType: string): Channel {
  const path = plain.head.path;
  const key = {
    identity: c.identity,
    path,
    kind: kindOf(path, lane),
    protocol: c.protocol,
    port: c.port,
    contentType,
  };
  return c.shared.ctx.ingress.channelOf(key, c);
}

/**
 * A QoS 2 message whose id is not released yet was taken before: it is acknowledged again, never taken twice. One that may have been
 * stored over an earlier connection is taken, under the id it has.
 */
function isDoubled(c: MqttConnection, packetId: number): boolean {
  const state = c.session?.incoming?.get(packetId);
  if (state === undefined || typeof state === "object") return false;
  if (state === "received") writeAck(c.outbox(), PACKET.pubrec, packetId, REASON.success);
  c.shared.ctx.ingress.counts.duplicates += 1;
  return true;
}

function countUnacknowledged(c: MqttConnection): void {
  c.unacknowledged += 1;
  if (c.version === 5 && c.unacknowledged > c.shared.config.receiveMaximum) {
    throw new MqttFault(
      "receive_maximum",
      REASON.receiveMaximumExceeded,
      `more than ${c.shared.config.receiveMaximum} messages without an acknowledgement`,
    );
  }
}

/** The topic is malformed, or the client may not publish there. */
function refused(c: MqttConnection, lane: LaneIndex, qos: number, packetId: number, topic: Buffer): void {
  const code = c.shared.ctx.ingress.refusal;
  if (code === "protocol.malformed") {
    if (!isText(topic, 0, topic.length)) throw malformed("topic", "a topic that is no UTF-8 or holds NUL");
    throw new MqttFault("topic", REASON.topicNameInvalid, "a topic with a wildcard");
  }
  c.shared.ctx.ingress.refuse(lane, code);
  if (qos === 0) return;
  c.unacknowledged -= 1;
  if (c.version === 5) {
    refuseOne(c, qos, packetId, reasonOf(code), `${code}: ${topic.toString("utf8", 0, MAX_TOPIC_IN_REASON)}`);
  } else {
    // Before MQTT 5 the only way to say no is to close (3.1.1, 3.3.5.2).
    c.disconnect("refused");
  }
}

/** Bytes of a topic that a reason string repeats. */
const MAX_TOPIC_IN_REASON = 200;

/** There are too many retained messages for another one, and which of them it would replace is not known here. */
function refuseRetained(c: MqttConnection, lane: LaneIndex, qos: number, packetId: number): void {
  c.shared.ctx.ingress.refuse(lane, "retained_full");
  if (qos === 0) return;
  c.unacknowledged -= 1;
  if (c.version === 5) {
    refuseOne(c, qos, packetId, REASON.quotaExceeded, "there are too many retained messages");
  } else c.disconnect("refused");
}

/** The payload is said to be UTF-8 and is not (3.3.2.3.2). */
function refuseText(c: MqttConnection, qos: number, packetId: number): void {
  c.shared.ctx.ingress.refuse(qos === 0 ? 0 : 1, "payload_format");
  if (qos > 0) refuseOne(c, qos, packetId, REASON.payloadFormatInvalid, "the payload is not UTF-8");
}

/** PUBACK or PUBREC of MQTT 5 that says no, and why where the client wants to know and takes packets of that size. */
function refuseOne(c: MqttConnection, qos: number, packetId: number, reason: Reason, why: string): void {
  const out = c.outbox();
  const before = out.length;
  const type = qos === 1 ? PACKET.puback : PACKET.pubrec;
  writeAck(out, type, packetId, reason, c.offer.wantsProblems ? why : "");
  if (out.length - before <= c.offer.maximumPacketSize) return;
  out.length = before;
  writeAck(out, type, packetId, reason);
}

/** Reason code of MQTT 5 for an error of the platform. */
export function reasonOf(code: ErrorCode): Reason {
  switch (code) {
    case "auth.not_authorized":
      return REASON.notAuthorized;
    case "auth.bad_credentials":
      return REASON.badUserNameOrPassword;
    case "bus.stream_full":
    case "queue.full":
      return REASON.quotaExceeded;
    case "limit.frame_too_large":
    case "contract.frame_too_large":
    case "bus.too_large":
      return REASON.packetTooLarge;
    case "limit.rate":
      return REASON.messageRateTooHigh;
    case "limit.connections":
      return REASON.serverBusy;
    default:
      return REASON.unspecified;
  }
}

/** Acknowledges what was stored, or refuses it, with one write for all. */
export function writeAcks(
  c: MqttConnection,
  numbers: readonly number[],
  from: number,
  to: number,
  error: AppError | undefined,
): void {
  if (error !== undefined) {
    c.unacknowledged -= to - from;
    refuseAll(c, numbers, from, to, error);
    return;
  }
  const out = c.outbox();
  out.reserve(4 * (to - from));
  const bytes = out.bytes;
  let at = out.length;
  let exactlyOnce = 0;
  for (let i = from; i < to; i++) {
    const number = numbers[i]!;
    if (number >= QOS2_BIT) {
      // Counted until PUBCOMP.
      exactlyOnce += 1;
      const id = number & 0xffff;
      receiving(c).set(id, "received");
      c.session?.kept?.stored(id);
      bytes[at] = PACKET.pubrec << 4;
    } else bytes[at] = PACKET.puback << 4;
    bytes[at + 1] = 2;
    bytes[at + 2] = (number >>> 8) & 0xff;
    bytes[at + 3] = number & 0xff;
    at += 4;
  }
  out.length = at;
  c.unacknowledged -= to - from - exactlyOnce;
}

function refuseAll(
  c: MqttConnection,
  numbers: readonly number[],
  from: number,
  to: number,
  error: AppError,
): void {
  const reason = reasonOf(error.code);
  for (let i = from; i < to; i++) {
    const number = numbers[i]!;
    const id = number & 0xffff;
    if (number >= QOS2_BIT) c.session?.incoming?.delete(id);
    if (c.version === 5) {
      if (number >= QOS2_BIT) c.session?.kept?.refused(id);
      refuseOne(c, number >= QOS2_BIT ? 2 : 1, id, reason, error.code);
    }
  }
  if (c.version < 5) c.disconnect("refused");
}

const MICROSECONDS = 1_000_000;

/** What the properties of a PUBLISH become in the envelope. Copies binary values. */
function extrasOf(clock: Clock, qos: number, retain: boolean, p: Properties): EnvelopeExtras | undefined {
  // All of them, those of a trace too: subscribers get them unaltered and in order (3.3.2.3.7).
  const headers = p.userProperties;
  if (
    p.messageExpiry === undefined &&
    p.responseTopic === undefined &&
    p.correlationData === undefined &&
    p.userProperties === undefined &&
    p.payloadFormat !== 1
  ) {
    return plainExtras(qos, retain);
  }
  return {
    retain: retain || undefined,
    qos: qos === 2 ? 2 : undefined,
    expiresAtUs: p.messageExpiry === undefined ? undefined : clock.wallUs() + p.messageExpiry * MICROSECONDS,
    responsePath: p.responseTopic,
    correlation: p.correlationData === undefined ? undefined : Buffer.from(p.correlationData),
    headers,
    payloadIsText: p.payloadFormat === 1 || undefined,
    ...(headers !== undefined && traceOf(headers)),
  };
}
