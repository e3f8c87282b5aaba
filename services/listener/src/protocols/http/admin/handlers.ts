/** What answers the routes for operators. */
import { isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
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
import { listOf, placeOf, type Query, sinceOf, textOf } from "./query.js";
import { tracePackets } from "./trace.js";

/** Bytes of the reason that a client is shown. */
const MAX_REASON_BYTES = 200;

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
    tracePackets: tracePackets(ctx),
  };
}
