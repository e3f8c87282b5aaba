/** The routes of the HTTP API and what its OpenAPI document says about them. */

import { AppError } from "@myelin/kernel";
import type { FastifyInstance, FastifySchema, RouteHandlerMethod } from "fastify";

const DEVICE = { deviceId: { type: "string", minLength: 1, maxLength: 256, description: "The device." } };
const PATH = { "*": { type: "string", minLength: 1, description: "Topic path, slashes included." } };
/** Answer of a request that failed. */
export const PROBLEM = {
  description: "What went wrong, as RFC 9457 problem details",
  content: {
    "application/problem+json": {
      schema: {
        type: "object",
        required: ["type", "title", "status", "code"],
        properties: {
          type: { type: "string" },
          title: { type: "string" },
          status: { type: "integer" },
          detail: { type: "string" },
          code: { type: "string", description: "Stable code of the error reference." },
          accepted: { type: "integer" },
          rejected: { type: "integer" },
          errors: {
            type: "array",
            items: {
              type: "object",
              properties: {
                line: { type: "integer" },
                code: { type: "string" },
                detail: { type: "string" },
              },
            },
          },
        },
      },
    },
  },
};
const COUNTS = {
  type: "object",
  properties: { accepted: { type: "integer" }, rejected: { type: "integer" } },
} as const;
/** Answer with a JSON body. */
export const json = (description: string, schema: object) => ({
  description,
  content: { "application/json": { schema } },
});

/** One route. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly schema: FastifySchema & Readonly<Record<string, unknown>>;
}

/** What devices use. */
export const DEVICE_ROUTES = {
  postMessages: {
    method: "POST",
    url: "/api/v1/devices/:deviceId/messages/*",
    schema: {
      operationId: "postMessages",
      summary: "Sends readings of a device: one JSON value, an array, an NDJSON stream, or raw bytes",
      consumes: ["application/json", "application/x-ndjson", "application/octet-stream"],
      params: { type: "object", properties: { ...DEVICE, ...PATH } },
      querystring: {
        type: "object",
        properties: { lane: { type: "string", enum: ["event", "telemetry"], default: "event" } },
      },
      headers: {
        type: "object",
        properties: {
          "idempotency-key": {
            type: "string",
            description: "Names the request; what is sent twice is taken once.",
          },
          "x-myelin-source-time": {
            type: "string",
            description: "When it was measured: RFC 3339 or microseconds.",
          },
          "x-myelin-ttl": { type: "string", description: "How long it is worth anything, such as 30s." },
          traceparent: { type: "string" },
        },
      },
      response: {
        202: json("Stored (event lane) or taken (telemetry lane)", COUNTS),
        207: PROBLEM,
        "4xx": PROBLEM,
        "5xx": PROBLEM,
      },
    },
  },
  pollMessages: {
    method: "GET",
    url: "/api/v1/devices/:deviceId/messages",
    schema: {
      operationId: "pollMessages",
      summary: "Fetches messages for a device; waits for the first one",
      params: { type: "object", properties: DEVICE },
      querystring: { type: "object", properties: { wait: { type: "string", description: "0 to 60s." } } },
      response: {
        200: json("Messages", { type: "array", items: { type: "object", additionalProperties: true } }),
        204: { description: "None within the wait", type: "null" },
        "4xx": PROBLEM,
      },
    },
  },
  streamMessages: {
    method: "GET",
    url: "/api/v1/devices/:deviceId/stream",
    schema: {
      operationId: "streamMessages",
      summary: "Messages for a device as server-sent events",
      params: { type: "object", properties: DEVICE },
      response: {
        200: { description: "Events", content: { "text/event-stream": { schema: { type: "string" } } } },
        "4xx": PROBLEM,
      },
    },
  },
  postCommand: {
    method: "POST",
    url: "/api/v1/devices/:deviceId/commands/*",
    schema: {
      operationId: "postCommand",
      summary: "Sends a message to a connected device",
      params: { type: "object", properties: { ...DEVICE, ...PATH } },
      querystring: {
        type: "object",
        properties: {
          wait: {
            type: "string",
            enum: ["true", "false"],
            description: "Answer when the device has acknowledged.",
          },
          timeout: { type: "string", description: "0 to 60s." },
        },
      },
      response: {
        202: json("How far it came", { type: "object", properties: { state: { type: "string" } } }),
        "4xx": PROBLEM,
        "5xx": PROBLEM,
      },
    },
  },
} as const satisfies Record<string, Route>;

/** What answers each route. */
export type RouteHandlers<Routes> = { readonly [K in keyof Routes]: RouteHandlerMethod };

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** Adds all routes, and for each of their paths the answer 405 to every other method. */
export function addRoutes<Routes extends Readonly<Record<string, Route>>>(
  app: FastifyInstance,
  routes: Routes,
  handlers: RouteHandlers<Routes>,
): void {
  const allowed = new Map<string, string[]>();
  for (const [name, route] of Object.entries(routes)) {
    app.route({ ...route, exposeHeadRoute: false, handler: handlers[name] } as never);
    allowed.set(route.url, [...(allowed.get(route.url) ?? []), route.method]);
  }
  for (const [url, methods] of allowed) {
    app.route({
      method: METHODS.filter((method) => !methods.includes(method)),
      url,
      exposeHeadRoute: false,
      schema: { hide: true } as FastifySchema,
      handler: (request, reply) => {
        reply.header("allow", methods.join(", "));
        throw Object.assign(new AppError("protocol.unsupported", `${request.method} is not allowed here`), {
          statusCode: 405,
        });
      },
    });
  }
}
