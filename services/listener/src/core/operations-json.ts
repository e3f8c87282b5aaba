/** The JSON of what operators see, the same over HTTP and from the command line. */
import { isUtf8 } from "node:buffer";
import type { RetainedFacts } from "@myelin/bus";
import type { ops } from "@myelin/contract";
import type { ClientRecord, Effect, Page } from "./operations-client.js";

/** Session expiry that never comes. */
const FOR_EVER = 0xffff_ffff;

type Json = Readonly<Record<string, unknown>>;

/** `{ [name]: entries, next?, missing? }`; fields that say nothing are left out. */
export function pageJson<T>(name: string, page: Page<T>, entryJson: (entry: T) => Json): Json {
  return {
    [name]: page.entries.map(entryJson),
    ...(page.next !== undefined && { next: page.next }),
    ...missingJson(page),
  };
}

export function clientJson(client: ops.Client): Json {
  const { tenant, device, clientId, user, listener, number, protocol, version, port, address } = client;
  return {
    device,
    ...text({ tenant, clientId, user }),
    listener,
    connection: number,
    protocol,
    ...text({ version }),
    port,
    address,
    ...(client.connectedAtUs > 0 && { connectedAt: new Date(client.connectedAtUs / 1000).toISOString() }),
  };
}

export function recordJson(client: string, record: ClientRecord): Json {
  const { connections, lastDisconnect } = record;
  return {
    client,
    connected: connections.length > 0,
    ...(connections.length > 0 && { connections: connections.map(detailsJson) }),
    ...(lastDisconnect !== undefined && {
      lastDisconnect: {
        at: new Date(lastDisconnect.atMs).toISOString(),
        reason: lastDisconnect.reason,
        listener: lastDisconnect.listener,
      },
    }),
    ...missingJson(record),
  };
}

export function detailsJson(details: ops.ClientDetails): Json {
  const { keepAliveMs, maximumPacketSize, will, dropped, held } = details;
  return {
    ...(details.client !== undefined && clientJson(details.client)),
    ...(keepAliveMs > 0 && { silenceAllowedMs: keepAliveMs }),
    session: {
      persistent: details.persistent,
      cleanStart: details.cleanStart,
      expirySeconds: expiryJson(details.sessionExpirySeconds),
    },
    ...(details.receiveMaximum > 0 && { receiveMaximum: details.receiveMaximum }),
    ...(maximumPacketSize > 0 && { maximumPacketSize }),
    subscriptions: details.subscriptions,
    inflight: details.inflight,
    queued: details.queued,
    queuedBytes: details.queuedBytes,
    unsentBytes: details.unsentBytes,
    incomingUnacknowledged: details.incoming,
    receivedBytes: details.receivedBytes,
    sentBytes: details.sentBytes,
    dropped: Object.fromEntries(dropped.map(({ reason, count }) => [reason, count])),
    ...(will !== undefined && { will }),
    ...(held.length > 0 && { notReadBecauseOf: held }),
  };
}

export function subscriptionJson(subscription: ops.Subscription): Json {
  const { tenant, device, listener, protocol, filter, qos, subscriptionId } = subscription;
  return {
    filter,
    device,
    ...text({ tenant }),
    protocol,
    listener,
    qos,
    ...(subscription.noLocal && { noLocal: true }),
    ...(subscription.retainAsPublished && { retainAsPublished: true }),
    ...(subscriptionId > 0 && { subscriptionId }),
  };
}

export function sessionJson(session: ops.Session): Json {
  const { tenant, client, service, instance, offlineAtMs } = session;
  return {
    client,
    ...text({ tenant }),
    persistent: session.persistent,
    connected: session.connected,
    keptBy: `${service}/${instance}`,
    ...(offlineAtMs > 0 && { offlineSince: new Date(offlineAtMs).toISOString() }),
    expirySeconds: expiryJson(session.expirySeconds),
    subscriptions: session.subscriptions,
    inflight: session.inflight,
    queued: session.queued,
    queuedBytes: session.queuedBytes,
    ...(session.oldestAtMs > 0 && { oldestQueuedSince: new Date(session.oldestAtMs).toISOString() }),
    dropped: session.dropped,
  };
}

export function retainedJson(facts: RetainedFacts): Json {
  const { topic, device, qos, bytes, publishedAtUs, expiresAtUs, contentType, payload } = facts;
  return {
    topic,
    device,
    qos,
    bytes,
    publishedAt: new Date(publishedAtUs / 1000).toISOString(),
    ...(expiresAtUs > 0 && { expiresAt: new Date(expiresAtUs / 1000).toISOString() }),
    ...text({ contentType }),
    ...(payload.length > 0 && payloadJson(payload)),
  };
}

/** One packet of a live trace. `payload` stands as text where it is UTF-8, else `payloadBase64`. */
export function packetJson(listener: string, packet: ops.TracedPacket): Json {
  const { tenant, device, topic, detail, qos, reasonCodes, packetId } = packet;
  const isMessage = packet.name === "PUBLISH";
  return {
    at: new Date(packet.atUs / 1000).toISOString(),
    listener,
    connection: packet.connection,
    direction: packet.outgoing ? "out" : "in",
    device,
    ...text({ tenant }),
    packet: packet.name,
    size: packet.size,
    ...(packetId > 0 && { packetId }),
    ...(reasonCodes.length > 0 && { reasonCodes }),
    ...(isMessage && { topic, qos, payloadSize: packet.payloadSize }),
    ...(packet.retain && { retain: true }),
    ...(packet.dup && { dup: true }),
    ...(packet.payload.length > 0 && payloadJson(packet.payload)),
    ...text({ detail }),
  };
}

function payloadJson(payload: Uint8Array): Json {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return isUtf8(bytes) ? { payload: bytes.toString("utf8") } : { payloadBase64: bytes.toString("base64") };
}

/** @param done past participle that names the effect, such as `disconnected` */
export function effectJson(client: string, done: string, effect: Effect): Json {
  return { client, [done]: effect.count, ...missingJson(effect) };
}

function missingJson({ missing }: { readonly missing: readonly string[] }): Json {
  return missing.length === 0 ? {} : { missing };
}

function expiryJson(seconds: number): number | "never" {
  return seconds === FOR_EVER ? "never" : seconds;
}

function text(fields: Readonly<Record<string, string>>): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
}
