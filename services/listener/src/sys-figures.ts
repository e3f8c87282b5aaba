/** What this listener counts for the topics below `$SYS/broker`: its plain counters, added up. */
import type { EventSender, TelemetrySender } from "@myelin/bus";
import type { ConnectionManager } from "./core/connection-manager.js";
import type { Ingress } from "./core/ingress.js";
import type { ListenerMetrics } from "./core/metrics.js";
import type { Figures } from "./core/sys-values.js";

/** Clients, packets and bytes are those of MQTT; messages those of all protocols. */
export function sysFigures(from: {
  readonly connections: ConnectionManager;
  readonly protocols: ListenerMetrics;
  readonly ingress: Ingress;
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly subscriptions: { readonly size: number };
}): Figures {
  const { connections, protocols, ingress, telemetry, events } = from;
  const { active, accepted } = connections.counters;
  const { receivedMessages, receivedBytes, sentMessages, sentBytes } = protocols.traffic("mqtt");
  const senders = [telemetry.counters, events.counters];
  const refused = sum(ingress.refusals.flatMap((reasons) => [...reasons.values()]));
  const received = sum(senders.map((counters) => counters.received)) + refused;
  const dropped = sum(senders.flatMap((counters) => Object.values(counters.dropped)));
  return {
    clientsConnected: active.mqtt ?? 0,
    connects: accepted.mqtt ?? 0,
    messagesReceived: receivedMessages,
    messagesSent: sentMessages,
    bytesReceived: receivedBytes,
    bytesSent: sentBytes,
    publishReceived: received,
    publishDropped: refused + dropped + sum([...protocols.undelivered.values.values()]),
    subscriptions: from.subscriptions.size,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
