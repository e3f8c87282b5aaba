/** How an MQTT connection ends: what the client is told, what becomes of the will, what is let go. */
import { AppError } from "@myelin/kernel";
import type { DisconnectReason } from "../../core/connection.js";
import { MqttFault } from "./codec/fault.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import type { ServerProperties } from "./codec/server-properties.js";
import { writeConnackRefuse, writeDisconnect } from "./codec/writer.js";
import { leave } from "./keeping.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { ease } from "./outgoing.js";
import { reasonOf } from "./publish.js";
import { STATE } from "./state.js";
import { settleWill } from "./wills.js";

/** The reason code of DISCONNECT for what the listener has decided. */
export function disconnectReasonCode(reason: DisconnectReason, error: AppError | undefined): Reason {
  if (error instanceof MqttFault) return error.reason;
  switch (reason) {
    case "takeover":
      return REASON.sessionTakenOver;
    case "keep_alive":
    case "heartbeat":
    case "idle":
    case "first_packet":
      return REASON.keepAliveTimeout;
    case "drain":
      return REASON.serverShuttingDown;
    case "home_lost":
      return REASON.serverBusy;
    case "deleted":
    case "administrative":
      return REASON.administrativeAction;
    case "slow_client":
      return REASON.quotaExceeded;
    case "rate":
      return REASON.messageRateTooHigh;
    case "frame_too_large":
      return REASON.packetTooLarge;
    case "malformed":
      return REASON.malformedPacket;
    case "violation":
      return REASON.protocolError;
    case "revoked":
      return REASON.notAuthorized;
    case "refused":
      return error === undefined ? REASON.notAuthorized : reasonOf(error.code);
    default:
      return REASON.unspecified;
  }
}

/** Bytes of a reason string at most: it is for people who read logs. */
const MAX_REASON_BYTES = 200;

/** Tells an MQTT 5 client why the connection ends, by DISCONNECT or, before it was let in, by CONNACK; others are not told. */
export function sayGoodbye(c: MqttConnection, reason: DisconnectReason, error: AppError | undefined): void {
  const code = disconnectReasonCode(reason, error);
  if (c.state === STATE.admitting || c.state === STATE.authenticating) {
    const out = c.outbox();
    const before = out.length;
    writeConnackRefuse(out, c.version, code);
    if (out.length - before > c.offer.maximumPacketSize) out.length = before;
    return;
  }
  if (c.state !== STATE.ready || c.version < 5) return;
  const { serverReference } = c.shared.config;
  if (reason === "drain" && serverReference !== "") {
    if (fits(c, REASON.useAnotherServer, { serverReference })) return;
  }
  const reasonString = error?.message ?? "";
  const short = reasonString !== "" && Buffer.byteLength(reasonString) <= MAX_REASON_BYTES;
  if (short && fits(c, code, { reasonString })) return;
  fits(c, code, {});
}

/** Writes DISCONNECT unless it is larger than the client takes. */
function fits(c: MqttConnection, code: Reason, properties: ServerProperties): boolean {
  const out = c.outbox();
  const before = out.length;
  writeDisconnect(out, code, properties);
  if (out.length - before <= c.offer.maximumPacketSize) return true;
  out.length = before;
  return false;
}

/** The client broke a rule, or this program did: told in its terms where the version has terms, then closed. */
export function onFault(c: MqttConnection, thrown: unknown): void {
  const { ctx } = c.shared;
  if (!(thrown instanceof MqttFault)) {
    const error = AppError.from(thrown);
    ctx.log.error({ code: error.code, stack: error.stack, cause: error.cause }, "cannot handle a packet");
    c.disconnect("internal", error);
    return;
  }
  ctx.metrics.malformed.add(`mqtt,${thrown.label}`);
  if (c.state === STATE.fresh && thrown.label === "protocol_version") {
    writeConnackRefuse(c.outbox(), 4, REASON.unsupportedVersion);
  } else if (c.state === STATE.fresh && c.version === 5) {
    writeConnackRefuse(c.outbox(), 5, thrown.reason);
  }
  c.disconnect(dispositionOf(thrown), thrown);
}

function dispositionOf(fault: MqttFault): DisconnectReason {
  if (fault.code === "limit.frame_too_large") return "frame_too_large";
  return fault.code === "protocol.malformed" ? "malformed" : "violation";
}

/** The transport is gone: publishes the will unless the client took it back, and lets everything go. Runs once. */
export function endConnection(c: MqttConnection): void {
  c.shared.feeds.get(c)?.close();
  if (c.gone) return;
  const { sessions, subscriptions, connections } = c.shared.ctx;
  const { tracer } = c.shared;
  if (tracer.isActive) tracer.closed(c);
  c.giveUpUnread();
  c.state = STATE.closed;
  ease(c);
  connections.remove(c, c.ending);
  c.shared.patience.forget(c);
  subscriptions.removeAll(c);
  if (c.session !== undefined) {
    leave(c);
    const lost = c.session.giveUp();
    if (lost > 0) c.shared.ctx.metrics.undelivered.add("mqtt,disconnected", lost);
  }
  if (!c.opened) return;
  // Before presence, which tells the owner whether the will waits.
  // A draining listener sends its clients elsewhere: they are not lost (3.1.2.5 lets a server defer wills when it shuts down).
  if (c.will !== undefined && c.ending !== "drain") settleWill(c, c.will);
  c.will = undefined;
  sessions.close(c, c.ending);
}
