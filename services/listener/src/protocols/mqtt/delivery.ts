/** Messages for a client because of its subscriptions. */

import type { KeptMessage } from "../../core/session-home.js";
import type { GiveBack, SubscriberMessage } from "../../core/subscriptions.js";
import type { OutgoingPublish, PublishProperties } from "./codec/publish-writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { drop, isHalfway, NO_PROPERTIES, send } from "./outgoing.js";
import type { AckCallback } from "./session.js";
import { STATE } from "./state.js";
import { tagNoLocal, tagQos, tagRetain, tagSubscriptionId } from "./tags.js";

/**
 * Writes a matched message, once, at the highest QoS of the filters that led to it and with all their identifiers; false when it was
 * dropped, which is counted.
 */
export function deliverMessage(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
  giveBack: GiveBack | undefined,
): boolean {
  const { feeds } = c.shared;
  if (feeds.size > 0 && giveBack === undefined && feeds.get(c)?.holds(message, tags, undefined)) return true;
  const own = message.deviceId === c.identity.deviceId && tags.some(tagNoLocal);
  const wanted = own ? tags.filter((tag) => !tagNoLocal(tag)) : tags;
  if (wanted.length === 0) return true;
  if (message.qos === 2 && wanted.some((tag) => tagQos(tag) === 2) && message.isDouble) return true;
  let granted = 0;
  let retain = false;
  for (const tag of wanted) {
    granted = Math.max(granted, tagQos(tag));
    if (tagRetain(tag)) retain = message.retain;
  }
  const qos = Math.min(message.qos, granted) as 0 | 1 | 2;
  const acked = giveBack !== undefined && qos > 0 ? ackedOrGivenBack(message, qos, giveBack) : undefined;
  return sendMatched(c, message, wanted, { qos, retain, packetId: 0, dup: false }, acked);
}

/** As `SessionHolder.deliverKept`: the home has matched, and has decided QoS and identifier. */
export function deliverKept(c: MqttConnection, kept: KeptMessage): boolean {
  const { message, tags, qos, packetId, dup } = kept;
  if (c.state !== STATE.ready) return true;
  const { feeds } = c.shared;
  if (feeds.size > 0 && feeds.get(c)?.holds(message, tags, kept)) return true;
  const retain = message.retain && tags.some(tagRetain);
  // A connection that ends over it leaves the message to its home.
  return sendMatched(c, message, tags, { qos, retain, packetId, dup }) || c.state !== STATE.ready;
}

/** A retained message because of a new subscription; false when it was dropped. */
export function deliverRetained(c: MqttConnection, message: SubscriberMessage, tag: number): boolean {
  if (tagNoLocal(tag) && message.deviceId === c.identity.deviceId) return true;
  const qos = Math.min(message.qos, tagQos(tag)) as 0 | 1 | 2;
  return sendMatched(c, message, [tag], { qos, retain: true, packetId: 0, dup: false });
}

function sendMatched(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
  how: Pick<OutgoingPublish, "qos" | "retain" | "packetId" | "dup">,
  acked?: AckCallback,
): boolean {
  const properties = propertiesOf(c, message, tags, isHalfway(how));
  if (properties === EXPIRED) {
    drop(c, "expired");
    return false;
  }
  const outgoing = {
    topic: message.path,
    payload: message.bytes,
    payloadStart: message.payloadStart,
    payloadEnd: message.payloadEnd,
    qos: how.qos,
    retain: how.retain,
    dup: how.dup,
    packetId: how.packetId,
  };
  return send(c, outgoing, properties, acked) !== "dropped";
}

/** Keeps a copy until the client has acknowledged it: another member of the group gets it when the client goes before. */
function ackedOrGivenBack(message: SubscriberMessage, sentWith: number, giveBack: GiveBack): AckCallback {
  const { path, contentType, qos, retain, tenant, deviceId } = message;
  const bytes = Buffer.from(message.bytes.subarray(message.payloadStart, message.payloadEnd));
  const extras = message.extras();
  const own: SubscriberMessage = {
    ...{ path, contentType, qos, retain, tenant, deviceId, bytes },
    ...{ payloadStart: 0, payloadEnd: bytes.length, extras: () => extras },
  };
  // A message of QoS 2 that one member was sent may go to no other (MQTT-4.8.2-5).
  return (reason, wasSent) => reason === undefined && !(wasSent && sentWith === 2) && giveBack(own);
}

/** A four byte integer (MQTT 5, 3.3.2.3.3): 136 years. */
const MAX_EXPIRY_SECONDS = 0xffff_ffff;

const EXPIRED: PublishProperties = { ...NO_PROPERTIES };

/** Undefined: none. Before MQTT 5 nobody is sent any, but what has expired is expired for everybody, unless it is halfway through already. */
function propertiesOf(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
  isHalfway: boolean,
): PublishProperties | undefined {
  const extras = message.extras();
  let messageExpiry = 0;
  if (extras !== undefined && extras.expiresAtUs > 0) {
    const seconds = Math.ceil((extras.expiresAtUs - c.shared.ctx.clock.wallUs()) / 1_000_000);
    if (seconds <= 0 && !isHalfway) return EXPIRED;
    messageExpiry = Math.min(Math.max(seconds, 1), MAX_EXPIRY_SECONDS);
  }
  if (c.version < 5) return messageExpiry === 0 ? undefined : { ...NO_PROPERTIES, messageExpiry };
  const subscriptionIds = idsOf(tags);
  if (extras === undefined && subscriptionIds === undefined && message.contentType === "") return undefined;
  return {
    isText: extras?.isText ?? false,
    contentType: message.contentType,
    messageExpiry,
    responseTopic: extras?.responsePath ?? "",
    correlationData: extras?.correlation ?? NO_PROPERTIES.correlationData,
    subscriptionIds: subscriptionIds ?? [],
    userProperties: extras?.headers ?? [],
  };
}

function idsOf(tags: readonly number[]): number[] | undefined {
  let ids: number[] | undefined;
  for (const tag of tags) {
    const id = tagSubscriptionId(tag);
    if (id === 0) continue;
    ids ??= [];
    ids.push(id);
  }
  return ids;
}
