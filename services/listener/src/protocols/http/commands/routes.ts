/** The routes of commands to devices and what the OpenAPI document says about them. */
import { json, PROBLEM, type Route } from "../routes.js";

/** Most commands of a page. */
export const MAX_COMMANDS = 500;
/** When the request names no number. */
export const DEFAULT_COMMANDS = 100;
/** States that a request may wait for, in the order of the ladder. */
export const LADDER = ["accepted", "routed", "delivered", "executed", "verified"] as const;
/** All states. */
export const STATES = [...LADDER, "rejected", "expired", "failed", "mismatch"] as const;

const text = { type: "string" };
const time = { type: "string", format: "date-time" };
const TENANT = { tenant: { ...text, description: "Left out, the default one, or that of the operator." } };
const params = {
  type: "object",
  properties: { commandId: { ...text, minLength: 1, maxLength: 64, description: "The command." } },
};
const COMMAND = {
  type: "object",
  required: ["id", "device", "name", "state", "ended", "steps"],
  properties: {
    id: text,
    device: text,
    name: text,
    parameters: { type: "object", additionalProperties: true },
    risk: { type: "string", enum: ["read", "low", "high", "stop"] },
    priority: { type: "integer" },
    state: { type: "string", enum: STATES },
    ended: { type: "boolean", description: "Nothing more will be said of it." },
    attempts: { type: "integer", description: "How often it was given to the device." },
    createdAt: time,
    expiresAt: { ...time, description: "Not given to the device from then on." },
    steps: {
      type: "array",
      items: {
        type: "object",
        required: ["state", "at"],
        properties: { state: { type: "string", enum: STATES }, at: time, cause: text, message: text },
      },
    },
  },
};
const WAIT = {
  wait: {
    type: "string",
    enum: LADDER,
    description: "Answer when the command has come there or has ended; left out, at once.",
  },
  timeout: { ...text, default: "10s", description: "0 to 60s: how long `wait` may take." },
};
const FAILURES = {
  400: { ...PROBLEM, description: "A parameter or the body makes no sense" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, not of this tenant, or denied by the safety envelope" },
  "5xx": PROBLEM,
};
const UNKNOWN = { 404: { ...PROBLEM, description: "There is no such command" } };
const tags = ["commands"];

export const COMMAND_ROUTES = {
  submitCommand: {
    method: "POST",
    url: "/api/v1/commands",
    schema: {
      operationId: "submitCommand",
      summary: "Tells a device what to do; with `group`, all devices of a group, as NDJSON",
      tags,
      querystring: { type: "object", properties: { ...TENANT, ...WAIT } },
      headers: {
        type: "object",
        properties: {
          "idempotency-key": {
            ...text,
            maxLength: 256,
            description: "Per device: the same one again gives the first command.",
          },
          traceparent: text,
        },
      },
      body: {
        content: {
          "application/json": {
            schema: {
              type: "object",
              required: ["command"],
              properties: {
                device: { ...text, description: "Its id; or else `group`." },
                group: { ...text, description: "All devices of this group, one after the other." },
                command: { ...text, description: "A command of the device's profile." },
                parameters: { type: "object", additionalProperties: true },
                ttl: { ...text, default: "60s", description: "How long it may wait for the device." },
                priority: { type: "integer", minimum: -100, maximum: 100, default: 0 },
                override: {
                  type: "object",
                  required: ["reason"],
                  properties: { reason: { ...text, minLength: 1, maxLength: 1024 } },
                  description: "Sets the safety envelope aside; it is audited.",
                },
                rate: {
                  type: "number",
                  minimum: 0.1,
                  maximum: 1000,
                  default: 10,
                  description: "Of a group: a second.",
                },
                stopOnFailures: {
                  type: "integer",
                  minimum: 0,
                  default: 1,
                  description: "Of a group: none is begun when so many have failed; 0: never.",
                },
              },
            },
          },
        },
      },
      response: {
        200: {
          description: "It has come to what was waited for; of a group, a line for each device",
          content: {
            "application/json": { schema: COMMAND },
            "application/x-ndjson": { schema: text },
          },
        },
        202: json("Accepted and stored: it ends in one terminal state", COMMAND),
        422: { ...PROBLEM, description: "The profile has no such command, or its parameters do not fit" },
        ...FAILURES,
      },
    },
  },
  listCommands: {
    method: "GET",
    url: "/api/v1/commands",
    schema: {
      operationId: "listCommands",
      summary: "Commands under way, and the last ones that have ended, the newest first",
      tags,
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          device: { ...text, description: "Only to this device." },
          state: {
            type: "array",
            items: { type: "string", enum: STATES },
            description: "Only in one of these.",
          },
          limit: { type: "integer", minimum: 1, maximum: MAX_COMMANDS, default: DEFAULT_COMMANDS },
          cursor: { ...text, description: "`next` of the page before." },
        },
      },
      response: {
        200: json("A page of commands", {
          type: "object",
          required: ["commands"],
          properties: {
            commands: { type: "array", items: COMMAND },
            next: { ...text, description: "Cursor of the next page; absent on the last one." },
          },
        }),
        ...FAILURES,
      },
    },
  },
  readCommand: {
    method: "GET",
    url: "/api/v1/commands/:commandId",
    schema: {
      operationId: "readCommand",
      summary: "One command and its steps",
      tags,
      params,
      querystring: { type: "object", properties: { ...TENANT, ...WAIT } },
      response: { 200: json("The command", COMMAND), ...UNKNOWN, ...FAILURES },
    },
  },
  cancelCommand: {
    method: "DELETE",
    url: "/api/v1/commands/:commandId",
    schema: {
      operationId: "cancelCommand",
      summary: "Takes a command back as long as its device certainly does not have it",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("Cancelled: certainly not executed", COMMAND),
        409: { ...PROBLEM, description: "It has ended, or may have reached its device" },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
  followCommand: {
    method: "GET",
    url: "/api/v1/commands/:commandId/steps",
    schema: {
      operationId: "followCommand",
      summary: "The steps of a command as server-sent events, from the first one to the last",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: {
        200: { description: "Events named `step`", content: { "text/event-stream": { schema: text } } },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
} as const satisfies Record<string, Route>;
