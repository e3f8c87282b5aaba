/** The routes of alarms and what the OpenAPI document says about them. */
import { ALARM_SEVERITIES, ALARM_STATES } from "@myelin/bus";
import { json, PROBLEM, type Route } from "../routes.js";

/** Most alarms of a page. */
export const MAX_ALARMS = 500;
/** When the request names no number. */
export const DEFAULT_ALARMS = 100;
/** Longest note, in characters. */
export const MAX_NOTE = 512;

const text = { type: "string" };
const time = { type: "string", format: "date-time" };
const TENANT = { tenant: { ...text, description: "Left out, the default one, or that of the operator." } };
const severity = { type: "string", enum: ALARM_SEVERITIES };
const state = { type: "string", enum: ALARM_STATES };
const params = {
  type: "object",
  properties: { alarmId: { ...text, minLength: 1, maxLength: 64, description: "The alarm." } },
};
const ALARM = {
  type: "object",
  required: ["id", "device", "key", "rule", "severity", "state", "message", "raisedAt", "count", "values"],
  properties: {
    id: text,
    tenant: text,
    device: text,
    key: { ...text, description: "Alarms of a device with the same key are one until it is cleared." },
    rule: text,
    severity,
    state,
    message: text,
    raisedAt: time,
    acknowledgedAt: time,
    acknowledgedBy: text,
    clearedAt: time,
    clearedBy: { ...text, description: "Absent: by its rule." },
    note: text,
    count: { type: "integer", description: "How often it was raised." },
    values: { type: "object", additionalProperties: true, description: "What its rule saw last." },
  },
};
const FAILURES = {
  400: { ...PROBLEM, description: "A parameter or the body makes no sense" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  "5xx": PROBLEM,
};
const UNKNOWN = { 404: { ...PROBLEM, description: "There is no such alarm" } };
const BODY = {
  content: {
    "application/json": {
      schema: {
        type: "object",
        properties: { note: { ...text, maxLength: MAX_NOTE, description: "Kept with the alarm." } },
      },
    },
  },
};
const tags = ["alarms"];

export const ALARM_ROUTES = {
  listAlarms: {
    method: "GET",
    url: "/api/v1/alarms",
    schema: {
      operationId: "listAlarms",
      summary: "Alarms that stand, and the last ones that are over, the newest first",
      tags,
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          device: { ...text, description: "Only of this device." },
          rule: { ...text, description: "Only what this rule has raised." },
          state: { type: "array", items: state, description: "Only those that stand like one of these." },
          severity: { ...severity, description: "Only those that are so urgent, or more." },
          limit: { type: "integer", minimum: 1, maximum: MAX_ALARMS, default: DEFAULT_ALARMS },
          cursor: { ...text, description: "`next` of the page before." },
        },
      },
      response: {
        200: json("A page of alarms", {
          type: "object",
          required: ["alarms"],
          properties: {
            alarms: { type: "array", items: ALARM },
            next: { ...text, description: "Cursor of the next page; absent on the last one." },
          },
        }),
        ...FAILURES,
      },
    },
  },
  followAlarms: {
    method: "GET",
    url: "/api/v1/alarms/changes",
    schema: {
      operationId: "followAlarms",
      summary: "Live, as server-sent events: an event `alarm` for each one that stands, then for each change",
      tags,
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          device: { ...text, description: "Only of this device." },
          rule: { ...text, description: "Only what this rule has raised." },
          severity: { ...severity, description: "Only those that are so urgent, or more." },
        },
      },
      response: {
        200: { description: "Events named `alarm`", content: { "text/event-stream": { schema: text } } },
        ...FAILURES,
      },
    },
  },
  readAlarm: {
    method: "GET",
    url: "/api/v1/alarms/:alarmId",
    schema: {
      operationId: "readAlarm",
      summary: "One alarm",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      response: { 200: json("The alarm", ALARM), ...UNKNOWN, ...FAILURES },
    },
  },
  acknowledgeAlarm: {
    method: "POST",
    url: "/api/v1/alarms/:alarmId/acknowledge",
    schema: {
      operationId: "acknowledgeAlarm",
      summary: "Says that somebody looks after it; the first to say so is kept",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      body: BODY,
      response: {
        200: json("Stored: the alarm as it stands", ALARM),
        409: { ...PROBLEM, description: "It is over" },
        ...UNKNOWN,
        ...FAILURES,
      },
    },
  },
  clearAlarm: {
    method: "POST",
    url: "/api/v1/alarms/:alarmId/clear",
    schema: {
      operationId: "clearAlarm",
      summary: "Says that it is over, although its rule does not; the next firing raises a new one",
      tags,
      params,
      querystring: { type: "object", properties: TENANT },
      body: BODY,
      response: { 200: json("Stored: the alarm as it stands", ALARM), ...UNKNOWN, ...FAILURES },
    },
  },
} as const satisfies Record<string, Route>;
