/** The packets a server sends, appended to an outbox. */
import type { Version } from "./connect.js";
import { type Outbox, varintBytes } from "./outbox.js";
import { PACKET, PROPERTY } from "./packets.table.js";
import { REASON, type Reason, returnCodeOf } from "./reason-codes.table.js";

/** What CONNACK tells an MQTT 5 client about this server. */
export interface ServerOffer {
  /** Bytes of the largest packet the server takes. */
  readonly maximumPacketSize: number;
  readonly receiveMaximum: number;
  readonly topicAliasMaximum: number;
  /** Set when the client gave none. */
  readonly assignedClientId: string | undefined;
  /** Seconds, when the server wants another keep alive than the client asked for. */
  readonly serverKeepAlive: number | undefined;
  /** Seconds, when the client asked for more than the server keeps. */
  readonly sessionExpiry: number | undefined;
}

export function writeConnackAccept(
  out: Outbox,
  version: Version,
  sessionPresent: boolean,
  offer: ServerOffer,
): void {
  if (version < 5) {
    out.reserve(4);
    out.byte(PACKET.connack << 4);
    out.byte(2);
    out.byte(sessionPresent ? 1 : 0);
    out.byte(0);
    return;
  }
  const id = offer.assignedClientId;
  const idBytes = id === undefined ? 0 : Buffer.byteLength(id);
  const properties =
    5 +
    (offer.receiveMaximum < 65_535 ? 3 : 0) +
    (offer.topicAliasMaximum > 0 ? 3 : 0) +
    (id === undefined ? 0 : 3 + idBytes) +
    (offer.serverKeepAlive === undefined ? 0 : 3) +
    (offer.sessionExpiry === undefined ? 0 : 5);
  const length = 2 + varintBytes(properties) + properties;
  out.reserve(5 + length);
  out.byte(PACKET.connack << 4);
  out.varint(length);
  out.byte(sessionPresent ? 1 : 0);
  out.byte(REASON.success);
  out.varint(properties);
  out.byte(PROPERTY.maximumPacketSize);
  out.uint32(offer.maximumPacketSize);
  if (offer.receiveMaximum < 65_535) {
    out.byte(PROPERTY.receiveMaximum);
    out.uint16(offer.receiveMaximum);
  }
  if (offer.topicAliasMaximum > 0) {
    out.byte(PROPERTY.topicAliasMaximum);
    out.uint16(offer.topicAliasMaximum);
  }
  if (id !== undefined) {
    out.byte(PROPERTY.assignedClientId);
    out.text(id, idBytes);
  }
  if (offer.serverKeepAlive !== undefined) {
    out.byte(PROPERTY.serverKeepAlive);
    out.uint16(offer.serverKeepAlive);
  }
  if (offer.sessionExpiry !== undefined) {
    out.byte(PROPERTY.sessionExpiry);
    out.uint32(offer.sessionExpiry);
  }
}

/** Refuses a CONNECT; before MQTT 5 by the nearest return code. */
export function writeConnackRefuse(out: Outbox, version: Version, reason: Reason): void {
  out.reserve(5);
  out.byte(PACKET.connack << 4);
  if (version < 5) {
    out.byte(2);
    out.byte(0);
    out.byte(returnCodeOf(reason));
    return;
  }
  out.byte(3);
  out.byte(0);
  out.byte(reason);
  out.byte(0);
}

/** MQTT 5 only: why the server closes. */
export function writeDisconnect(out: Outbox, reason: Reason): void {
  out.reserve(4);
  out.byte(PACKET.disconnect << 4);
  out.byte(2);
  out.byte(reason);
  out.byte(0);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP; a reason other than success is written in MQTT 5 only. */
export function writeAck(out: Outbox, type: number, packetId: number, reason: Reason): void {
  out.reserve(5);
  out.byte(type === PACKET.pubrel ? (type << 4) | 2 : type << 4);
  if (reason === REASON.success) {
    out.byte(2);
    out.uint16(packetId);
    return;
  }
  out.byte(3);
  out.uint16(packetId);
  out.byte(reason);
}

/** SUBACK or UNSUBACK with one code per filter; `codes` is empty for UNSUBACK before MQTT 5. */
export function writeSubAck(
  out: Outbox,
  type: number,
  version: Version,
  packetId: number,
  codes: readonly number[],
): void {
  const length = 2 + (version === 5 ? 1 : 0) + codes.length;
  out.reserve(5 + length);
  out.byte(type << 4);
  out.varint(length);
  out.uint16(packetId);
  if (version === 5) out.byte(0);
  for (const code of codes) out.byte(code);
}

export function writePingResp(out: Outbox): void {
  out.reserve(2);
  out.byte(PACKET.pingresp << 4);
  out.byte(0);
}

/** Properties of an outgoing PUBLISH; MQTT 5 only. */
export interface PublishProperties {
  readonly contentType: string;
  /** Seconds left; 0: none. */
  readonly messageExpiry: number;
  readonly responseTopic: string;
  readonly correlationData: Uint8Array;
  readonly subscriptionIds: readonly number[];
  readonly userProperties: readonly { readonly name: string; readonly value: string }[];
}

export interface OutgoingPublish {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Used for QoS 1. */
  readonly packetId: number;
}

/** Bytes of the whole packet; what is compared with the client's maximum packet size. */
export function publishSize(
  message: OutgoingPublish,
  version: Version,
  properties: PublishProperties | undefined,
): number {
  const body = publishBody(message, version, properties);
  return 1 + varintBytes(body) + body;
}

function publishBody(
  message: OutgoingPublish,
  version: Version,
  properties: PublishProperties | undefined,
): number {
  const propertyBytes = properties === undefined ? 0 : propertiesSize(properties);
  return (
    2 +
    Buffer.byteLength(message.topic) +
    (message.qos > 0 ? 2 : 0) +
    (version === 5 ? varintBytes(propertyBytes) + propertyBytes : 0) +
    message.payloadEnd -
    message.payloadStart
  );
}

/** Appends PUBLISH. */
export function writePublish(
  out: Outbox,
  message: OutgoingPublish,
  version: Version,
  properties: PublishProperties | undefined,
): void {
  const body = publishBody(message, version, properties);
  out.reserve(5 + body);
  out.byte((PACKET.publish << 4) | (message.qos << 1) | (message.retain ? 1 : 0));
  out.varint(body);
  out.text(message.topic, Buffer.byteLength(message.topic));
  if (message.qos > 0) out.uint16(message.packetId);
  if (version === 5) {
    if (properties === undefined) out.byte(0);
    else writeProperties(out, properties);
  }
  out.raw(message.payload, message.payloadStart, message.payloadEnd);
}

function propertiesSize(p: PublishProperties): number {
  let size = p.messageExpiry > 0 ? 5 : 0;
  if (p.contentType !== "") size += 3 + Buffer.byteLength(p.contentType);
  if (p.responseTopic !== "") size += 3 + Buffer.byteLength(p.responseTopic);
  if (p.correlationData.length > 0) size += 3 + p.correlationData.length;
  for (const id of p.subscriptionIds) size += 1 + varintBytes(id);
  for (const { name, value } of p.userProperties) {
    size += 5 + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return size;
}

function writeProperties(out: Outbox, p: PublishProperties): void {
  out.varint(propertiesSize(p));
  if (p.messageExpiry > 0) {
    out.byte(PROPERTY.messageExpiry);
    out.uint32(p.messageExpiry);
  }
  if (p.contentType !== "") {
    out.byte(PROPERTY.contentType);
    out.text(p.contentType, Buffer.byteLength(p.contentType));
  }
  if (p.responseTopic !== "") {
    out.byte(PROPERTY.responseTopic);
    out.text(p.responseTopic, Buffer.byteLength(p.responseTopic));
  }
  if (p.correlationData.length > 0) {
    out.byte(PROPERTY.correlationData);
    out.uint16(p.correlationData.length);
    out.raw(p.correlationData, 0, p.correlationData.length);
  }
  for (const id of p.subscriptionIds) {
    out.byte(PROPERTY.subscriptionId);
    out.varint(id);
  }
  for (const { name, value } of p.userProperties) {
    out.byte(PROPERTY.userProperty);
    out.text(name, Buffer.byteLength(name));
    out.text(value, Buffer.byteLength(value));
  }
}
