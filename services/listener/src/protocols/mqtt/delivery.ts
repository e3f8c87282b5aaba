/** Messages for a client because of its subscriptions. */

import type { KeptMessage } from "../../core/session-home.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";
import type { PublishProperties } from "./codec/publish-writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { drop, NO_PROPERTIES, send } from "./outgoing.js";
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
): boolean {
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
  return sendMatched(c, message, wanted, Math.min(message.qos, granted) as 0 | 1 | 2, retain, 0, false);
}

/** As `SessionHolder.deliverKept`: the home has matched, and has decided QoS and identifier. */
export function deliverKept(c: MqttConnection, kept: KeptMessage): boolean {
  const { message, tags, qos, packetId, dup } = kept;
  if (c.state !== STATE.ready) return true;
  const retain = message.retain && tags.some(tagRetain);
  // A connection that ends over it leaves the message to its home.
  return sendMatched(c, message, tags, qos, retain, packetId, dup) || c.state !== STATE.ready;
}

function sendMatched(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
  qos: 0 | 1 | 2,
  retain: boolean,
  packetId: number,
  dup: boolean,
): boolean {
  const properties = propertiesOf(c, message, tags);
  if (properties === EXPIRED) {
    drop(c, "expired");
    return false;
  }
  const outgoing = {
    topic: message.path,
    payload: message.bytes,
    payloadStart: message.payloadStart,
    payloadEnd: message.payloadEnd,
    qos,
    retain,
    dup,
    packetId,
  };
  return send(c, outgoing, properties, undefined) !== "dropped";
}

const EXPIRED: PublishProperties = { ...NO_PROPERTIES };

/** Undefined: none. Before MQTT 5 nobody is sent any, but what has expired is expired for everybody. */
function propertiesOf(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
): PublishProperties | undefined {
  const extras = message.extras();
  let messageExpiry = 0;
  if (extras !== undefined && extras.expiresAtUs > 0) {
    messageExpiry = Math.ceil((extras.expiresAtUs - c.shared.ctx.clock.wallUs()) / 1_000_000);
    if (messageExpiry <= 0) return EXPIRED;
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
