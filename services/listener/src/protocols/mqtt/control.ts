/** Every packet but PUBLISH: checks its flags and does what it asks. */
import { randomBytes } from "node:crypto";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { ConnectVerdict, Identity } from "../../core/admission.js";
import { HOLD } from "../../core/connection.js";
import { TICK_MS } from "../../core/timing-wheel.js";
import { readAck, readDisconnect } from "./codec/acks.js";
import { type Connect, readConnect } from "./codec/connect.js";
import { malformed, violation } from "./codec/fault.js";
import { PACKET } from "./codec/packets.table.js";
import type { PacketReader } from "./codec/reader.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import { readSubscribe, readUnsubscribe } from "./codec/subscribe.js";
import {
  writeAck,
  writeConnackAccept,
  writeConnackRefuse,
  writePingResp,
  writeSubAck,
} from "./codec/writer.js";
import { onClientAck } from "./delivery.js";
import { onFault } from "./ending.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { reasonOf } from "./publish.js";
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
      onClientAck(c, packetId, reason);
      return;
    }
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
      const codes = unsubscribe(c, packet.filters);
      answerFilters(c, PACKET.unsuback, packet.packetId, c.version === 5 ? codes : []);
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
      throw violation("auth", "AUTH although no method was agreed on");
    case 0:
      throw malformed("packet_type", "packet type 0");
    default:
      // PUBREC and PUBCOMP answer QoS 2, which this server never sends; the rest only servers send.
      throw violation("packet_type", `packet type ${type} from a client`);
  }
}

function onConnect(c: MqttConnection, reader: PacketReader): void {
  if (c.state !== STATE.fresh) throw violation("order", "a second CONNECT");
  const connect = readConnect(reader, (version) => {
    c.version = version;
  });
  if (connect.properties.authMethod !== undefined) {
    refuseConnect(c, "protocol.unsupported", REASON.badAuthenticationMethod);
    return;
  }
  const assigned = connect.clientId === "";
  const clientId = assigned ? `auto-${randomBytes(9).toString("base64url")}` : connect.clientId;
  const tooLong = Buffer.byteLength(clientId) > c.shared.config.maxClientIdLength;
  if (tooLong || (assigned && c.version < 5 && !connect.clean)) {
    refuseConnect(c, "protocol.violation", REASON.clientIdNotValid);
    return;
  }
  const password = connect.password === undefined ? undefined : Buffer.from(connect.password);
  const verdict = c.shared.ctx.admission.connect({
    protocol: c.scope.kind,
    port: c.port,
    address: c.address,
    deviceId: clientId,
    user: connect.user,
    password,
  });
  if (!(verdict instanceof Promise)) {
    answer(c, connect, clientId, verdict);
    return;
  }
  c.state = STATE.admitting;
  c.hold(HOLD.admission);
  void verdict
    .then((late) => {
      if (c.state !== STATE.admitting) return;
      answer(c, connect, clientId, late);
      c.release(HOLD.admission);
    })
    .catch((thrown: unknown) => onFault(c, thrown));
}

function answer(c: MqttConnection, connect: Connect, clientId: string, verdict: ConnectVerdict): void {
  if (!verdict.allow) {
    refuseConnect(c, verdict.code, reasonOf(verdict.code));
    return;
  }
  const { admission } = c.shared.ctx;
  const { will } = connect;
  if (will !== undefined && !admission.publish(verdict.identity, will.topic.toString("utf8"))) {
    refuseConnect(c, "auth.not_authorized", REASON.notAuthorized);
    return;
  }
  accept(c, connect, clientId, verdict.identity);
}

function accept(c: MqttConnection, connect: Connect, clientId: string, identity: Identity): void {
  const { config, ctx } = c.shared;
  const { properties } = connect;
  c.will = connect.will;
  c.receiveMaximum = properties.receiveMaximum ?? 65_535;
  c.maximumPacketSize = properties.maximumPacketSize ?? 0xffff_ffff;
  c.outlives = (properties.sessionExpiry ?? 0) > 0;
  // One and a half times what the client promised (3.1.2.10), rounded up, and the tick that is running.
  c.keepAliveTicks = connect.keepAlive === 0 ? 0 : Math.ceil((connect.keepAlive * 1500) / TICK_MS) + 1;
  const out = c.outbox();
  writeConnackAccept(out, c.version, false, {
    maximumPacketSize: config.maxPacketSize,
    receiveMaximum: config.receiveMaximum,
    topicAliasMaximum: config.topicAliasMaximum,
    assignedClientId: connect.clientId === "" ? clientId : undefined,
    serverKeepAlive: undefined,
    // Sessions end with their connection: a client that asked for more is told so.
    sessionExpiry: (properties.sessionExpiry ?? 0) > 0 ? 0 : undefined,
  });
  if (out.length > c.maximumPacketSize) {
    // There is nothing that could be said to this client.
    out.length = 0;
    ctx.metrics.refused.add(`${c.scope.kind},protocol.violation`);
    c.ending = "refused";
    c.will = undefined;
    c.shutDown();
    return;
  }
  c.state = STATE.ready;
  c.opened = true;
  c.admitted(identity);
  ctx.sessions.open(c);
}

/** SUBACK or UNSUBACK, unless it is larger than the client takes (3.1.2.11.4). */
function answerFilters(c: MqttConnection, type: number, packetId: number, codes: readonly number[]): void {
  const out = c.outbox();
  const before = out.length;
  writeSubAck(out, type, c.version, packetId, codes);
  const size = out.length - before;
  if (size <= c.maximumPacketSize) return;
  out.length = before;
  const message = `an answer of ${size} bytes for a client that takes ${c.maximumPacketSize}`;
  c.disconnect("refused", new AppError("limit.frame_too_large", message));
}

function refuseConnect(c: MqttConnection, code: ErrorCode, reason: Reason): void {
  c.shared.ctx.metrics.refused.add(`${c.scope.kind},${code}`);
  writeConnackRefuse(c.outbox(), c.version, reason);
  c.ending = "refused";
  c.shutDown();
}

function onPubrel(c: MqttConnection, packetId: number): void {
  const known = c.session?.incoming.get(packetId);
  if (known === "storing") throw violation("order", "PUBREL before PUBREC");
  c.session?.incoming.delete(packetId);
  const reason = known === undefined && c.version === 5 ? REASON.packetIdNotFound : REASON.success;
  writeAck(c.outbox(), PACKET.pubcomp, packetId, reason);
}

function onDisconnect(c: MqttConnection, reader: PacketReader): void {
  const { reason, properties } = readDisconnect(reader, c.version);
  if ((properties.sessionExpiry ?? 0) > 0 && !c.outlives) {
    throw violation("property", "a session expiry in DISCONNECT where CONNECT had none");
  }
  if (reason !== REASON.disconnectWithWill) c.will = undefined;
  c.ending = "client";
  c.shutDown();
}
