/** The routes of apps and agents and what the OpenAPI document says about them. */
import { json, PROBLEM, type Route } from "../routes.js";

const text = { type: "string" };
const count = { type: "integer", minimum: 0 };
const time = { type: "string", format: "date-time" };
const texts = { type: "array", items: text };
const INSTANCE = {
  type: "object",
  required: ["bridge", "instance", "healthy", "draining", "serves", "inFlight", "openRequests"],
  properties: {
    bridge: { ...text, description: "Where it is connected." },
    instance: text,
    healthy: { type: "boolean" },
    draining: { type: "boolean", description: "It is about to leave." },
    since: { ...time, description: "When it connected." },
    serves: { ...texts, description: "Requests that it answers." },
    inFlight: { ...count, description: "Messages that it has not acknowledged." },
    openRequests: { ...count, description: "Requests that it has not answered." },
  },
};
const APP = {
  type: "object",
  required: ["app", "remembered", "subscriptions", "instances", "waitingBatches"],
  properties: {
    app: text,
    remembered: { type: "boolean", description: "False: only a route names it, or it was deleted." },
    subscriptions: { type: "array", items: { type: "object", additionalProperties: true } },
    instances: { type: "array", items: INSTANCE, description: "Empty: it is away." },
    waitingBatches: { ...count, description: "Batches of events that wait for it." },
  },
};
const AGENT = {
  type: "object",
  required: ["agent", "node", "version", "healthy", "draining", "serves", "devices", "reachableDevices"],
  properties: {
    agent: text,
    node: { ...text, description: "Edge node that it is." },
    version: text,
    healthy: { type: "boolean", description: "All its lines are open." },
    draining: { type: "boolean" },
    since: { ...time, description: "When it started." },
    serves: { ...texts, description: "Drivers that it has." },
    devices: { ...count, description: "Devices that it drives." },
    reachableDevices: { ...count, description: "Those of them that answer." },
    lines: count,
    linesDown: count,
  },
};
const FAILURES = {
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator of all tenants" },
  "5xx": PROBLEM,
};
const listOf = (key: string, items: object) =>
  json("Those that are known, by name", {
    type: "object",
    required: [key],
    properties: { [key]: { type: "array", items } },
  });

export const APP_ROUTES = {
  listApps: {
    method: "GET",
    url: "/api/v1/apps",
    schema: {
      operationId: "listApps",
      summary: "Apps that are connected, remembered or waited for: what each can do, its load and health",
      tags: ["apps"],
      response: { 200: listOf("apps", APP), ...FAILURES },
    },
  },
  readApp: {
    method: "GET",
    url: "/api/v1/apps/:app",
    schema: {
      operationId: "readApp",
      summary: "One app",
      tags: ["apps"],
      params: { type: "object", properties: { app: { ...text, description: "The app." } } },
      response: {
        200: json("The app", APP),
        404: { ...PROBLEM, description: "There is no such app" },
        ...FAILURES,
      },
    },
  },
  listAgents: {
    method: "GET",
    url: "/api/v1/agents",
    schema: {
      operationId: "listAgents",
      summary:
        "Hardware agents that run: their drivers, how many devices they drive, and whether all lines are open",
      tags: ["apps"],
      response: { 200: listOf("agents", AGENT), ...FAILURES },
    },
  },
} as const satisfies Record<string, Route>;
