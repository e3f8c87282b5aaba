/** The listener's metrics: the list, and how plain counters become it when the page is read. */
import type { SenderCounters } from "@myelin/bus";
import { bounded, defineMetrics, type Metrics } from "@myelin/observability";
import type { Bridges, Outbox } from "./bridges/bridges.js";
import { ageSeconds } from "./bridges/conditions.js";
import type { ConnectionManager } from "./core/connection-manager.js";
import type { Ingress } from "./core/ingress.js";
import type { LabelCounter, ListenerMetrics } from "./core/metrics.js";
import { type Census, takeCensus } from "./core/operations-census.js";

const protocol = bounded(16);
const reason = bounded(64);
const port = bounded(384);
const bridge = bounded(1024);
const lane = ["telemetry", "event"] as const;
const direction = ["in", "out"] as const;

export const listenerMetricsList = defineMetrics({
  connectionsActive: {
    type: "gauge",
    name: "myelin_listener_connections_active",
    help: "Connections open now.",
    labels: { protocol },
  },
  connectionsAccepted: {
    type: "counter",
    name: "myelin_listener_connections_accepted_total",
    help: "Connections taken.",
    labels: { protocol },
  },
  transportsRefused: {
    type: "counter",
    name: "myelin_listener_transports_refused_total",
    help: "Connections closed before any protocol read them: by a limit, in the PROXY protocol, or in the TLS handshake.",
    labels: { reason },
  },
  connectsRefused: {
    type: "counter",
    name: "myelin_listener_connects_refused_total",
    help: "Clients that were refused by admission.",
    labels: { protocol, code: reason },
  },
  disconnects: {
    type: "counter",
    name: "myelin_listener_disconnects_total",
    help: "Connections that ended.",
    labels: { protocol, reason },
  },
  lostBytes: {
    type: "counter",
    name: "myelin_listener_lost_bytes_total",
    help: "Bytes kept for connections that ended before they could be read: not let in yet, broken, or too slow. Messages that were read are in the ledger, and whole MQTT messages in these bytes too.",
    labels: { protocol },
  },
  malformed: {
    type: "counter",
    name: "myelin_listener_malformed_total",
    help: "Packets, frames and requests that broke their protocol.",
    labels: { protocol, reason },
  },
  receivedBytes: {
    type: "counter",
    name: "myelin_listener_received_bytes_total",
    help: "Bytes read from devices.",
    labels: { protocol },
  },
  receivedMessages: {
    type: "counter",
    name: "myelin_listener_received_messages_total",
    help: "Messages read from devices.",
    labels: { protocol },
  },
  sentBytes: {
    type: "counter",
    name: "myelin_listener_sent_bytes_total",
    help: "Bytes written to devices.",
    labels: { protocol },
  },
  sentMessages: {
    type: "counter",
    name: "myelin_listener_sent_messages_total",
    help: "Messages written to devices.",
    labels: { protocol },
  },
  undelivered: {
    type: "counter",
    name: "myelin_listener_undelivered_messages_total",
    help: "Messages for devices that could not be written.",
    labels: { protocol, reason },
  },
  ingressMessages: {
    type: "counter",
    name: "myelin_listener_ingress_messages_total",
    help: "Messages that came in, by lane.",
    labels: { lane },
  },
  ingressDropped: {
    type: "counter",
    name: "myelin_listener_ingress_dropped_total",
    help: "Messages that came in and got no further.",
    labels: { lane, reason },
  },
  ingressQueued: {
    type: "gauge",
    name: "myelin_listener_ingress_queued",
    help: "Messages on their way to NATS without an answer.",
    labels: { lane },
  },
  congestion: {
    type: "counter",
    name: "myelin_listener_congestion_seconds_total",
    help: "Time in which inputs were not read because the bus was congested.",
  },
  clients: {
    type: "gauge",
    name: "myelin_listener_clients",
    help: "Connections whose client is let in, by version of the protocol; no version where there is one only.",
    labels: { protocol, version: bounded(16) },
  },
  inflight: {
    type: "gauge",
    name: "myelin_listener_inflight_messages",
    help: "Messages sent to clients that have not acknowledged them yet.",
    labels: { protocol },
  },
  clientQueued: {
    type: "gauge",
    name: "myelin_listener_client_queued_messages",
    help: "Messages that wait in this listener because a client has too many unacknowledged or reads too slowly.",
    labels: { protocol },
  },
  sessions: {
    type: "gauge",
    name: "myelin_listener_sessions",
    help: "Devices that are connected.",
  },
  subscriptions: {
    type: "gauge",
    name: "myelin_listener_subscriptions",
    help: "Topic filters held by clients.",
  },
  subscribesUnconfirmed: {
    type: "counter",
    name: "myelin_listener_subscribes_unconfirmed_total",
    help: "SUBSCRIBEs answered without the word of a dispatcher that knows the filters: it has ended or hangs.",
  },
  certificateExpiry: {
    type: "gauge",
    name: "myelin_listener_certificate_expiry_timestamp_seconds",
    help: "When the certificate that a port serves ends, in Unix time.",
    labels: { port },
  },
  certificateReloads: {
    type: "counter",
    name: "myelin_listener_certificate_reloads_total",
    help: "Changes of a port's certificate files: taken into use, or refused while the last good one stays.",
    labels: { port, outcome: ["loaded", "refused"] },
  },
  sharedChannelsEvicted: {
    type: "counter",
    name: "myelin_listener_shared_channels_evicted_total",
    help: "Topics that lost their channel because too many were in use.",
  },
  bridgeUp: {
    type: "gauge",
    name: "myelin_listener_bridge_up",
    help: "1 for a bridge that runs here and is connected to its broker, 0 for one that is not.",
    labels: { bridge },
  },
  bridgeConnects: {
    type: "counter",
    name: "myelin_listener_bridge_connects_total",
    help: "Connections of a bridge that came up, and those that failed or ended.",
    labels: { bridge, outcome: ["up", "failed"] },
  },
  bridgeMessages: {
    type: "counter",
    name: "myelin_listener_bridge_messages_total",
    help: "Messages that a bridge has taken from its broker or sent to it, those sent again included.",
    labels: { bridge, direction },
  },
  bridgeDropped: {
    type: "counter",
    name: "myelin_listener_bridge_dropped_total",
    help: "Messages that a bridge has not passed on.",
    labels: { bridge, direction, reason },
  },
  bridgeQueued: {
    type: "gauge",
    name: "myelin_listener_bridge_queued_messages",
    help: "Messages in the outbox of a bridge that runs here, those on their way to the broker included.",
    labels: { bridge },
  },
  bridgeQueuedBytes: {
    type: "gauge",
    name: "myelin_listener_bridge_queued_bytes",
    help: "The same in bytes.",
    labels: { bridge },
  },
  bridgeQueuedAge: {
    type: "gauge",
    name: "myelin_listener_bridge_queued_age_seconds",
    help: "How long ago the oldest of these messages came in; 0 when none waits.",
    labels: { bridge },
  },
});

export type ListenerMetricsPage = Metrics<typeof listenerMetricsList>;

/** Where the numbers are. */
export interface MetricSources {
  readonly connections: ConnectionManager;
  readonly protocols: ListenerMetrics;
  readonly ingress: Ingress;
  readonly telemetry: SenderCounters;
  readonly events: SenderCounters;
  readonly sessions: { readonly size: number };
  readonly subscriptions: { readonly size: number };
  /** SUBSCRIBEs that have waited in vain for a dispatcher. */
  readonly unconfirmedSubscribes: () => number;
  /** Milliseconds of congestion so far. */
  readonly congestionMs: () => number;
  readonly bridges: Pick<Bridges, "records">;
}

/** Brings the page up to date before each reading. */
export function foldMetrics(page: ListenerMetricsPage, from: MetricSources): void {
  const bridgesBefore = new Set<string>();
  page.connectionsActive.onCollect(() => {
    foldConnections(page, from.connections);
    foldTraffic(page, from.protocols);
    foldCertificates(page, from.protocols);
    foldIngress(page, from);
    foldBridges(page, from, bridgesBefore);
    page.congestion.with().value = from.congestionMs() / 1000;
    page.sessions.with().set(from.sessions.size);
    page.subscriptions.with().set(from.subscriptions.size);
    page.subscribesUnconfirmed.with().value = from.unconfirmedSubscribes();
    page.sharedChannelsEvicted.with().value = from.ingress.evicted;
  });
  let last: readonly Census[] = [];
  page.clients.onCollect(async () => {
    const census = await takeCensus(from.connections.connections(), from.connections.clock);
    foldCensus(page, last, census);
    last = census;
  });
}

/** Versions that nobody speaks any more go to 0. */
function foldCensus(page: ListenerMetricsPage, last: readonly Census[], census: readonly Census[]): void {
  for (const { protocol: kind, version } of last) {
    page.clients.with({ protocol: kind, version }).set(0);
    page.inflight.with({ protocol: kind }).set(0);
    page.clientQueued.with({ protocol: kind }).set(0);
  }
  const waiting = new Map<string, { inflight: number; queued: number }>();
  for (const { protocol: kind, version, clients, inflight, queued } of census) {
    page.clients.with({ protocol: kind, version }).set(clients);
    const sums = waiting.get(kind) ?? { inflight: 0, queued: 0 };
    waiting.set(kind, { inflight: sums.inflight + inflight, queued: sums.queued + queued });
  }
  for (const [kind, sums] of waiting) {
    page.inflight.with({ protocol: kind }).set(sums.inflight);
    page.clientQueued.with({ protocol: kind }).set(sums.queued);
  }
}

function foldConnections(page: ListenerMetricsPage, { counters }: ConnectionManager): void {
  for (const [kind, n] of Object.entries(counters.active))
    page.connectionsActive.with({ protocol: kind }).set(n);
  for (const [kind, n] of Object.entries(counters.accepted)) {
    page.connectionsAccepted.with({ protocol: kind }).value = n;
  }
  for (const [why, n] of Object.entries(counters.refused))
    page.transportsRefused.with({ reason: why }).value = n;
  for (const [kind, n] of Object.entries(counters.lostBytes)) {
    page.lostBytes.with({ protocol: kind }).value = n;
  }
  for (const [kind, reasons] of Object.entries(counters.disconnects)) {
    for (const [why, n] of Object.entries(reasons)) {
      page.disconnects.with({ protocol: kind, reason: why }).value = n;
    }
  }
}

function foldTraffic(page: ListenerMetricsPage, protocols: ListenerMetrics): void {
  for (const [kind, traffic] of protocols.trafficByProtocol) {
    page.receivedBytes.with({ protocol: kind }).value = traffic.receivedBytes;
    page.receivedMessages.with({ protocol: kind }).value = traffic.receivedMessages;
    page.sentBytes.with({ protocol: kind }).value = traffic.sentBytes;
    page.sentMessages.with({ protocol: kind }).value = traffic.sentMessages;
  }
  pairs(protocols.malformed, (kind, why, n) => {
    page.malformed.with({ protocol: kind, reason: why }).value = n;
  });
  pairs(protocols.refused, (kind, code, n) => {
    page.connectsRefused.with({ protocol: kind, code }).value = n;
  });
  pairs(protocols.undelivered, (kind, why, n) => {
    page.undelivered.with({ protocol: kind, reason: why }).value = n;
  });
}

function foldCertificates(page: ListenerMetricsPage, { certificates }: ListenerMetrics): void {
  for (const [name, ms] of certificates.expiryMs) page.certificateExpiry.with({ port: name }).set(ms / 1000);
  pairs(certificates.reloads, (name, outcome, n) => {
    page.certificateReloads.with({ port: name, outcome: outcome as "loaded" | "refused" }).value = n;
  });
}

/** A bridge that has left for another listener is up there. */
function foldBridges(
  page: ListenerMetricsPage,
  { bridges, connections }: Pick<MetricSources, "bridges" | "connections">,
  before: Set<string>,
): void {
  const records = bridges.records();
  const here = new Set(records.map(({ name }) => name));
  for (const name of before) {
    if (here.has(name)) continue;
    page.bridgeUp.with({ bridge: name }).set(0);
    foldOutbox(page, name, EMPTY_OUTBOX, 0);
    before.delete(name);
  }
  for (const { name, state, counters, outbox } of records) {
    before.add(name);
    page.bridgeUp.with({ bridge: name }).set(state === "connected" ? 1 : 0);
    page.bridgeConnects.with({ bridge: name, outcome: "up" }).value = counters.connects;
    page.bridgeConnects.with({ bridge: name, outcome: "failed" }).value = counters.failures;
    for (const way of direction) {
      page.bridgeMessages.with({ bridge: name, direction: way }).value = counters.messages[way];
    }
    for (const [key, n] of counters.dropped) {
      const [way, why = ""] = key.split(",", 2) as ["in" | "out", string];
      page.bridgeDropped.with({ bridge: name, direction: way, reason: why }).value = n;
    }
    if (outbox !== undefined) foldOutbox(page, name, outbox, connections.clock.wallMs());
  }
}

const EMPTY_OUTBOX: Omit<Outbox, "dropped"> = { messages: 0, bytes: 0, oldestAtMs: 0 };

function foldOutbox(
  page: ListenerMetricsPage,
  name: string,
  outbox: Omit<Outbox, "dropped"> & Partial<Pick<Outbox, "dropped">>,
  nowMs: number,
): void {
  page.bridgeQueued.with({ bridge: name }).set(outbox.messages);
  page.bridgeQueuedBytes.with({ bridge: name }).set(outbox.bytes);
  page.bridgeQueuedAge.with({ bridge: name }).set(ageSeconds(outbox, nowMs));
  if (outbox.dropped === undefined) return;
  page.bridgeDropped.with({ bridge: name, direction: "out", reason: "outbox_full" }).value = outbox.dropped;
}

function pairs(counter: LabelCounter, put: (first: string, second: string, n: number) => void): void {
  for (const [labels, n] of counter.values) {
    const [first = "", second = ""] = labels.split(",", 2);
    put(first, second, n);
  }
}

function foldIngress(page: ListenerMetricsPage, from: MetricSources): void {
  const lanes = [
    { lane: "telemetry", sender: from.telemetry, refusals: from.ingress.refusals[0] },
    { lane: "event", sender: from.events, refusals: from.ingress.refusals[1] },
  ] as const;
  for (const { lane: name, sender, refusals } of lanes) {
    let refused = 0;
    const dropped = new Map(Object.entries(sender.dropped));
    for (const [why, n] of refusals) {
      refused += n;
      dropped.set(why, (dropped.get(why) ?? 0) + n);
    }
    page.ingressMessages.with({ lane: name }).value = sender.received + refused;
    for (const [why, n] of dropped) page.ingressDropped.with({ lane: name, reason: why }).value = n;
    page.ingressQueued.with({ lane: name }).set(sender.queued());
  }
}
