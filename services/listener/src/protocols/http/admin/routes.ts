/** The routes for operators and what the OpenAPI document says about them. */
import { MAX_LIMIT } from "../../../core/operations-client.js";
import { DEFAULT_TRACE_RATE, MAX_TRACE_RATE, MAX_TRACED_PAYLOAD } from "../../../core/operations-tracing.js";
import { json, PROBLEM, type Route } from "../routes.js";

const CLIENT = {
  client: { type: "string", minLength: 1, description: "Device id, or what the client calls itself." },
};
const TENANT = {
  tenant: {
    type: "string",
    description: "Only this tenant; left out, all that the operator may see. Empty: the default one.",
  },
};
const ONE_TENANT = {
  tenant: { type: "string", description: "Left out: the default one, or the operator's own." },
};
/** Bytes of a retained payload that a list shows at most. */
export const MAX_RETAINED_PAYLOAD = 65_536;
const PAGE = {
  limit: { type: "integer", minimum: 1, maximum: MAX_LIMIT, default: 100 },
  cursor: { type: "string", description: "`next` of the page before." },
};
const words = (description: string) => ({ type: "array", items: { type: "string" }, description });
const MISSING = {
  ...words("Listeners that live and did not answer in time: what they know is not in the answer."),
};
const NEXT = { type: "string", description: "Cursor of the next page; absent on the last one." };
const object = { type: "object", additionalProperties: true };
const FAILURES = {
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  "5xx": PROBLEM,
};
const NOT_KNOWN = { 404: { ...PROBLEM, description: "No listener knows the client" } };

function page(name: string, description: string, properties: object) {
  const list = { type: "array", items: { type: "object", properties } };
  return json(description, {
    type: "object",
    required: [name],
    properties: { [name]: list, next: NEXT, missing: MISSING },
  });
}

const text = { type: "string" };
const count = { type: "integer" };

export const ADMIN_ROUTES = {
  listClients: {
    method: "GET",
    url: "/api/v1/admin/clients",
    schema: {
      operationId: "listClients",
      summary: "Clients that are connected, over all listeners, in the order of listeners and of connecting",
      tags: ["operators"],
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          protocol: words("mqtt, http, websocket, tcp, udp; any of these."),
          version: words("Of the protocol: 3.1, 3.1.1 or 5 for MQTT; any of these."),
          user: words("User names; `*` and `?` as in file names."),
          device: words("Device ids; `*` and `?` as in file names."),
          listener: words("Instances, such as listener-0."),
          since: { type: "string", format: "date-time", description: "Connected at or after this time." },
          ...PAGE,
        },
      },
      response: {
        200: page("clients", "A page of clients", {
          device: text,
          tenant: text,
          clientId: text,
          user: text,
          listener: text,
          connection: count,
          protocol: text,
          version: text,
          port: text,
          address: text,
          connectedAt: { type: "string", format: "date-time" },
        }),
        ...FAILURES,
      },
    },
  },
  inspectClient: {
    method: "GET",
    url: "/api/v1/admin/clients/:client",
    schema: {
      operationId: "inspectClient",
      summary:
        "All that is known of one client; of one that is not connected when and why it was last disconnected",
      tags: ["operators"],
      params: { type: "object", properties: CLIENT },
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("The client", {
          type: "object",
          required: ["client", "connected"],
          properties: {
            client: text,
            connected: { type: "boolean" },
            connections: { type: "array", items: object },
            lastDisconnect: {
              type: "object",
              properties: { at: { type: "string", format: "date-time" }, reason: text, listener: text },
            },
            missing: MISSING,
          },
        }),
        ...NOT_KNOWN,
        ...FAILURES,
      },
    },
  },
  disconnectClient: {
    method: "DELETE",
    url: "/api/v1/admin/clients/:client",
    schema: {
      operationId: "disconnectClient",
      summary: "Disconnects a client; MQTT 5 clients are told reason code 152 (administrative action)",
      tags: ["operators"],
      params: { type: "object", properties: CLIENT },
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          reason: {
            type: "string",
            description: "Shown to the client where its protocol has a place for it.",
          },
        },
      },
      response: {
        200: json("How many connections were told to go", {
          type: "object",
          properties: { client: text, disconnected: count, missing: MISSING },
        }),
        ...NOT_KNOWN,
        ...FAILURES,
      },
    },
  },
  listSubscriptions: {
    method: "GET",
    url: "/api/v1/admin/subscriptions",
    schema: {
      operationId: "listSubscriptions",
      summary: "Subscriptions of connected clients, and of sessions whose clients are away",
      tags: ["operators"],
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          client: { ...CLIENT.client, description: "Only those of this client." },
          filter: { type: "string", description: "Only this filter, as it was subscribed." },
          topic: { type: "string", description: "Only those that messages on this topic go to." },
          ...PAGE,
        },
      },
      response: {
        200: page("subscriptions", "A page of subscriptions", {
          filter: text,
          device: text,
          tenant: text,
          protocol: text,
          listener: text,
          qos: count,
          noLocal: { type: "boolean" },
          retainAsPublished: { type: "boolean" },
          subscriptionId: count,
        }),
        ...FAILURES,
      },
    },
  },
  listSessions: {
    method: "GET",
    url: "/api/v1/admin/sessions",
    schema: {
      operationId: "listSessions",
      summary: "Sessions: those that live with their connection, and those that outlive it",
      tags: ["operators"],
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          client: { ...CLIENT.client, description: "Only that of this client." },
          ...PAGE,
        },
      },
      response: {
        200: page("sessions", "A page of sessions", {
          client: text,
          tenant: text,
          persistent: { type: "boolean" },
          connected: { type: "boolean" },
          keptBy: text,
          offlineSince: { type: "string", format: "date-time" },
          expirySeconds: { description: "Seconds without a connection, or `never`." },
          subscriptions: count,
          inflight: count,
          queued: count,
          queuedBytes: count,
          dropped: count,
        }),
        ...FAILURES,
      },
    },
  },
  deleteSession: {
    method: "DELETE",
    url: "/api/v1/admin/sessions/:client",
    schema: {
      operationId: "deleteSession",
      summary:
        "Forgets the session of a client with all that waits in it, and ends the connection that holds it",
      tags: ["operators"],
      params: { type: "object", properties: CLIENT },
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("How many sessions were deleted", {
          type: "object",
          properties: { client: text, deleted: count, missing: MISSING },
        }),
        ...NOT_KNOWN,
        ...FAILURES,
      },
    },
  },
  listRetained: {
    method: "GET",
    url: "/api/v1/admin/retained",
    schema: {
      operationId: "listRetained",
      summary: "Retained messages, in the order of their topics",
      tags: ["operators"],
      querystring: {
        type: "object",
        properties: {
          ...ONE_TENANT,
          filter: { type: "string", default: "#", description: "Topic filter, or one topic." },
          payload: {
            type: "integer",
            minimum: 0,
            maximum: MAX_RETAINED_PAYLOAD,
            default: 0,
            description: "Bytes of each payload that are shown.",
          },
          ...PAGE,
        },
      },
      response: {
        200: page("retained", "A page of retained messages", {
          topic: text,
          device: text,
          qos: count,
          bytes: count,
          publishedAt: { type: "string", format: "date-time" },
          expiresAt: { type: "string", format: "date-time" },
          contentType: text,
          payload: { type: "string", description: "Where it is UTF-8." },
          payloadBase64: { type: "string", description: "Where it is not." },
        }),
        ...FAILURES,
      },
    },
  },
  clearRetained: {
    method: "DELETE",
    url: "/api/v1/admin/retained",
    schema: {
      operationId: "clearRetained",
      summary: "Clears the retained messages of all topics that a filter matches",
      tags: ["operators"],
      querystring: {
        type: "object",
        required: ["filter"],
        properties: {
          ...ONE_TENANT,
          filter: { type: "string", description: "Topic filter, or one topic; `#` for all." },
        },
      },
      response: {
        200: json("How many were cleared", {
          type: "object",
          properties: { filter: text, cleared: count },
        }),
        ...FAILURES,
      },
    },
  },
  tracePackets: {
    method: "GET",
    url: "/api/v1/admin/trace",
    schema: {
      operationId: "tracePackets",
      summary:
        "MQTT packets of clients or topics as they pass, as server-sent events, until the request ends",
      tags: ["operators"],
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          client: words("All packets of these clients: device ids, or what they call themselves."),
          topic: words("Messages that match one of these topic filters, with their acknowledgements."),
          rate: {
            type: "integer",
            minimum: 1,
            maximum: MAX_TRACE_RATE,
            default: DEFAULT_TRACE_RATE,
            description:
              "Packets a second at most from each listener; an event `left-out` counts the others.",
          },
          payload: {
            type: "integer",
            minimum: 0,
            maximum: MAX_TRACED_PAYLOAD,
            default: 0,
            description: "Bytes of each payload that are shown.",
          },
        },
      },
      response: {
        200: { description: "Events", content: { "text/event-stream": { schema: { type: "string" } } } },
        "4xx": PROBLEM,
      },
    },
  },
} as const satisfies Record<string, Route>;
