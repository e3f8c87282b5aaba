/** The routes of the registry of devices and what the OpenAPI document says about them. */
import { json, PROBLEM, type Route } from "../routes.js";

/** Most devices of a page of JSON. */
export const MAX_DEVICES = 1_000;
/** When the request names no number. */
export const DEFAULT_DEVICES = 100;
/** Most refused lines that the report of an import tells one by one. */
export const MAX_REFUSED = 10_000;
/** When the request names no number. */
export const DEFAULT_REFUSED = 100;

const text = { type: "string" };
const count = { type: "integer" };
const time = { type: "string", format: "date-time" };
const params = {
  type: "object",
  properties: { deviceId: { ...text, minLength: 1, maxLength: 256, description: "The device." } },
};
const TENANT = { tenant: { ...text, description: "Left out, the default one, or that of the operator." } };
const words = (description: string) => ({ type: "array", items: text, description });
const TEXTS = { type: "object", additionalProperties: text };
const FIELDS = {
  profile: { ...text, maxLength: 253, description: "Name of a DeviceProfile; empty: none." },
  description: { ...text, maxLength: 1024 },
  enabled: { type: "boolean", default: true, description: "False: it may not connect." },
  tags: { ...TEXTS, maxProperties: 64, description: "Values by name." },
  groups: {
    type: "array",
    items: { ...text, minLength: 1, maxLength: 128 },
    maxItems: 64,
    uniqueItems: true,
  },
};
const DEVICE = {
  type: "object",
  required: ["id", "version"],
  properties: {
    tenant: { ...text, description: "Absent: the default one." },
    id: text,
    ...FIELDS,
    version: { ...count, description: "Grows with each change; part of the ETag." },
    createdAt: time,
    updatedAt: time,
    presence: {
      type: "object",
      description:
        "Absent for a device that has not been seen. One that is back within seconds was not away.",
      properties: {
        state: { type: "string", enum: ["online", "offline"] },
        since: time,
        lastSeen: { ...time, description: "When its last connection ended; absent while it is online." },
        protocol: text,
        address: text,
      },
    },
  },
};
const SETTING = { type: "object", properties: { id: text, ...FIELDS } };
const REPORT = {
  type: "object",
  required: ["imported", "refused"],
  properties: {
    imported: { ...count, description: "Devices that are in the registry now as their lines say." },
    created: { ...count, description: "Of these, those that were not known before." },
    refused: count,
    errors: {
      type: "array",
      description: "The first refused lines, as many as `errors` asks for.",
      items: {
        type: "object",
        properties: {
          line: count,
          path: { ...text, description: "The field that is wrong." },
          code: { ...text, description: "Stable code of the error reference." },
          detail: { ...text, description: "The rule." },
        },
      },
    },
  },
};
const ETAG = {
  ETag: { schema: text, description: "Of the version and presence; If-Match looks at the version alone." },
};
const device = (description: string) => ({ ...json(description, DEVICE), headers: ETAG });
const body = (description: string, types: readonly string[], schema: object) => ({
  description,
  content: Object.fromEntries(types.map((type) => [type, { schema }])),
});
const IF_MATCH = {
  "if-match": { ...text, description: "Only if the record has one of these versions; `*`: any." },
};
const IF_NONE_MATCH = {
  "if-none-match": { ...text, description: "Only if it has none of these; `*`: if there is no such device." },
};
const FAILURES = {
  400: { ...PROBLEM, description: "A parameter or the body makes no sense" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  "5xx": PROBLEM,
};
const UNKNOWN = { 404: { ...PROBLEM, description: "There is no such device" } };
const CHANGED = { 412: { ...PROBLEM, description: "A condition of the request does not hold" } };
const INVALID = { 422: { ...PROBLEM, description: "A field is wrong; `path` names it" } };
const tags = ["devices"];

export const REGISTRY_ROUTES = {
  listDevices: {
    method: "GET",
    url: "/api/v1/devices",
    schema: {
      operationId: "listDevices",
      summary:
        "Devices of the registry, in the order of their ids; as NDJSON or CSV all of them, to be imported again",
      tags,
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          profile: { ...text, description: "Only devices of this profile." },
          group: words("Only devices in this group; in all of them where several are given."),
          tag: words("`name=value`: only devices with this tag; with all of them where several are given."),
          disabled: { type: "boolean", default: false, description: "Only devices that may not connect." },
          presence: {
            type: "string",
            enum: ["online", "offline"],
            description: "Only devices that are so; offline ones are those too that have not been seen.",
          },
          idPrefix: { ...text, description: "Only ids that begin with this." },
          limit: { type: "integer", minimum: 1, maximum: MAX_DEVICES, default: DEFAULT_DEVICES },
          cursor: { ...text, description: "`next` of the page before." },
          format: {
            type: "string",
            enum: ["json", "ndjson", "csv"],
            default: "json",
            description: "Left out, what `Accept` asks for.",
          },
        },
      },
      response: {
        200: {
          description: "A page of devices",
          content: {
            "application/json": {
              schema: {
                type: "object",
                required: ["devices"],
                properties: {
                  devices: { type: "array", items: DEVICE },
                  next: { ...text, description: "Cursor of the next page; absent on the last one." },
                },
              },
            },
            "application/x-ndjson": { schema: text },
            "text/csv": { schema: text },
          },
        },
        ...FAILURES,
      },
    },
  },
  createDevice: {
    method: "POST",
    url: "/api/v1/devices",
    schema: {
      operationId: "createDevice",
      summary: "Makes a device; a stream of NDJSON or CSV makes and replaces many, each line for itself",
      tags,
      headers: {
        type: "object",
        properties: {
          "idempotency-key": {
            ...text,
            maxLength: 255,
            description: "Names the request for one device; sent again it finds the device that it has made.",
          },
        },
      },
      querystring: {
        type: "object",
        properties: {
          ...TENANT,
          errors: {
            type: "integer",
            minimum: 0,
            maximum: MAX_REFUSED,
            default: DEFAULT_REFUSED,
            description: "Refused lines that the report tells one by one; all are counted.",
          },
        },
      },
      body: {
        content: {
          "application/json": { schema: { ...SETTING, required: ["id"] } },
          "application/x-ndjson": { schema: text },
          "text/csv": { schema: text },
        },
      },
      response: {
        200: json("All lines are imported", REPORT),
        201: { ...device("The device"), headers: { ...ETAG, Location: { schema: text } } },
        207: json("Some lines are imported and some are refused", REPORT),
        409: { ...PROBLEM, description: "There is such a device already" },
        ...INVALID,
        ...FAILURES,
      },
    },
  },
  readDevice: {
    method: "GET",
    url: "/api/v1/devices/:deviceId",
    schema: {
      operationId: "readDevice",
      summary: "One device",
      tags,
      params,
      headers: { type: "object", properties: { ...IF_MATCH, ...IF_NONE_MATCH } },
      querystring: { type: "object", properties: TENANT },
      response: {
        200: device("The device"),
        304: { description: "It is one of the versions that the client has", type: "null" },
        ...UNKNOWN,
        ...CHANGED,
        ...FAILURES,
      },
    },
  },
  putDevice: {
    method: "PUT",
    url: "/api/v1/devices/:deviceId",
    schema: {
      operationId: "putDevice",
      summary: "Makes a device, or takes the place of what is there: fields that are left out are empty",
      tags,
      params,
      headers: { type: "object", properties: { ...IF_MATCH, ...IF_NONE_MATCH } },
      querystring: { type: "object", properties: TENANT },
      body: body("The device", ["application/json"], SETTING),
      response: {
        200: device("The device, as it is now"),
        201: device("The device, which is new"),
        ...CHANGED,
        ...INVALID,
        ...FAILURES,
      },
    },
  },
  patchDevice: {
    method: "PATCH",
    url: "/api/v1/devices/:deviceId",
    schema: {
      operationId: "patchDevice",
      summary: "Changes some fields of a device by a JSON merge patch (RFC 7396)",
      tags,
      params,
      headers: { type: "object", properties: IF_MATCH },
      querystring: { type: "object", properties: TENANT },
      body: body("The patch", ["application/merge-patch+json", "application/json"], SETTING),
      response: {
        200: device("The device, as it is now"),
        ...UNKNOWN,
        ...CHANGED,
        ...INVALID,
        ...FAILURES,
      },
    },
  },
  deleteDevice: {
    method: "DELETE",
    url: "/api/v1/devices/:deviceId",
    schema: {
      operationId: "deleteDevice",
      summary: "Forgets a device",
      tags,
      params,
      headers: { type: "object", properties: IF_MATCH },
      querystring: { type: "object", properties: TENANT },
      response: {
        204: { description: "It is forgotten", type: "null" },
        ...UNKNOWN,
        ...CHANGED,
        ...FAILURES,
      },
    },
  },
} as const satisfies Record<string, Route>;
