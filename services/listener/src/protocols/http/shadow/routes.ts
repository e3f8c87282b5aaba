/** The routes of shadows and what the OpenAPI document says about them. */
import { json, PROBLEM, type Route } from "../routes.js";

const text = { type: "string" };
const DEVICE = { deviceId: { ...text, minLength: 1, maxLength: 256, description: "The device." } };
const NAME = {
  shadow: { ...text, pattern: "^[A-Za-z0-9:_-]{1,64}$", description: "Name of the shadow." },
};
const TENANT = { tenant: { ...text, description: "Left out, the default one, or that of the operator." } };
const anything = { type: "object", additionalProperties: true };
const STATE = {
  type: "object",
  properties: {
    desired: { ...anything, description: "What the device should do." },
    reported: { ...anything, description: "What it has measured." },
    delta: { ...anything, description: "What is desired and not reported; absent: nothing." },
  },
};
const SHADOW = {
  type: "object",
  required: ["state", "version", "timestamp"],
  properties: {
    state: STATE,
    metadata: { ...anything, description: "When each field was written, in seconds since 1970." },
    version: { type: "integer", description: "Grows with each change; the ETag." },
    timestamp: { type: "integer", description: "Seconds since 1970." },
    condition: {
      type: "object",
      description: "How far the device follows; absent as long as nothing was ever desired.",
      properties: {
        state: { type: "string", enum: ["synced", "drifted", "conflict", "unreachable"] },
        since: { type: "string", format: "date-time" },
        reason: text,
      },
    },
  },
};
const WISH = {
  type: "object",
  required: ["state"],
  properties: {
    state: {
      type: "object",
      required: ["desired"],
      properties: {
        desired: { type: ["object", "null"], description: "Null: nothing is desired any more." },
      },
    },
    version: { type: "integer", minimum: 0, description: "Only for this version, as If-Match." },
  },
};
const ETAG = { ETag: { schema: text, description: "The version, for If-Match." } };
const IF_MATCH = {
  "if-match": { ...text, description: "Only if the shadow has one of these versions; `*`: any." },
};
const IF_NONE_MATCH = {
  "if-none-match": { ...text, description: "Only if it has none of these; `*`: if there is none." },
};
const FAILURES = {
  400: { ...PROBLEM, description: "What is sent breaks a rule; the problem names path and rule" },
  401: { ...PROBLEM, description: "Not let in" },
  403: { ...PROBLEM, description: "No operator, or not of this tenant" },
  "5xx": PROBLEM,
};
const UNKNOWN = { 404: { ...PROBLEM, description: "There is no such shadow" } };
const CHANGED = { 412: { ...PROBLEM, description: "A condition of the request does not hold" } };
const WRITTEN = {
  409: { ...PROBLEM, description: "It has another version than the body says" },
  413: { ...PROBLEM, description: "Larger than a shadow may be" },
  429: { ...PROBLEM, description: "Too many requests wait for it" },
};
const tags = ["shadows"];
const body = (types: readonly string[]) => ({
  content: Object.fromEntries(types.map((type) => [type, { schema: WISH }])),
});
const answer = { ...json("The shadow, as it is now", SHADOW), headers: ETAG };

/** The four routes of one shadow, at a path. */
function routesOf(name: string, url: string, which: string, params: object) {
  const common = { tags, params: { type: "object", properties: params } };
  const querystring = { type: "object", properties: TENANT };
  const headers = { type: "object", properties: { ...IF_MATCH, ...IF_NONE_MATCH } };
  const read: Route = {
    method: "GET",
    url,
    schema: {
      operationId: `read${name}`,
      summary: `${which}; as server-sent events with each change of it, if the request accepts these`,
      ...common,
      headers,
      querystring,
      response: {
        200: {
          description: "The shadow",
          headers: ETAG,
          content: {
            "application/json": { schema: SHADOW },
            "text/event-stream": { schema: text },
          },
        },
        304: { description: "It is one of the versions that the client has", type: "null" },
        ...UNKNOWN,
        ...CHANGED,
        ...FAILURES,
      },
    },
  };
  const write = (method: "PUT" | "PATCH", types: readonly string[], summary: string): Route => ({
    method,
    url,
    schema: {
      operationId: `${method.toLowerCase()}${name}`,
      summary,
      ...common,
      headers,
      querystring,
      body: body(types),
      response: { 200: answer, ...CHANGED, ...WRITTEN, ...FAILURES },
    },
  });
  const remove: Route = {
    method: "DELETE",
    url,
    schema: {
      operationId: `delete${name}`,
      summary: "Deletes the shadow; its version goes on when it is made anew",
      ...common,
      headers: { type: "object", properties: IF_MATCH },
      querystring,
      response: { 204: { description: "It is deleted", type: "null" }, ...UNKNOWN, ...CHANGED, ...FAILURES },
    },
  };
  return {
    read,
    put: write("PUT", ["application/json"], "Makes the desired state exactly this"),
    patch: write(
      "PATCH",
      ["application/merge-patch+json", "application/json"],
      "Changes the desired state by a JSON merge patch (RFC 7396)",
    ),
    remove,
  };
}

const ROOT = "/api/v1/devices/:deviceId";

const classic = routesOf("Shadow", `${ROOT}/shadow`, "The shadow of a device", DEVICE);
const named = routesOf("NamedShadow", `${ROOT}/shadows/:shadow`, "A named shadow of a device", {
  ...DEVICE,
  ...NAME,
});

export const SHADOW_ROUTES = {
  readShadow: classic.read,
  putShadow: classic.put,
  patchShadow: classic.patch,
  deleteShadow: classic.remove,
  readNamedShadow: named.read,
  putNamedShadow: named.put,
  patchNamedShadow: named.patch,
  deleteNamedShadow: named.remove,
  listShadows: {
    method: "GET",
    url: `${ROOT}/shadows`,
    schema: {
      operationId: "listShadows",
      summary: "The shadows of a device, by their names",
      tags,
      params: { type: "object", properties: DEVICE },
      querystring: { type: "object", properties: TENANT },
      response: {
        200: json("The names", {
          type: "object",
          required: ["classic", "names"],
          properties: {
            classic: { type: "boolean", description: "There is one without a name." },
            names: { type: "array", items: text },
          },
        }),
        ...FAILURES,
      },
    },
  },
} as const satisfies Record<string, Route>;
