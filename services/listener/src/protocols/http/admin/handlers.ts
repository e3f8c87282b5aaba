/** What answers the routes for operators. */
import { isTopicFilter, isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import {
  clientJson,
  effectJson,
  pageJson,
  recordJson,
  retainedJson,
  sessionJson,
  subscriptionJson,
} from "../../../core/operations-json.js";
import type { ProtocolContext } from "../../../core/protocol.js";
import { type Operator, operatorOf } from "./operator.js";
import { listOf, numberOf, placeOf, type Query, sinceOf, textOf } from "./query.js";
import { MAX_RETAINED_PAYLOAD } from "./routes.js";
import { tracePackets } from "./trace.js";

/** Bytes of the reason that a client is shown. */
const MAX_REASON_BYTES = 200;

type Answer = (operator: Operator, query: Query, client: string) => Promise<object>;

/** By the names of the routes. */
export function adminHandlers(ctx: ProtocolContext) {
  const { operations, retained, log } = ctx;
  const handler =
    (answer: Answer): RouteHandlerMethod =>
    async (request: FastifyRequest, reply: FastifyReply) => {
      const operator = await operatorOf(ctx, request);
      const { client = "" } = request.params as { readonly client?: string };
      const found = await answer(operator, request.query as Query, client);
      return reply.type("application/json").send(JSON.stringify(found));
    };
  return {
    listClients: handler(async ({ tenant }, query) => {
      const page = await operations.clients({
        tenant,
        protocols: listOf(query, "protocol"),
        versions: listOf(query, "version"),
        users: listOf(query, "user"),
        devices: listOf(query, "device"),
        listeners: listOf(query, "listener"),
        connectedSinceUs: sinceOf(query),
        ...placeOf(query),
      });
      return pageJson("clients", page, clientJson);
    }),
    inspectClient: handler(async ({ tenant }, _query, client) =>
      recordJson(client, await operations.inspect(tenant, client)),
    ),
    disconnectClient: handler(async ({ tenant, identity }, query, client) => {
      const reason = textOf(query, "reason");
      if (Buffer.byteLength(reason) > MAX_REASON_BYTES) {
        throw new AppError("protocol.malformed", `a reason takes ${MAX_REASON_BYTES} bytes at most`);
      }
      const effect = await operations.disconnect(tenant, client, reason);
      log.info(
        { client, operator: identity.user, count: effect.count },
        "an operator has disconnected a client",
      );
      return effectJson(client, "disconnected", effect);
    }),
    listSubscriptions: handler(async ({ tenant }, query) => {
      const topic = textOf(query, "topic");
      if (topic !== "" && !isTopicName(topic)) {
        throw new AppError("protocol.malformed", "a topic holds no +, # or NUL");
      }
      const page = await operations.subscriptions({
        tenant,
        client: textOf(query, "client"),
        filter: textOf(query, "filter"),
        topic,
        ...placeOf(query),
      });
      return pageJson("subscriptions", page, subscriptionJson);
    }),
    listSessions: handler(async ({ tenant }, query) => {
      const page = await operations.sessions({ tenant, client: textOf(query, "client"), ...placeOf(query) });
      return pageJson("sessions", page, sessionJson);
    }),
    deleteSession: handler(async ({ tenant, identity }, _query, client) => {
      const effect = await operations.deleteSession(tenant, client);
      log.info({ client, operator: identity.user, count: effect.count }, "an operator has deleted a session");
      return effectJson(client, "deleted", effect);
    }),
    listRetained: handler(async ({ tenant }, query) => {
      const { cursor, limit } = placeOf(query);
      const { found, more } = await retained.list({
        tenant: tenant?.name ?? "",
        filter: filterOf(query),
        after: topicOf(cursor),
        limit,
        payloadBytes: numberOf(query, "payload", 0, MAX_RETAINED_PAYLOAD) ?? 0,
      });
      const next = more ? toCursor(found.at(-1)!.topic) : undefined;
      return pageJson("retained", { entries: found, next, missing: [] }, retainedJson);
    }),
    clearRetained: handler(async ({ tenant, identity }, query) => {
      if (query.filter === undefined) throw new AppError("protocol.malformed", "name a filter; # for all");
      const filter = filterOf(query);
      const cleared = await retained.clear(tenant?.name ?? "", filter);
      log.info(
        { filter, operator: identity.user, count: cleared },
        "an operator has cleared retained messages",
      );
      return { filter, cleared };
    }),
    tracePackets: tracePackets(ctx),
  };
}

function filterOf(query: Query): string {
  const filter = query.filter === undefined ? "#" : textOf(query, "filter");
  if (isTopicFilter(filter) && !filter.startsWith("$share/")) return filter;
  throw new AppError("protocol.malformed", `${filter} is no topic filter`);
}

function toCursor(topic: string): string {
  return Buffer.from(topic).toString("base64url");
}

function topicOf(cursor: string): string {
  const topic = Buffer.from(cursor, "base64url").toString();
  if (toCursor(topic) === cursor) return topic;
  throw new AppError("protocol.malformed", "the cursor is none that a list has given");
}
