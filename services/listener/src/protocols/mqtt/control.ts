/** Every packet but PUBLISH: checks its flags and does what it asks. */
import { AppError } from "@myelin/kernel";
import { onAuth } from "./authentication.js";
import { readAck, readDisconnect } from "./codec/acks.js";
import { malformed, violation } from "./codec/fault.js";
import { PACKET } from "./codec/packets.table.js";
import type { PacketReader } from "./codec/reader.js";
import { REASON } from "./codec/reason-codes.table.js";
import { readSubscribe, readUnsubscribe } from "./codec/subscribe.js";
import { writeAck, writePingResp, writeSubAck } from "./codec/writer.js";
import { onConnect } from "./connecting.js";
import { onFault } from "./ending.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { onPuback, onPubcomp, onPubrec } from "./outgoing.js";
import { STATE } from "./state.js";
import { subscribe, unsubscribe } from "./subscribing.js";

/** `buf[start, end)` is the body. @throws MqttFault */
export function onControlPacket(
  c: MqttConnection,
  first: number,
  buf: Buffer,
  start: number,
  end: number,
): void {
  const type = first >>> 4;
  const needed = type === PACKET.pubrel || type === PACKET.subscribe || type === PACKET.unsubscribe ? 2 : 0;
  if ((first & 0x0f) !== needed) throw malformed("flags", `packet type ${type} with flags ${first & 0x0f}`);
  const reader = c.shared.reader.reset(buf, start, end);
  switch (type) {
    case PACKET.connect:
      onConnect(c, reader);
      return;
    case PACKET.puback: {
      const { packetId, reason } = readAck(reader, c.version, type);
      onPuback(c, packetId, reason);
      return;
    }
    case PACKET.pubrec: {
      const { packetId, reason } = readAck(reader, c.version, type);
      onPubrec(c, packetId, reason);
      return;
    }
    case PACKET.pubcomp:
      onPubcomp(c, readAck(reader, c.version, type).packetId);
      return;
    case PACKET.pubrel:
      onPubrel(c, readAck(reader, c.version, type).packetId);
      return;
    case PACKET.subscribe: {
      const packet = readSubscribe(reader, c.version);
      answerFilters(c, PACKET.suback, packet.packetId, subscribe(c, packet));
      return;
    }
    case PACKET.unsubscribe: {
      const packet = readUnsubscribe(reader, c.version);
      answerFilters(c, PACKET.unsuback, packet.packetId, unsubscribe(c, packet.filters));
      return;
    }
    case PACKET.pingreq:
      reader.finish();
      writePingResp(c.outbox());
      return;
    case PACKET.disconnect:
      onDisconnect(c, reader);
      return;
    case PACKET.auth:
      onAuth(c, reader);
      return;
    case 0:
      throw malformed("packet_type", "packet type 0");
    default:
      // Those that only servers send.
      throw violation("packet_type", `packet type ${type} from a client`);
  }
}

/** SUBACK or UNSUBACK, unless it is larger than the client takes (3.1.2.11.4). */
function answerFilters(
  c: MqttConnection,
  type: number,
  packetId: number,
  codes: readonly number[] | Promise<readonly number[]>,
): void {
  if (codes instanceof Promise) {
    void codes
      .then((late) => {
        if (c.state === STATE.ready) answerFilters(c, type, packetId, late);
      })
      .catch((thrown: unknown) => onFault(c, thrown));
    return;
  }
  const out = c.outbox();
  const before = out.length;
  // Before MQTT 5 UNSUBACK has no codes.
  writeSubAck(out, type, c.version, packetId, type === PACKET.unsuback && c.version < 5 ? [] : codes);
  const size = out.length - before;
  if (size <= c.offer.maximumPacketSize) return;
  out.length = before;
  const message = `an answer of ${size} bytes for a client that takes ${c.offer.maximumPacketSize}`;
  c.disconnect("refused", new AppError("limit.frame_too_large", message));
}

function onPubrel(c: MqttConnection, packetId: number): void {
  const session = c.session;
  const known = session?.incoming?.get(packetId);
  if (known === "storing" || known === "begins") throw violation("order", "PUBREL before PUBREC");
  session?.incoming?.delete(packetId);
  if (known !== undefined) {
    // Those of earlier connections were not counted on this one (MQTT 5, 4.9).
    if (c.unacknowledged > 0) c.unacknowledged -= 1;
    if (session?.kept !== undefined) {
      session.kept.forget(packetId);
      return;
    }
  }
  const reason = known === undefined && c.version === 5 ? REASON.packetIdNotFound : REASON.success;
  writeAck(c.outbox(), PACKET.pubcomp, packetId, reason);
}

function onDisconnect(c: MqttConnection, reader: PacketReader): void {
  const { reason, properties } = readDisconnect(reader, c.version);
  const { sessionExpiry } = properties;
  if (sessionExpiry !== undefined) {
    if (sessionExpiry > 0 && c.offer.sessionExpiry === 0) {
      throw violation("property", "a session expiry in DISCONNECT where CONNECT had none");
    }
    c.offer = { ...c.offer, sessionExpiry };
  }
  // A goodbye with any other reason leaves the will to be published (3.14.4).
  if (reason === REASON.success) c.will = undefined;
  c.ending = "client";
  c.shutDown();
}
