/** What a step of a flow can do: one field per kind of step. */
import {
  array,
  durationMs,
  exactlyOne,
  integer,
  object,
  oneOf,
  optional,
  record,
  secretReference,
  string,
} from "../schema/builders.js";
import type { Infer } from "../schema/schema.js";

const TEMPLATE =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: people read it as it stands.
  "`${…}` holds an expression in CEL over input, steps, run and, within each, device; what is one `${…}` alone keeps its type.";

const text = (description: string, maxLength = 1_024) =>
  string({ description: `${description} ${TEMPLATE}`, minLength: 1, maxLength });

const fields = (description: string) =>
  record(text("Value.", 4_096), {
    description,
    default: {},
    maxProperties: 64,
    keyPattern: "^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
  });

/** An expression in CEL that must be true or false. */
export const condition = (description: string) => string({ description, minLength: 1, maxLength: 2_048 });

const command = object({
  device: text("Device that is commanded.", 256),
  name: text("Command of the device's profile.", 128),
  parameters: fields("What it is given, by name."),
  ttl: durationMs({
    description: "How long the command may wait for the device.",
    default: "30s",
    min: "100ms",
    max: "24h",
  }),
});

const topics = array(string({ description: "Topic filter.", minLength: 1, maxLength: 1_024 }), {
  description: "MQTT topic filters over the path of the message.",
  minItems: 1,
  maxItems: 8,
});

const wait = exactlyOne(
  {
    for: durationMs({ description: "A stretch of time.", min: "10ms", max: "31d" }),
    until: text("A point of time, as 2026-01-31T12:00:00Z."),
    event: object({
      device: text("Device that sends it.", 256),
      topics,
      when: optional(
        condition("What must hold of the message: CEL over topic and payload, the decoded JSON body."),
      ),
    }),
    point: object({
      device: text("Device that measures it.", 256),
      when: condition(
        "What must hold: CEL over the points of the device's profile, as they are measured after the step has begun. It is asked once all that it names has come, in good quality.",
      ),
    }),
  },
  { description: "Goes on when something has come. The timeout of the step bounds it." },
);

const app = object({
  name: text("Name of the application.", 253),
  method: text("What is called: the path its handler gets.", 253),
  payload: fields("Fields of the JSON object it gets."),
});

const http = object({
  method: oneOf(["GET", "PUT", "POST", "PATCH", "DELETE"], {
    description: "HTTP method.",
    default: "POST",
  }),
  url: text("Where it goes: https, or http.", 2_048),
  headers: record(text("Value.", 4_096), {
    description: "More headers.",
    default: {},
    maxProperties: 32,
    keyPattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  }),
  bearer: optional(secretReference({ description: "Token for the header Authorization." })),
  body: fields("Fields of the JSON object that is sent; with none, or GET and DELETE, no body is."),
  repeats: oneOf(["never", "keyed"], {
    description:
      "May a request be made again of which the answer was lost? `keyed`: yes, the server knows it again by the header Idempotency-Key. `never`: what was lost fails the step, unless the method is GET, PUT or DELETE.",
    default: "never",
  }),
});

const flow = object({
  name: text("Name of the flow.", 253),
  input: fields("Its input."),
});

/** Kinds of steps that stand for themselves. */
const single = { command, wait, app, http, flow };

const devices = exactlyOne(
  {
    group: text("All devices of the group.", 256),
    profile: text("All devices of the profile.", 256),
    list: text("A list of their ids, or of ids with commas between."),
  },
  { description: "Which devices. Those that match when the step begins." },
);

const each = object({
  devices,
  atOnce: integer({
    description: "Most devices that are dealt with at the same time.",
    default: 8,
    minimum: 1,
    maximum: 256,
  }),
  failures: integer({
    description:
      "Devices that may fail without the step failing. With one more no further device is begun, and the step fails.",
    default: 0,
    minimum: 0,
    maximum: 1_000,
  }),
  do: exactlyOne(single, { description: "What is done for each; its expressions may name device." }),
});

/** What a step does. */
export const stepAction = exactlyOne({ ...single, each }, { description: "What is done." });

/** What undoes a step. */
export const undoAction = exactlyOne(
  { command, app, http, flow },
  { description: "What is done; its expressions may name the outputs of the step itself." },
);

/** What a step does, checked and complete. */
export type FlowActionSpec = Infer<typeof stepAction>;

/** What is done for each device. */
export type FlowSingleActionSpec = NonNullable<FlowActionSpec["each"]>["do"];
