/** CONNACK for clients that find no place: their CONNECT is read for its version and for what they take, and nothing else. */
import type { TransportRefusal } from "../../core/connection-manager.js";
import type { Refusing } from "../../core/turned-away.js";
import { MAX_PACKET_BYTES } from "./client-offer.js";
import { type Connect, readConnect, type Version, versionIn } from "./codec/connect.js";
import { Outbox } from "./codec/outbox.js";
import { PACKET } from "./codec/packets.table.js";
import { PacketReader } from "./codec/reader.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import type { ServerProperties } from "./codec/server-properties.js";
import { writeConnackRefuse } from "./codec/writer.js";
import { packetBytes } from "./mqtt-connection.js";

/** Of a longer CONNECT the beginning is enough. */
const MAX_READ_BYTES = 8 * 1024;

/** @param serverReference where those who come while the listener drains are sent; empty: nowhere */
export function refusingConnect(refusal: TransportRefusal, serverReference: string): Refusing {
  return (head) => {
    if (head[0] !== PACKET.connect << 4) return undefined;
    try {
      const bytes = packetBytes(head, head.length);
      if (bytes === 0 || (bytes > head.length && head.length < MAX_READ_BYTES)) return "more";
      const start = bodyStart(head);
      if (bytes > head.length) {
        const version = versionIn(head, start, head.length);
        return version && connack(version, refusal, "", MAX_PACKET_BYTES);
      }
      const { version, properties } = read(head, start, bytes);
      return connack(version, refusal, serverReference, properties.maximumPacketSize ?? MAX_PACKET_BYTES);
    } catch {
      // What is no CONNECT is closed, as it is when there is room.
      return undefined;
    }
  };
}

function read(head: Buffer, start: number, end: number): Connect {
  return readConnect(new PacketReader().reset(head, start, end), () => {});
}

function connack(
  version: Version,
  refusal: TransportRefusal,
  serverReference: string,
  maximumPacketSize: number,
): Buffer | undefined {
  const isLeaving = refusal === "draining";
  if (isLeaving && serverReference !== "") {
    const elsewhere = refuse(version, REASON.useAnotherServer, { serverReference });
    if (elsewhere.length <= maximumPacketSize) return elsewhere;
  }
  const plain = refuse(version, isLeaving ? REASON.serverUnavailable : REASON.quotaExceeded, {});
  return plain.length <= maximumPacketSize ? plain : undefined;
}

function refuse(version: Version, reason: Reason, properties: ServerProperties): Buffer {
  const out = new Outbox();
  writeConnackRefuse(out, version, reason, properties);
  return out.take();
}

/** The fixed header is complete. */
function bodyStart(head: Buffer): number {
  let at = 1;
  while (head[at]! > 0x7f) at++;
  return at + 1;
}
