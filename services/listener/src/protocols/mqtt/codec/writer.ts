/** The packets a server sends beside PUBLISH, appended to an outbox. */
import type { Version } from "./connect.js";
import type { Outbox } from "./outbox.js";
import { PACKET } from "./packets.table.js";
import { REASON, type Reason, returnCodeOf, sayable } from "./reason-codes.table.js";
import {
  NO_SERVER_PROPERTIES,
  type ServerProperties,
  serverPropertiesSize,
  writeServerProperties,
} from "./server-properties.js";

/** CONNACK of an accepted CONNECT; before MQTT 5 without the properties. */
export function writeConnackAccept(
  out: Outbox,
  version: Version,
  sessionPresent: boolean,
  properties: ServerProperties,
): void {
  // The flag came with 3.1.1: in 3.1 the byte is reserved.
  writeConnack(out, version, sessionPresent && version > 3, REASON.success, properties);
}

/** Refuses a CONNECT; before MQTT 5 by the nearest return code. */
export function writeConnackRefuse(
  out: Outbox,
  version: Version,
  reason: Reason,
  properties: ServerProperties = NO_SERVER_PROPERTIES,
): void {
  writeConnack(out, version, false, reason, properties);
}

function writeConnack(
  out: Outbox,
  version: Version,
  sessionPresent: boolean,
  reason: Reason,
  properties: ServerProperties,
): void {
  const length = 2 + (version === 5 ? serverPropertiesSize(properties) : 0);
  out.reserve(5 + length);
  out.byte(PACKET.connack << 4);
  out.varint(length);
  out.byte(sessionPresent ? 1 : 0);
  out.byte(version === 5 ? sayable("connack", reason) : returnCodeOf(reason));
  if (version === 5) writeServerProperties(out, properties);
}

/** MQTT 5 only: why the server closes. */
export function writeDisconnect(
  out: Outbox,
  reason: Reason,
  properties: ServerProperties = NO_SERVER_PROPERTIES,
): void {
  writeReason(out, PACKET.disconnect, sayable("disconnect", reason), properties);
}

/** MQTT 5 only: a step of an authentication exchange. */
export function writeAuth(out: Outbox, reason: Reason, properties: ServerProperties): void {
  writeReason(out, PACKET.auth, reason, properties);
}

function writeReason(out: Outbox, type: number, reason: Reason, properties: ServerProperties): void {
  const length = 1 + serverPropertiesSize(properties);
  out.reserve(5 + length);
  out.byte(type << 4);
  out.varint(length);
  out.byte(reason);
  writeServerProperties(out, properties);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP; a reason other than success is written in MQTT 5 only. */
export function writeAck(
  out: Outbox,
  type: number,
  packetId: number,
  reason: Reason,
  reasonString = "",
): void {
  const properties = reasonString === "" ? undefined : { reasonString };
  const propertyBytes = properties === undefined ? 0 : serverPropertiesSize(properties);
  const length = reason === REASON.success ? 2 : 3 + propertyBytes;
  out.reserve(5 + length);
  out.byte(type === PACKET.pubrel ? (type << 4) | 2 : type << 4);
  out.varint(length);
  out.uint16(packetId);
  if (reason === REASON.success) return;
  const isRelease = type === PACKET.pubrel || type === PACKET.pubcomp;
  out.byte(isRelease ? reason : sayable("answer", reason));
  if (properties !== undefined) writeServerProperties(out, properties);
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
