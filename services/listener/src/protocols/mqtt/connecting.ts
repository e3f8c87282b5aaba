/** CONNECT: who the client is, what it takes, and what it is told about this server. */
import { randomBytes } from "node:crypto";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { ConnectVerdict, Credentials, Identity } from "../../core/admission.js";
import { isOwnBridge } from "../../core/bridge-id.js";
import { HOLD } from "../../core/connection.js";
import type { KeptSession } from "../../core/session-home.js";
import { certificateOf } from "../../core/socket-peer.js";
import { TICK_MS } from "../../core/timing-wheel.js";
import { beginExchange, type Proof } from "./authentication.js";
import { offerOf } from "./client-offer.js";
import { type Connect, readConnect } from "./codec/connect.js";
import { violation } from "./codec/fault.js";
import type { PacketReader } from "./codec/reader.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import type { ServerProperties } from "./codec/server-properties.js";
import { writeConnackAccept, writeConnackRefuse } from "./codec/writer.js";
import { onFault } from "./ending.js";
import { resume, sessionReasonOf } from "./keeping.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { reasonOf } from "./publish.js";
import { STATE } from "./state.js";

/** A CONNECT that is being decided about. */
interface Connecting {
  readonly connect: Connect;
  readonly clientId: string;
  /** Given by the server. */
  readonly assigned: boolean;
}

/** @throws MqttFault */
export function onConnect(c: MqttConnection, reader: PacketReader): void {
  if (c.state !== STATE.fresh) throw violation("order", "a second CONNECT");
  const connect = readConnect(reader, (version) => {
    c.version = version;
  });
  c.offer = offerOf(c.version, connect.clean, connect.properties);
  const assigned = connect.clientId === "";
  const clientId = assigned ? `auto-${randomBytes(9).toString("base64url")}` : connect.clientId;
  const tooLong = Buffer.byteLength(clientId) > c.shared.config.maxClientIdLength;
  // MQTT 3.1 knows no empty identifier, 3.1.1 takes it for a clean session only (3.1.3.1).
  const notAssignable = c.version === 3 || (c.version === 4 && !connect.clean);
  if (tooLong || (assigned && notAssignable)) {
    refuseConnect(c, "protocol.violation", REASON.clientIdNotValid);
    return;
  }
  const connecting = { connect, clientId, assigned };
  const password = connect.password === undefined ? undefined : Buffer.from(connect.password);
  const who: Credentials = {
    protocol: c.scope.kind,
    port: c.port,
    address: c.address,
    certificate: certificateOf(c.stream),
    deviceId: clientId,
    user: connect.user,
    password,
  };
  if (connect.properties.authMethod !== undefined) {
    const offered = beginExchange(c, connect.properties, who, (verdict, proof) => {
      answer(c, connecting, verdict, proof);
    });
    if (!offered) refuseConnect(c, "protocol.unsupported", REASON.badAuthenticationMethod);
    return;
  }
  whenDecided(c, c.shared.ctx.admission.connect(who), (verdict) => answer(c, connecting, verdict));
}

/** Goes on with the answer; while it is waited for nothing is read. `late` is told of one that came when the client was gone. */
function whenDecided<T>(
  c: MqttConnection,
  answer: T | Promise<T>,
  next: (answer: T) => void,
  late?: (answer: T) => void,
): void {
  if (!(answer instanceof Promise)) {
    next(answer);
    return;
  }
  c.state = STATE.admitting;
  c.hold(HOLD.admission);
  void answer
    .then((decided) => {
      if (c.state !== STATE.admitting) {
        late?.(decided);
        return;
      }
      next(decided);
      // Unless the next thing is to wait again.
      if (c.state !== STATE.admitting) c.release(HOLD.admission);
    })
    .catch((thrown: unknown) => onFault(c, thrown));
}

function answer(c: MqttConnection, connecting: Connecting, verdict: ConnectVerdict, proof: Proof = {}): void {
  if (!verdict.allow) {
    refuseConnect(c, verdict.code, reasonOf(verdict.code));
    return;
  }
  // Its session is the outbox of the bridge.
  if (isOwnBridge(verdict.identity.deviceId)) {
    refuseConnect(c, "protocol.violation", REASON.clientIdNotValid);
    return;
  }
  const { admission } = c.shared.ctx;
  const { will } = connecting.connect;
  if (will !== undefined && !admission.publish(verdict.identity, will.topic.toString("utf8"))) {
    refuseConnect(c, "auth.not_authorized", REASON.notAuthorized);
    return;
  }
  accept(c, connecting, verdict.identity, proof);
}

function accept(c: MqttConnection, connecting: Connecting, identity: Identity, proof: Proof): void {
  const { sessionHomes } = c.shared.ctx;
  const { sessionExpiry: expirySeconds, clean, receiveMaximum } = c.offer;
  // One that ends with its connection is known here alone, unless it is the rest of one that was to outlive an earlier connection.
  if (sessionHomes === undefined || (clean && expirySeconds === 0)) {
    sessionHomes?.discard(identity);
    admit(c, connecting, identity, proof, undefined);
    return;
  }
  const window = Math.min(receiveMaximum, c.shared.config.maxInflight);
  const opening = sessionHomes
    .open({ identity, clean, expirySeconds, receiveMaximum: window }, c)
    .catch((thrown: unknown) => AppError.from(thrown));
  whenDecided(
    c,
    opening,
    (kept) => {
      if (kept instanceof AppError) {
        refuseConnect(c, kept.code, sessionReasonOf(kept.code, REASON.serverUnavailable));
      } else if (kept.present || expirySeconds > 0) {
        admit(c, connecting, identity, proof, kept);
      } else {
        kept.closed(0);
        admit(c, connecting, identity, proof, undefined);
      }
    },
    // The client has not waited: its session stays as it asked.
    (kept) => {
      if (!(kept instanceof AppError)) kept.closed(expirySeconds);
    },
  );
}

function admit(
  c: MqttConnection,
  { connect, clientId, assigned }: Connecting,
  identity: Identity,
  proof: Proof,
  kept: KeptSession | undefined,
): void {
  const { config, ctx } = c.shared;
  const keepAlive = keepAliveOf(c, connect.keepAlive);
  // One and a half times what the client promised (3.1.2.10), rounded up, and the tick that is running.
  c.keepAliveTicks = keepAlive === 0 ? 0 : Math.ceil((keepAlive * 1500) / TICK_MS) + 1;
  const out = c.outbox();
  const before = out.length;
  const present = kept?.present ?? false;
  const told: ServerProperties = {
    maximumPacketSize: config.maxPacketSize,
    receiveMaximum: config.receiveMaximum < 65_535 ? config.receiveMaximum : undefined,
    topicAliasMaximum: config.topicAliasMaximum > 0 ? config.topicAliasMaximum : undefined,
    assignedClientId: assigned ? clientId : undefined,
    serverKeepAlive: keepAlive === connect.keepAlive ? undefined : keepAlive,
    // Where sessions end with their connection a client that asked for more is told so.
    sessionExpiry: c.offer.sessionExpiry > 0 && kept === undefined ? 0 : undefined,
    responseInformation: responseInformation(config.responseInformation, connect, identity),
    ...proof,
  };
  writeConnackAccept(out, c.version, present, told);
  if (out.length - before > c.offer.maximumPacketSize) {
    // Without what the client can do without.
    out.length = before;
    writeConnackAccept(out, c.version, present, {
      ...told,
      topicAliasMaximum: undefined,
      responseInformation: undefined,
    });
  }
  if (out.length - before > c.offer.maximumPacketSize) {
    out.length = before;
    kept?.closed(c.offer.sessionExpiry);
    refuseConnect(c, "protocol.violation", REASON.packetTooLarge);
    return;
  }
  c.will = connect.will;
  c.state = STATE.ready;
  c.opened = true;
  c.admitted(identity);
  ctx.wills.back(identity, c.offer.clean);
  ctx.sessions.open(c);
  if (kept !== undefined) resume(c, kept);
}

/** Seconds. Before MQTT 5 a client cannot be told, so it keeps what it has asked for. */
function keepAliveOf(c: MqttConnection, asked: number): number {
  const { keepAliveMaximum } = c.shared.config;
  if (c.version < 5 || keepAliveMaximum === 0) return asked;
  return asked === 0 || asked > keepAliveMaximum ? keepAliveMaximum : asked;
}

function responseInformation(template: string, connect: Connect, identity: Identity): string | undefined {
  if (template === "" || connect.properties.requestResponseInformation !== 1) return undefined;
  const { clientId = identity.deviceId, user, deviceId } = identity;
  return template.replace(/%[cud]/g, (name) => (name === "%c" ? clientId : name === "%u" ? user : deviceId));
}

/** Says no, unless not even that fits into what the client takes, and closes. */
function refuseConnect(c: MqttConnection, code: ErrorCode, reason: Reason): void {
  c.shared.ctx.metrics.refused.add(`${c.scope.kind},${code}`);
  const out = c.outbox();
  const before = out.length;
  writeConnackRefuse(out, c.version, reason, { reasonString: code });
  if (out.length - before > c.offer.maximumPacketSize) {
    out.length = before;
    writeConnackRefuse(out, c.version, reason);
  }
  if (out.length - before > c.offer.maximumPacketSize) out.length = before;
  c.ending = "refused";
  c.shutDown();
}
