/** The settings that every process of the platform has, whatever services it runs. */
import {
  array,
  bytes,
  durationMs,
  type Infer,
  integer,
  number,
  object,
  oneOf,
  optional,
  port,
  type Schema,
  secret,
  string,
} from "@myelin/config";

/** Sections by name; services add their own beside them. */
export const platformSections = {
  process: object({
    instance: optional(
      string({
        description:
          "Stable name of this process among all of a deployment; left out, the name of what it runs.",
        pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        maxLength: 63,
        rule: "a name of lower-case letters, digits, - and .",
      }),
    ),
    dataDir: string({
      description: "Directory for everything the process writes.",
      default: ".myelin",
      minLength: 1,
    }),
    drainDelay: durationMs({
      description: "Time between turning unready and closing inputs; balancers need some, a box none.",
      default: "0s",
      max: "5m",
    }),
    stopTimeout: durationMs({
      description:
        "Time for the whole stop; then the process ends whatever is left. Keep it below the pod's grace period.",
      default: "25s",
      min: "1s",
      max: "10m",
    }),
  }),
  log: object({
    level: oneOf(["trace", "debug", "info", "warn", "error", "fatal"], {
      description: "Least severe level that is written.",
      default: "info",
    }),
  }),
  admin: object({
    host: string({
      description: "Address for probes and metrics; 0.0.0.0 in a container.",
      default: "127.0.0.1",
      minLength: 1,
    }),
    port: port({ description: "Port for probes and metrics; 0 takes a free one.", default: 9400 }),
  }),
  nats: object({
    servers: array(string({ description: "URL of a NATS server.", minLength: 1 }), {
      description: "NATS servers; any that answers is used.",
      default: ["nats://127.0.0.1:4222"],
      minItems: 1,
      maxItems: 16,
    }),
    partitions: integer({
      description:
        "Partitions of the devices; fixed at the first start of a deployment, the same for all its processes.",
      default: 8,
      minimum: 1,
      maximum: 256,
    }),
    maxStore: bytes({
      description:
        "Disk that the streams of the deployment may take together, reserved when they are made; when the stream of events is full, senders are refused.",
      default: "16GiB",
      min: "64MiB",
      max: "1048576GiB",
    }),
    user: optional(string({ description: "User name; needs a password.", minLength: 1 })),
    password: optional(secret({ description: "Password of the user." })),
    token: optional(secret({ description: "Token, where the server asks for one instead of a user." })),
  }),
  tracing: object({
    otlpEndpoint: optional(
      string({
        description:
          "Base URL of an OTLP/HTTP receiver, for example http://collector:4318; left out, nothing is traced.",
        pattern: "^https?://.+",
        rule: "an http or https URL",
      }),
    ),
    ratio: number({
      description: "Share of messages that begin a trace at ingress.",
      default: 0.001,
      minimum: 0,
      maximum: 1,
    }),
    maxPerSecond: number({
      description: "Most traces begun per second.",
      default: 50,
      minimum: 0,
      maximum: 10_000,
    }),
  }),
  resources: object({
    directory: string({
      description: "Directory of YAML files with routes and other resources.",
      default: "resources",
      minLength: 1,
    }),
  }),
} as const satisfies Record<string, Schema>;

const platform = object(platformSections);

/** The platform's settings, checked and complete; durations are milliseconds. */
export type PlatformConfig = Infer<typeof platform>;
