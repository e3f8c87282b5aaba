/** The routes of stored readings and what the OpenAPI document says about them. */
import { AGGREGATE_FIELDS } from "../../../core/history-text.js";
import { json, PROBLEM, type Route } from "../routes.js";

/** Most rows of a page of JSON. */
export const MAX_ROWS = 5_000;
const DEFAULT_ROWS = 1_000;

const text = { type: "string" };
const number = { type: "number" };
const time = { type: "string", format: "date-time" };
const params = {
  type: "object",
  properties: { device: { type: "string", minLength: 1, description: "The device." } },
};
const SERIES = {
  sink: { ...text, description: "The sink to ask; needed where there are several." },
  tenant: { ...text, description: "Left out, the default one, or that of the operator." },
  path: { ...text, description: "Only what came with this path or topic." },
  point: { ...text, description: "Only this point: a field, with dots between levels." },
};
const PERIOD = {
  from: { ...text, description: "First time: RFC 3339, or a duration before now such as 1h." },
  to: { ...text, description: "Time behind the last one." },
};
const PAGE = {
  limit: {
    type: "integer",
    minimum: 1,
    description: `Rows; of a page of JSON at most ${MAX_ROWS}, and ${DEFAULT_ROWS} when left out. NDJSON and CSV give all when left out.`,
  },
  cursor: { ...text, description: "`next` of the page before." },
  format: {
    type: "string",
    enum: ["json", "ndjson", "csv"],
    default: "json",
    description: "Left out, what `Accept` asks for.",
  },
};
const FAILURES = {
  400: { ...PROBLEM, description: "A parameter makes no sense" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  404: { ...PROBLEM, description: "There is no such sink" },
  "5xx": PROBLEM,
};
const READING = {
  device: text,
  path: text,
  point: text,
  time,
  quality: { type: "string", enum: ["good", "uncertain", "bad"] },
  reason: { ...text, description: "Why the quality is not good; absent where nobody said." },
  kind: { type: "string", enum: ["number", "boolean", "text", "json", "bytes", "none"] },
  value: {
    description:
      "NaN and infinite numbers stand as text; bytes stand in `valueBase64`; null where there is no value, which is of kind `none`.",
  },
  valueBase64: text,
};
const rows = (description: string, name: string, properties: object) => {
  const list = { type: "array", items: { type: "object", properties } };
  const next = { ...text, description: "Cursor of the next page; absent on the last one." };
  const schema = { type: "object", required: [name], properties: { [name]: list, next } };
  const page = json(description, schema);
  return {
    ...page,
    content: {
      ...page.content,
      "application/x-ndjson": { schema: text },
      "text/csv": { schema: text },
    },
  };
};

export const HISTORY_ROUTES = {
  readHistory: {
    method: "GET",
    url: "/api/v1/history/:device",
    schema: {
      operationId: "readHistory",
      summary: "What a sink has stored of a device, by time",
      tags: ["history"],
      params,
      querystring: {
        type: "object",
        properties: {
          ...SERIES,
          ...PERIOD,
          order: {
            type: "string",
            enum: ["newest", "oldest"],
            default: "newest",
            description: "What comes first.",
          },
          ...PAGE,
        },
      },
      response: { 200: rows("A page of readings", "readings", READING), ...FAILURES },
    },
  },
  aggregateHistory: {
    method: "GET",
    url: "/api/v1/history/:device/aggregates",
    schema: {
      operationId: "aggregateHistory",
      summary: "Count, mean, extremes and sum of the stored numbers over equal stretches of time",
      tags: ["history"],
      params,
      querystring: {
        type: "object",
        properties: {
          ...SERIES,
          ...PERIOD,
          every: { ...text, description: "Length of a stretch, such as 5m; left out, the whole is one." },
          fields: { ...text, description: `Of ${AGGREGATE_FIELDS.join(", ")}; all when left out.` },
          ...PAGE,
        },
      },
      response: {
        200: rows("A page of stretches in which there is a number, by path, point and time", "aggregates", {
          device: text,
          path: text,
          point: text,
          start: time,
          ...Object.fromEntries(AGGREGATE_FIELDS.map((field) => [field, number])),
        }),
        ...FAILURES,
      },
    },
  },
  latestHistory: {
    method: "GET",
    url: "/api/v1/history/:device/latest",
    schema: {
      operationId: "latestHistory",
      summary: "The newest stored reading of each point",
      tags: ["history"],
      params,
      querystring: { type: "object", properties: { ...SERIES, ...PAGE } },
      response: { 200: rows("A page of readings, by path and point", "readings", READING), ...FAILURES },
    },
  },
} as const satisfies Record<string, Route>;

/** Rows of a page of JSON. @throws nothing: `limit` has been checked */
export function rowsOf(limit: number | undefined): number {
  return Math.min(limit ?? DEFAULT_ROWS, MAX_ROWS);
}
