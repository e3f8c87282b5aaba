/** What answers the routes for operators. */
import { isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import { MAX_LIMIT } from "../../../core/operations-client.js";
import {
  clientJson,
  effectJson,
  pageJson,
  recordJson,
  sessionJson,
  subscriptionJson,
} from "../../../core/operations-json.js";
import type { ProtocolContext } from "../../../core/protocol.js";
import { type Operator, operatorOf } from "./operator.js";

/** Bytes of the reason that a client is shown. */
const MAX_REASON_BYTES = 200;

type Query = Readonly<Record<string, unknown>>;
type Answer = (operator: Operator, query: Query, client: string) => Promise<object>;

/** By the names of the routes. */
export function adminHandlers(ctx: ProtocolContext) {
  const { operations, log } = ctx;
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
  };
}

/** A parameter that stands several times, or holds several values with commas between them. */
function listOf(query: Query, name: string): string[] {
  const value = query[name];
  const given = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return given.flatMap((text) => String(text).split(","));
}

function textOf(query: Query, name: string): string {
  const value = query[name] ?? "";
  if (typeof value !== "string") throw new AppError("protocol.malformed", `${name} is given more than once`);
  return value;
}

function placeOf(query: Query): { readonly cursor: string; readonly limit?: number } {
  const cursor = textOf(query, "cursor");
  const limit = textOf(query, "limit");
  if (limit === "") return { cursor };
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
    throw new AppError("protocol.malformed", `limit is a whole number from 1 to ${MAX_LIMIT}`);
  }
  return { cursor, limit: Number(limit) };
}

function sinceOf(query: Query): number {
  const since = textOf(query, "since");
  if (since === "") return 0;
  const ms = Date.parse(since);
  if (Number.isNaN(ms))
    throw new AppError("protocol.malformed", "since is a time such as 2030-01-31T12:00:00Z");
  return Math.max(0, ms * 1000);
}
