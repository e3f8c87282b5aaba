/** Where messages go: conditions, changes on the way, targets. */
import {
  array,
  boolean,
  bytes,
  durationMs,
  exactlyOne,
  integer,
  object,
  oneOf,
  optional,
  record,
  string,
} from "../schema/builders.js";
import type { Problem, ValuePath } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { defineKind } from "./kind.js";
import { topicFilterRule, topicNameRule } from "./topic-rules.js";

const CODECS = ["json", "msgpack", "protobuf", "raw"] as const;

const names = (description: string, what: string) =>
  optional(
    array(string({ description: what, minLength: 1, maxLength: 1024 }), {
      description,
      minItems: 1,
      maxItems: 256,
    }),
  );

const match = object({
  ports: names("Names of listener ports.", "Name of a port."),
  protocols: optional(
    array(
      oneOf(["mqtt", "http", "websocket", "tcp", "udp", "app", "hardware", "bridge"], {
        description: "Protocol.",
      }),
      {
        description: "Protocols through which the message came.",
        minItems: 1,
        maxItems: 8,
        uniqueItems: true,
      },
    ),
  ),
  topics: names("MQTT topic filters over the path; + stands for one level, # for the rest.", "Topic filter."),
  paths: names("Exact paths.", "Path."),
  types: names("MCP message types; the same as an exact path.", "Message type."),
  devices: names("Device ids; * stands for any text and ? for one character.", "Device id or pattern."),
  profiles: names("Names of device profiles.", "Name of a profile."),
  kinds: optional(
    array(
      oneOf(["telemetry", "event", "command", "response", "shadow", "presence"], { description: "Kind." }),
      {
        description: "Kinds of message.",
        minItems: 1,
        maxItems: 6,
        uniqueItems: true,
      },
    ),
  ),
  contentTypes: names("Content types, without parameters.", "Content type."),
  headers: optional(
    record(string({ description: "Exact value.", maxLength: 4096 }), {
      description:
        "Headers that must have exactly these values; looked up per message, so slower than the rest.",
      maxProperties: 16,
      keyPattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    }),
  ),
});

const transform = object({
  codec: oneOf([...CODECS, "profile"], {
    description: "How the payload is read; `profile` makes a list of samples of it, as a DeviceProfile says.",
  }),
  to: optional(oneOf(CODECS, { description: "How the payload is written; left out, as it was read." })),
  select: optional(
    array(string({ description: "Field, with dots between levels.", minLength: 1, maxLength: 256 }), {
      description: "Fields to keep; all others are removed.",
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
    }),
  ),
  rename: optional(
    record(string({ description: "New name.", minLength: 1, maxLength: 256 }), {
      description: "New names of fields by their old ones, after the selection.",
      maxProperties: 256,
      keyPattern: "^.+$",
    }),
  ),
  protobuf: optional(
    object(
      {
        file: string({
          description: "A .proto file or a descriptor set, below the resources directory.",
          minLength: 1,
          maxLength: 512,
        }),
        message: string({
          description: "Full name of the message type.",
          minLength: 1,
          maxLength: 256,
        }),
      },
      { description: "Where codec protobuf finds the type of the payload." },
    ),
  ),
  profile: optional(
    string({ description: "Name of a DeviceProfile, for codec profile.", minLength: 1, maxLength: 253 }),
  ),
  onError: optional(
    oneOf(["drop", "pass", "unrouted"], {
      description:
        "What happens to a message that cannot be read: dropped and counted, passed on as it is, or kept with the unrouted (events only); left out, unrouted for events and drop for telemetry.",
    }),
  ),
});

const target = exactlyOne(
  {
    app: string({ description: "Name of an application service.", minLength: 1, maxLength: 256 }),
    nats: string({ description: "NATS subject to publish to.", minLength: 1, maxLength: 512 }),
    file: object({
      path: string({
        description: "File for one JSON line per message, below the data directory.",
        minLength: 1,
        maxLength: 512,
      }),
      maxBytes: optional(
        bytes({
          description: "Size at which the file is put aside and a new one begun; left out, 256MiB.",
          min: "64KiB",
          max: "1024GiB",
        }),
      ),
      keep: optional(
        integer({
          description: "Older files kept beside it, the youngest as `.1`; left out, 4; 0 keeps none.",
          minimum: 0,
          maximum: 1000,
        }),
      ),
    }),
    device: object({
      id: string({ description: "Device id.", minLength: 1, maxLength: 256 }),
      path: string({
        description: "Path or topic under which the device gets it.",
        minLength: 1,
        maxLength: 1024,
      }),
      ttl: optional(
        durationMs({
          description:
            "How long after its arrival a device may still be given an event; then it is left out. Left out, an hour.",
          min: "1s",
          max: "720h",
        }),
      ),
    }),
    sink: string({ description: "Name of a Sink, which keeps the readings.", minLength: 1, maxLength: 253 }),
  },
  { description: "One place to which matching messages go." },
);

const spec = object({
  order: integer({
    description: "Routes are tried by growing order, equal ones by name.",
    default: 100,
    minimum: 0,
    maximum: 1_000_000,
  }),
  match,
  transform: optional(
    array(transform, { description: "Changes to the payload, in order.", minItems: 1, maxItems: 16 }),
  ),
  targets: array(target, { description: "Every target gets the message.", minItems: 1, maxItems: 64 }),
  stop: boolean({
    description: "Later routes and subscriptions do not see a message that matched.",
    default: false,
  }),
});

/** The spec of a `Route`, checked and complete. */
export type RouteSpec = Infer<typeof spec>;

/** What is wrong with a path below the data directory; undefined: nothing. */
export const dataPathRule = (path: string): string | undefined => {
  const parts = path.split("/");
  const bad = path.startsWith("/") || path.includes("\\") || path.includes("\0") || parts.includes("..");
  return bad || parts.includes("") ? "a relative path without .. (below the data directory)" : undefined;
};

function subject(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a subject
  const wrong = /[\s*>\u0000-\u001f\u007f]/.test(text) || text.split(".").includes("");
  if (wrong) return "a NATS subject without wildcards, spaces and empty tokens";
  // Ours and the server's: whoever publishes there speaks for the platform.
  return /^(mln|_INBOX|\$[^.]*)(\.|$)/.test(text) ? "a subject outside mln, $ and _INBOX" : undefined;
}

function checkRoute(route: RouteSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const expect = (at: ValuePath, value: string, rule: string | undefined): void => {
    if (rule !== undefined) problems.push({ path: at, value, rule });
  };
  for (const [i, t] of (route.match.topics ?? []).entries())
    expect(["match", "topics", i], t, topicFilterRule(t));
  for (const [i, t] of (route.match.paths ?? []).entries())
    expect(["match", "paths", i], t, topicNameRule(t));
  for (const [i, t] of (route.match.types ?? []).entries())
    expect(["match", "types", i], t, topicNameRule(t));
  for (const [i, step] of (route.transform ?? []).entries()) {
    if ((step.codec === "protobuf" || step.to === "protobuf") !== (step.protobuf !== undefined)) {
      const rule = "given exactly when codec or to is protobuf";
      problems.push({ path: ["transform", i, "protobuf"], value: step.protobuf ?? null, rule });
    }
    if (step.protobuf !== undefined) {
      expect(["transform", i, "protobuf", "file"], step.protobuf.file, dataPathRule(step.protobuf.file));
    }
    if ((step.codec === "profile") !== (step.profile !== undefined))
      expect(["transform", i, "profile"], step.profile ?? "", "given exactly when codec is profile");
    if (step.codec === "profile" && step.to !== "json" && step.to !== "msgpack")
      expect(["transform", i, "to"], step.to ?? "", "json or msgpack, because codec is profile");
    if (step.codec !== "raw") continue;
    if (step.select !== undefined || step.rename !== undefined) {
      expect(
        ["transform", i, "codec"],
        step.codec,
        "a codec that knows fields, because select or rename is given",
      );
    }
    if (step.to !== undefined && step.to !== "raw")
      expect(["transform", i, "to"], step.to, "raw, because codec is raw");
  }
  const seen = new Set<string>();
  for (const [i, t] of route.targets.entries()) {
    if (t.nats !== undefined) expect(["targets", i, "nats"], t.nats, subject(t.nats));
    if (t.file !== undefined) expect(["targets", i, "file", "path"], t.file.path, dataPathRule(t.file.path));
    if (t.device !== undefined)
      expect(["targets", i, "device", "path"], t.device.path, topicNameRule(t.device.path));
    const key = JSON.stringify(t);
    if (seen.has(key)) problems.push({ path: ["targets", i], value: t, rule: "listed once" });
    seen.add(key);
  }
  return problems;
}

/** `Route`: see the architecture page for how routes are tried. */
export const routeKind = defineKind<RouteSpec>({ kind: "Route", spec, check: checkRoute });
