/** PUBLISH as a server sends it, appended to an outbox. */
import type { Version } from "./connect.js";
import { type Outbox, varintBytes } from "./outbox.js";
import { PACKET, PROPERTY } from "./packets.table.js";

/** Properties of an outgoing PUBLISH; MQTT 5 only. */
export interface PublishProperties {
  /** The payload is said to be UTF-8. */
  readonly isText: boolean;
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
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly dup: boolean;
  /** Used above QoS 0. */
  readonly packetId: number;
}

/** How a topic is named: `alias` 0 is by itself alone; `known` leaves the topic out. */
export interface TopicAlias {
  readonly alias: number;
  readonly known: boolean;
}

export const NO_ALIAS: TopicAlias = { alias: 0, known: false };
/** Bytes that an alias adds to the properties. */
const ALIAS_BYTES = 3;

/** Bytes of the whole packet; what is compared with the client's maximum packet size. */
export function publishSize(
  message: OutgoingPublish,
  version: Version,
  properties: PublishProperties | undefined,
  naming: TopicAlias = NO_ALIAS,
): number {
  const body = publishBody(message, version, properties, naming);
  return 1 + varintBytes(body) + body;
}

function publishBody(
  message: OutgoingPublish,
  version: Version,
  properties: PublishProperties | undefined,
  naming: TopicAlias,
): number {
  const propertyBytes = propertiesSize(properties, naming);
  return (
    2 +
    (naming.known ? 0 : Buffer.byteLength(message.topic)) +
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
  naming: TopicAlias = NO_ALIAS,
): void {
  const body = publishBody(message, version, properties, naming);
  out.reserve(5 + body);
  const flags = (message.dup ? 8 : 0) | (message.qos << 1) | (message.retain ? 1 : 0);
  out.byte((PACKET.publish << 4) | flags);
  out.varint(body);
  if (naming.known) out.uint16(0);
  else out.text(message.topic, Buffer.byteLength(message.topic));
  if (message.qos > 0) out.uint16(message.packetId);
  if (version === 5) {
    out.varint(propertiesSize(properties, naming));
    if (naming.alias > 0) {
      out.byte(PROPERTY.topicAlias);
      out.uint16(naming.alias);
    }
    if (properties !== undefined) writeProperties(out, properties);
  }
  out.raw(message.payload, message.payloadStart, message.payloadEnd);
}

function propertiesSize(p: PublishProperties | undefined, naming: TopicAlias): number {
  let size = naming.alias > 0 ? ALIAS_BYTES : 0;
  if (p === undefined) return size;
  if (p.isText) size += 2;
  if (p.messageExpiry > 0) size += 5;
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
  if (p.isText) {
    out.byte(PROPERTY.payloadFormat);
    out.byte(1);
  }
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
