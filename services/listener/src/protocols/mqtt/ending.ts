/** How an MQTT connection ends: what the client is told, what becomes of the will, what is let go. */
import type { EventTicket } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { DisconnectReason } from "../../core/connection.js";
import { MqttFault } from "./codec/fault.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import { writeConnackRefuse } from "./codec/writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { extrasOf, reasonOf, typedChannel } from "./publish.js";
import { STATE } from "./state.js";

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
  if (c.gone) return;
  const { sessions, subscriptions, connections } = c.shared.ctx;
  c.state = STATE.closed;
  connections.remove(c, c.ending);
  if (c.session !== undefined) {
    subscriptions.removeAll(c);
    const lost = c.session.giveUp();
    if (lost > 0) c.shared.ctx.metrics.undelivered.add("mqtt,disconnected", lost);
  }
  if (!c.opened) return;
  sessions.close(c, c.ending);
  // A draining listener sends its clients elsewhere: they are not lost (3.1.2.5 lets a server defer wills when it shuts down).
  if (c.will !== undefined && c.ending !== "drain") publishWill(c);
  c.will = undefined;
}

const NOBODY_WAITS: EventTicket = { settled: () => {} };

function publishWill(c: MqttConnection): void {
  const { ingress } = c.shared.ctx;
  const { topic, payload, qos, retain, properties } = c.will!;
  const lane = qos === 0 ? 0 : 1;
  const plain = ingress.channelFor(c, lane, topic, 0, topic.length);
  if (plain === undefined) {
    ingress.refuse(lane, ingress.refusal);
    return;
  }
  const { contentType = "" } = properties;
  const channel = contentType === "" ? plain : typedChannel(c, lane, plain, contentType);
  const extras = extrasOf(c, qos, retain, properties);
  if (lane === 1) ingress.event(channel, payload, 0, payload.length, NOBODY_WAITS, 0, extras);
  else if (extras === undefined) ingress.telemetry(channel, payload, 0, payload.length);
  else ingress.telemetryWith(channel, payload, 0, payload.length, extras);
}
