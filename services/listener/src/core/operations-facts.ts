/** What a listener tells operators of one connection. */
import { ops } from "@myelin/contract";
import { type Connection, HOLD } from "./connection.js";
import type { Subscriber } from "./subscriptions.js";
import { TICK_MS } from "./timing-wheel.js";

/** Who tells: the names that stand beside a connection's number. */
export interface Teller {
  readonly instance: string;
  readonly incarnation: number;
}

/** What only the protocol of a connection knows. */
export type ProtocolFacts = Partial<
  Omit<ops.ClientDetails, "client" | "keepAliveMs" | "held" | "subscriptions">
>;

/** What a subscription was made with beside its filter. */
export type SubscriptionOptions = Pick<
  ops.Subscription,
  "qos" | "noLocal" | "retainAsPublished" | "subscriptionId"
>;

export const NO_OPTIONS: SubscriptionOptions = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  subscriptionId: 0,
};

/** The filters of connections that hold none of their own: the table of subscriptions. */
export interface FilterTable {
  forEachOf(subscriber: Subscriber, visit: (filter: string, tag: number) => void): void;
  countOf(subscriber: Subscriber): number;
}

export function clientOf(connection: Connection, teller: Teller): ops.Client {
  const { identity, number, scope, address, port, openedAtUs } = connection;
  return {
    tenant: identity.tenant,
    device: identity.deviceId,
    clientId: identity.clientId ?? "",
    user: identity.user,
    listener: teller.instance,
    incarnation: teller.incarnation,
    number,
    protocol: scope.kind,
    version: connection.versionName,
    port,
    address,
    connectedAtUs: openedAtUs,
  };
}

export function detailsOf(connection: Connection, table: FilterTable, teller: Teller): ops.ClientDetails {
  return ops.ClientDetails.fromPartial({
    ...connection.facts(),
    client: clientOf(connection, teller),
    keepAliveMs: connection.keepAliveTicks * TICK_MS,
    subscriptions: connection.keptFilters?.size ?? table.countOf(subscriberOf(connection)),
    held: Object.entries(HOLD)
      .filter(([, bit]) => (connection.held & bit) !== 0)
      .map(([name]) => name),
  });
}

/** Calls `visit` for each filter of the connection, in an order that stays while nothing is added or removed. */
export function eachFilter(
  connection: Connection,
  table: FilterTable,
  visit: (filter: string, tag: number) => void,
): void {
  const { keptFilters } = connection;
  if (keptFilters === undefined) table.forEachOf(subscriberOf(connection), visit);
  else for (const [filter, tag] of keptFilters) visit(filter, tag);
}

/** The table looks subscribers up as they are: a connection that is none has no filters. */
function subscriberOf(connection: Connection): Subscriber {
  return connection as unknown as Subscriber;
}

/** Bytes that went through a socket, its encryption not counted; what is no socket knows nothing. */
export function transportBytes(stream: object): {
  readonly receivedBytes: number;
  readonly sentBytes: number;
} {
  const transport = (stream as { readonly transport?: object }).transport ?? stream;
  const { bytesRead, bytesWritten } = transport as { bytesRead?: unknown; bytesWritten?: unknown };
  return {
    receivedBytes: typeof bytesRead === "number" ? bytesRead : 0,
    sentBytes: typeof bytesWritten === "number" ? bytesWritten : 0,
  };
}
