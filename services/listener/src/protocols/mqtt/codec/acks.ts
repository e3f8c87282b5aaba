/** PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH as a client sends them. */
import type { Version } from "./connect.js";
import { malformed, violation } from "./fault.js";
import { AT, type Properties, readProperties } from "./properties.js";
import type { PacketReader } from "./reader.js";
import { readPacketId } from "./subscribe.js";

export interface Ack {
  readonly packetId: number;
  /** 0 before MQTT 5. */
  readonly reason: number;
}

/** The four acknowledgements share one form. */
export function readAck(reader: PacketReader, version: Version): Ack {
  const packetId = readPacketId(reader);
  if (version < 5 || reader.left === 0) {
    reader.finish();
    return { packetId, reason: 0 };
  }
  const reason = reader.byte();
  if (reader.left > 0) readProperties(reader, AT.ack);
  reader.finish();
  return { packetId, reason };
}

/** Reason codes that a client may put into DISCONNECT (table 3-10). */
const CLIENT_DISCONNECT = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
]);

export function readDisconnect(
  reader: PacketReader,
  version: Version,
): { readonly reason: number; readonly properties: Properties } {
  if (version < 5 || reader.left === 0) {
    reader.finish();
    return { reason: 0, properties: {} };
  }
  const reason = reader.byte();
  if (!CLIENT_DISCONNECT.has(reason)) {
    throw version === 5 && reason > 0xa2
      ? malformed("reason_code", `DISCONNECT with reason ${reason}`)
      : violation("reason_code", `DISCONNECT with reason ${reason}`);
  }
  const properties = reader.left > 0 ? readProperties(reader, AT.disconnect) : {};
  reader.finish();
  return { reason, properties };
}
