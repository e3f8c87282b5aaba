/** The routes of flows and their runs and what the OpenAPI document says about them. */
import { json, PROBLEM, type Route } from "../routes.js";

/** Most runs of a page. */
export const MAX_RUNS = 500;
/** When the request names no number. */
export const DEFAULT_RUNS = 100;
/** How runs stand. */
export const STATUSES = ["waiting", "running", "undoing", "succeeded", "failed", "cancelled"] as const;

const text = { type: "string" };
const time = { type: "string", format: "date-time" };
const object = { type: "object", additionalProperties: true };
const TENANT = { tenant: { ...text, description: "Left out, the default one, or that of the operator." } };
const params = {
  type: "object",
  properties: { runId: { ...text, minLength: 1, maxLength: 64, description: "The run." } },
};
const FAILURE = { type: "object", properties: { code: text, message: text } };
const TASK = {
  type: "object",
  properties: {
    device: { ...text, description: "In a step over devices." },
    status: { ...text, description: "`unknown`: it may have been done." },
    attempts: { type: "integer" },
    failure: FAILURE,
    undo: { ...text, description: "What became of what undoes it; absent where nothing was undone." },
    undoFailure: FAILURE,
  },
};
const STEP = {
  type: "object",
  required: ["name", "status"],
  properties: {
    name: text,
    status: { type: "string", enum: ["waiting", "running", "succeeded", "failed", "skipped", "dropped"] },
    begunAt: time,
    endedAt: time,
    outputs: object,
    failure: FAILURE,
    tasks: { type: "array", items: TASK },
  },
};
const RUN = {
  type: "object",
  required: ["id", "flow", "status", "ended", "revision"],
  properties: {
    id: text,
    tenant: text,
    flow: text,
    status: { type: "string", enum: STATUSES },
    ended: { type: "boolean", description: "Nothing more happens to it." },
    priority: { type: "integer" },
    author: { type: "object", properties: { kind: text, name: text } },
    createdAt: time,
    begunAt: time,
    endedAt: time,
    revision: { type: "integer", description: "Grows with all that happens to the run." },
    input: object,
    failure: { ...FAILURE, description: "Why it failed or was cancelled." },
    outputs: object,
    steps: { type: "array", items: STEP, description: "Absent in lists." },
  },
};
const FAILURES = {
  400: { ...PROBLEM, description: "A parameter or the body makes no sense" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  "5xx": PROBLEM,
};
const UNKNOWN = { 404: { ...PROBLEM, description: "There is no such flow or run" } };
const tags = ["flows"];

export const FLOW_ROUTES = {
  listFlows: {
    method: "GET",
    url: "/api/v1/flows",
    schema: {
      operationId: "listFlows",
      summary: "The flows that can be started, and how many runs of each wait and run",
      tags,
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("All of them, by name", {
          type: "object",
          required: ["flows"],
          properties: {
            flows: {
              type: "array",
              items: {
                type: "object",
                required: ["name"],
                properties: {
                  name: text,
                  description: text,
                  inputs: {
                    type: "array",
                    items: {
                      type: "object",
                      properties: {
                        name: text,
                        type: text,
                        required: { type: "boolean" },
                        description: text,
                      },
                    },
                  },
                  waiting: { type: "integer" },
                  running: { type: "integer" },
                },
              },
            },
          },
        }),
        ...FAILURES,
      },
    },
  },
  startFlow: {
    method: "POST",
    url: "/api/v1/flows/:flow/runs",
    schema: {
      operationId: "startFlow",
      summary: "Starts a run of a flow",
      tags,
      params: {
        type: "object",
        properties: { flow: { ...text, minLength: 1, maxLength: 253, description: "Name of the flow." } },
      },
      querystring: { type: "object", properties: TENANT },
      headers: {
        type: "object",
        properties: {
          "idempotency-key": {
            ...text,
            maxLength: 256,
            description: "Per flow: the same one again gives the run that was made the first time.",
          },
        },
      },
      body: {
        content: {
          "application/json": {
            schema: {
              type: "object",
              properties: {
                input: { ...object, description: "What the flow asks for, by name." },
                priority: {
                  type: "integer",
                  minimum: -100,
                  maximum: 100,
                  description: "Left out, that of the flow.",
                },
              },
            },
          },
        },
      },
      response: {
        202: json("Stored: it ends in one state, whatever dies", RUN),
        422: { ...PROBLEM, description: "The flow does not take the input, or the key stands for another" },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
  listFlowRuns: {
    method: "GET",
    url: "/api/v1/flow-runs",
    schema: {
      operationId: "listFlowRuns",
      summary: "Runs that are not over, and the last ones that have ended, the newest first",
      tags,
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          flow: { ...text, description: "Only of this flow." },
          status: {
            type: "array",
            items: { type: "string", enum: STATUSES },
            description: "Only those that stand like one of these.",
          },
          limit: { type: "integer", minimum: 1, maximum: MAX_RUNS, default: DEFAULT_RUNS },
          cursor: { ...text, description: "`next` of the page before." },
        },
      },
      response: {
        200: json("A page of runs", {
          type: "object",
          required: ["runs"],
          properties: {
            runs: { type: "array", items: RUN },
            next: { ...text, description: "Cursor of the next page; absent on the last one." },
          },
        }),
        ...FAILURES,
      },
    },
  },
  readFlowRun: {
    method: "GET",
    url: "/api/v1/flow-runs/:runId",
    schema: {
      operationId: "readFlowRun",
      summary: "One run and its steps",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: { 200: json("The run", RUN), ...UNKNOWN, ...FAILURES },
    },
  },
  cancelFlowRun: {
    method: "DELETE",
    url: "/api/v1/flow-runs/:runId",
    schema: {
      operationId: "cancelFlowRun",
      summary: "Begins nothing further of a run, and undoes what it did",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("The run, which undoes what it did", RUN),
        409: { ...PROBLEM, description: "It has ended, or undoes what it did already" },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
  followFlowRun: {
    method: "GET",
    url: "/api/v1/flow-runs/:runId/progress",
    schema: {
      operationId: "followFlowRun",
      summary:
        "The run as server-sent events: as it stands, and again whenever something has happened, to its end",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: {
        200: { description: "Events named `run`", content: { "text/event-stream": { schema: text } } },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
} as const satisfies Record<string, Route>;
