/** What a rule can do: one field per kind of action. */
import {
  array,
  boolean,
  durationMs,
  exactlyOne,
  object,
  oneOf,
  optional,
  record,
  secretReference,
  string,
} from "../schema/builders.js";
import type { Infer } from "../schema/schema.js";

/** How urgent it is, from least to most. */
export const SEVERITIES = ["info", "warning", "major", "critical"] as const;

const TEMPLATE = `\`\${name}\` stands for a point, a value of the rule, or one of device, rule, time, severity, topic.`;

const text = (description: string, maxLength = 1_024) =>
  string({ description: `${description} ${TEMPLATE}`, minLength: 1, maxLength });

const fields = (description: string) =>
  record(text(`Text; where it is one \`\${name}\` alone, the value keeps its type.`, 4_096), {
    description,
    maxProperties: 64,
    keyPattern: "^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
  });

const publish = object({
  topic: text("Topic to publish on."),
  payload: optional(
    fields(
      "Fields of the JSON object that is sent; left out, what an alarm says: rule, device, state, time, values.",
    ),
  ),
  lane: oneOf(["event", "telemetry"], {
    description: "`event` is stored before the trigger is done with; `telemetry` may be lost, counted.",
    default: "event",
  }),
  retain: boolean({ description: "Whether the message stays for later subscribers.", default: false }),
});

const webhook = object({
  url: string({
    description: "Where a JSON object is posted to: https, or http.",
    minLength: 1,
    maxLength: 2_048,
    pattern: "^https?://[^\\s]+$",
    rule: "a URL such as https://example.org/hook",
  }),
  secret: optional(
    secretReference({
      description:
        "Signs each request: the header Webhook-Signature as Standard Webhooks has it, HMAC-SHA256 over id, time and body.",
    }),
  ),
  headers: optional(
    record(string({ description: "Value.", maxLength: 4_096 }), {
      description: "More headers.",
      maxProperties: 32,
      keyPattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    }),
  ),
  payload: optional(fields("Fields of the JSON object; left out, what an alarm says.")),
  timeout: durationMs({
    description: "How long an answer may take; each try for itself.",
    default: "5s",
    min: "10ms",
    max: "60s",
  }),
});

const alarm = object({
  message: optional(text("What people read; left out, the description of the rule, or its name.", 512)),
  key: optional(
    text("Alarms of one device with the same key are one alarm; left out, the name of the rule.", 128),
  ),
});

const app = object({
  name: string({ description: "Name of the application.", minLength: 1, maxLength: 253 }),
  method: string({ description: "What is called: the path its handler gets.", minLength: 1, maxLength: 253 }),
  payload: optional(fields("Fields of the JSON object; left out, what an alarm says.")),
  timeout: durationMs({
    description: "How long the answer may take.",
    default: "5s",
    min: "10ms",
    max: "60s",
  }),
});

const sink = object({
  name: string({ description: "Name of a Sink.", minLength: 1, maxLength: 253 }),
  path: text("Path under which the reading is stored."),
  values: fields("Points of the reading and what they hold."),
});

const shadow = object({
  device: optional(text("Device; left out, the one that the rule is about.", 256)),
  name: optional(
    string({ description: "Named shadow; left out, the unnamed one.", minLength: 1, maxLength: 64 }),
  ),
  desired: fields("Fields of the desired state that are set."),
});

const command = object({
  device: optional(text("Device; left out, the one that the rule is about.", 256)),
  name: string({ description: "Command of the device's profile.", minLength: 1, maxLength: 64 }),
  parameters: optional(fields("What it is given, by name.")),
  ttl: durationMs({
    description: "How long it may take until the device has it.",
    default: "30s",
    min: "100ms",
    max: "24h",
  }),
});

const action = exactlyOne(
  { alarm, app, command, publish, shadow, sink, webhook },
  { description: "One thing to do." },
);

/** One action of a rule. */
export type RuleActionSpec = Infer<typeof action>;

/** A list of actions, done in order, each for itself. */
export const actions = (description: string) => array(action, { description, default: [], maxItems: 16 });
