/** How a will becomes a message: that of a connection that is lost here, and that of one whose listener has died. */
import type { EventTicket } from "@myelin/bus";
import type { Channel, control, EnvelopeExtras } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { type Ingress, kindOf } from "./ingress.js";
import { traceOf } from "./ingress-trace.js";
import type { WillOwner } from "./will-keeper.js";

const NOBODY_WAITS: EventTicket = { settled: () => {} };
const MICROSECONDS = 1_000_000;

/** Publishes a will; one that its client may not publish is counted as refused. */
export function publishWill(ingress: Ingress, clock: Clock, owner: WillOwner, will: control.KeptWill): void {
  const lane = will.qos === 0 ? 0 : 1;
  const { identity, protocol } = owner;
  const { topic: path, contentType, port, payload } = will;
  let channel: Channel;
  try {
    channel = ingress.channelOf({ identity, path, kind: kindOf(path, lane), protocol, port, contentType });
  } catch (thrown) {
    ingress.refuse(lane, AppError.from(thrown).code);
    return;
  }
  const extras = extrasOf(will, clock);
  if (lane === 1) ingress.event(channel, payload, 0, payload.length, NOBODY_WAITS, 0, extras);
  else ingress.telemetryWith(channel, payload, 0, payload.length, extras);
}

function extrasOf(will: control.KeptWill, clock: Clock): EnvelopeExtras {
  const { id, qos, retain, expirySeconds, responseTopic, headers } = will;
  return {
    ...(qos > 0 && { id, senderId: true }),
    retain: retain || undefined,
    qos: qos === 2 ? 2 : undefined,
    expiresAtUs: expirySeconds === undefined ? undefined : clock.wallUs() + expirySeconds * MICROSECONDS,
    responsePath: responseTopic === "" ? undefined : responseTopic,
    correlation: will.correlation,
    headers: headers.length === 0 ? undefined : headers,
    payloadIsText: will.payloadIsText || undefined,
    ...traceOf(headers),
  };
}
