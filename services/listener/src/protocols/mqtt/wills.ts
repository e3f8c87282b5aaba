/** The will of a connection: as anybody could publish it, and when it is due. */
import { randomBytes } from "node:crypto";
import type { control } from "@myelin/contract";
import type { Will } from "./codec/connect.js";
import type { MqttConnection } from "./mqtt-connection.js";

/** The client is here again, in time for a will that has a delay; unless it has begun anew, which has ended the session. */
export function willAtTakeover(c: MqttConnection, anew: boolean): void {
  const { will } = c;
  if ((will?.properties.willDelay ?? 0) === 0 || c.offer.sessionExpiry === 0) return;
  c.will =
    anew && will !== undefined ? { ...will, properties: { ...will.properties, willDelay: 0 } } : undefined;
}

/** Publishes the will now or when its delay or the session is over, whichever is first (3.1.3.2.2). */
export function settleWill(c: MqttConnection, will: Will): void {
  const kept = keptWillOf(c, will);
  // What stays of the connection is who it was.
  const { number, identity, protocol, address } = c;
  c.shared.ctx.wills.keep({ number, identity, protocol, address }, kept.delayMs, kept);
}

/** The will as any listener could publish it. */
export function keptWillOf(c: MqttConnection, will: Will): control.KeptWill {
  const { identity, offer, number, port } = c;
  const { topic, payload, qos, retain, properties } = will;
  return {
    id: idOf(number),
    user: identity.user,
    clientId: identity.clientId ?? "",
    local: identity.local ?? false,
    port,
    topic: topic.toString("utf8"),
    payload,
    qos,
    retain,
    delayMs: Math.min(properties.willDelay ?? 0, offer.sessionExpiry) * 1000,
    contentType: properties.contentType ?? "",
    expirySeconds: properties.messageExpiry,
    responseTopic: properties.responseTopic ?? "",
    correlation: properties.correlationData,
    headers: properties.userProperties ?? [],
    payloadIsText: properties.payloadFormat === 1,
  };
}

const ID_BYTES = 16;
const NUMBER_BYTES = 6;
let start: Buffer | undefined;

/** The same whenever it is asked, so that a will which two publish is known for a double. */
function idOf(connection: number): Buffer {
  start ??= randomBytes(ID_BYTES - NUMBER_BYTES);
  const id = Buffer.alloc(ID_BYTES);
  start.copy(id);
  id.writeUIntBE(connection, ID_BYTES - NUMBER_BYTES, NUMBER_BYTES);
  return id;
}
