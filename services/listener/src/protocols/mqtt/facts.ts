/** What operators are told of an MQTT client: put together when somebody asks. */
import { type ProtocolFacts, type SubscriptionOptions, transportBytes } from "../../core/operations-facts.js";
import { MAX_PACKET_BYTES } from "./client-offer.js";
import type { Version } from "./codec/connect.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { tagNoLocal, tagQos, tagRetain, tagSubscriptionId } from "./tags.js";

const VERSION_NAMES: Readonly<Record<Version, string>> = { 3: "3.1", 4: "3.1.1", 5: "5" };

export function versionNameOf(version: Version): string {
  return VERSION_NAMES[version];
}

export function optionsOf(tag: number): SubscriptionOptions {
  return {
    qos: tagQos(tag),
    noLocal: tagNoLocal(tag),
    retainAsPublished: tagRetain(tag),
    subscriptionId: tagSubscriptionId(tag),
  };
}

export function factsOf(c: MqttConnection): ProtocolFacts {
  const { offer, will, session } = c;
  const { inflight, queued, queuedBytes, droppedBy, unsentBytes } = c.figures();
  return {
    ...transportBytes(c.stream),
    cleanStart: offer.clean,
    sessionExpirySeconds: offer.sessionExpiry,
    persistent: session?.kept !== undefined,
    receiveMaximum: offer.receiveMaximum,
    maximumPacketSize: offer.maximumPacketSize === MAX_PACKET_BYTES ? 0 : offer.maximumPacketSize,
    inflight,
    queued,
    queuedBytes,
    unsentBytes,
    incoming: c.unacknowledged,
    dropped: [...droppedBy].map(([reason, count]) => ({ reason, count })),
    will: will && {
      topic: will.topic.toString("utf8"),
      qos: will.qos,
      retain: will.retain,
      payloadBytes: will.payload.length,
      delaySeconds: will.properties.willDelay ?? 0,
    },
  };
}
