/** PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH as a client sends them. */
import type { Version } from "./connect.js";
import { malformed, violation } from "./fault.js";
import { PACKET } from "./packets.table.js";
import { AT, type Properties, readProperties } from "./properties.js";
import type { PacketReader } from "./reader.js";
import { readPacketId } from "./subscribe.js";

export interface Ack {
  readonly packetId: number;
  /** 0 before MQTT 5. */
  readonly reason: number;
}

/** Reason codes of PUBACK and PUBREC (tables 3-4 and 3-5), and of PUBREL and PUBCOMP (tables 3-6 and 3-7). */
const ANSWERS = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
const RELEASES = new Set([0x00, 0x92]);

/** The four acknowledgements share one form; `type` says which it is. */
export function readAck(reader: PacketReader, version: Version, type: number): Ack {
  const packetId = readPacketId(reader);
  if (version < 5 || reader.left === 0) {
    reader.finish();
    return { packetId, reason: 0 };
  }
  const reason = reader.byte();
  const known = type === PACKET.puback || type === PACKET.pubrec ? ANSWERS : RELEASES;
  if (!known.has(reason)) throw violation("reason_code", `packet type ${type} with reason ${reason}`);
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

/** Reason codes that a client may put into AUTH (table 3-11). */
const CLIENT_AUTH = new Set([0x18, 0x19]);

/** AUTH of a client, MQTT 5 only. `data` is a view into the packet. */
export function readAuth(reader: PacketReader): {
  readonly reason: number;
  readonly method: string;
  readonly data: Buffer;
} {
  // Reason and properties may be left out for 0, success, which no client may say (3.15.2.1).
  const reason = reader.left === 0 ? 0 : reader.byte();
  if (!CLIENT_AUTH.has(reason)) throw violation("reason_code", `AUTH with reason ${reason} from a client`);
  const { authMethod, authData } = readProperties(reader, AT.auth);
  reader.finish();
  if (authMethod === undefined) throw violation("auth", "AUTH without its method");
  return { reason, method: authMethod, data: authData ?? Buffer.alloc(0) };
}
