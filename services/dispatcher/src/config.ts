/** Settings of the dispatcher. */
import {
  array,
  bytes,
  durationMs,
  type Infer,
  integer,
  object,
  oneOf,
  optional,
  record,
  secret,
  string,
} from "@myelin/config";

/** The section `dispatcher`. */
const LABEL_PATTERN = "^[a-z][a-z0-9]*$";

const queueFields = {
  maxQueuedMessages: integer({
    default: 100_000,
    minimum: 1,
    maximum: 1_000_000,
    description:
      "Messages above QoS 0 that wait for one MQTT session, those on their way to its client included. A client that comes back after some seconds under load needs room for what was sent meanwhile.",
  }),
  maxQueuedBytes: bytes({
    default: "8MiB",
    min: "64KiB",
    max: "1GiB",
    description: "The same in bytes.",
  }),
  whenFull: oneOf(["refuse", "oldest"], {
    default: "refuse",
    description:
      "`refuse`: a new message is dropped and counted; `oldest`: the oldest one that is not on its way is.",
  }),
};

export const dispatcherSchema = object({
  queues: object(
    {
      telemetry: bytes({
        default: "8MiB",
        min: "64KiB",
        max: "1GiB",
        description:
          "Telemetry that may wait for one target in one partition; beyond it the oldest is dropped and counted.",
      }),
      events: bytes({
        default: "8MiB",
        min: "64KiB",
        max: "1GiB",
        description:
          "Events that may wait for one target in one partition; beyond it they go to the overflow stream.",
      }),
      awayGrace: durationMs({
        default: "5s",
        min: "0s",
        max: "10m",
        description:
          "How long telemetry waits for a target that is away; from then on it is dropped at once. Events wait in the overflow.",
      }),
    },
    { description: "What may wait for a target, each with its own queue per partition and lane." },
  ),
  events: object(
    {
      inHandBatches: integer({
        default: 256,
        minimum: 16,
        maximum: 4096,
        description:
          "Event batches of a partition that may be under way; targets that hold the oldest too long are moved to their overflow.",
      }),
      inHandBytes: bytes({
        default: "16MiB",
        min: "8MiB",
        max: "1GiB",
        description: "The same in bytes; above the largest batch there may be.",
      }),
    },
    { description: "The event stream." },
  ),
  sessions: object(
    {
      ...queueFields,
      labels: record(object(queueFields), {
        default: {},
        maxProperties: 64,
        keyPattern: LABEL_PATTERN,
        description: "The same for sessions of users with a label, by label; others have the bounds above.",
      }),
      window: integer({
        default: 1_000,
        minimum: 1,
        maximum: 30_000,
        description: "Messages on their way to one client, if its receive maximum allows as many.",
      }),
      memory: bytes({
        default: "64MiB",
        min: "1MiB",
        max: "16GiB",
        description:
          "Messages that wait for the sessions of one partition, in memory; beyond it new ones go to the overflow stream.",
      }),
      maxSessions: integer({
        default: 1_000_000,
        minimum: 1,
        maximum: 10_000_000,
        description: "Sessions of one partition that outlive their connections; more are refused.",
      }),
      maxFilters: integer({
        default: 1_000,
        minimum: 1,
        maximum: 100_000,
        description: "Filters of one such session.",
      }),
    },
    { description: "MQTT sessions that outlive their connections." },
  ),
  plans: object(
    {
      pages: integer({
        default: 512,
        minimum: 16,
        maximum: 65_536,
        description:
          "Routing decisions remembered, in pages of 4,096 channels (32 KiB); a channel beyond that is decided anew.",
      }),
    },
    { description: "Routing decisions that are remembered." },
  ),
  retained: object(
    {
      messages: integer({
        default: 1_000_000,
        minimum: 1,
        maximum: 100_000_000,
        description:
          "Retained messages of the whole deployment; shortly before there are so many, publishers are refused with quota exceeded.",
      }),
      memory: bytes({
        default: "64MiB",
        min: "0B",
        max: "64GiB",
        description:
          "Retained messages that this process holds in memory; the rest is read from the stream when a subscriber asks.",
      }),
    },
    { description: "Retained messages; their bytes are bounded by their share of nats.maxStore." },
  ),
  rules: object(
    {
      placement: oneOf(["hub", "edge"], {
        default: "hub",
        description: "Which rules run here, by their placement: each rule runs in one place.",
      }),
      maxDevices: integer({
        default: 100_000,
        minimum: 1,
        maximum: 10_000_000,
        description:
          "Devices of a partition about which rules remember something. Beyond it one that was quiet is forgotten, and begins anew.",
      }),
      listNumbers: integer({
        default: 2_000_000,
        minimum: 1_000,
        maximum: 1_000_000_000,
        description:
          "Numbers in lists, such as vibrations, that rules work through for each second of messages of a partition; what is beyond is counted and not looked at.",
      }),
    },
    { description: "Rules." },
  ),
  registry: object(
    {
      memory: bytes({
        default: "32MiB",
        min: "1MiB",
        max: "16GiB",
        description:
          "Of the records of devices, what this process holds in memory; all of them lie in files of its own, a copy of the store that is read on at each start.",
      }),
      offlineAfter: durationMs({
        default: "5s",
        min: "0s",
        max: "1h",
        description:
          "How long a device must be away before it is offline: one that is back by then was not away. 0s tells every end of a connection.",
      }),
      keepDeleted: durationMs({
        default: "1d",
        min: "0s",
        max: "365d",
        description:
          "How long a deleted device is refused when it connects; after that it is like one that never was there. Each takes about 200 bytes in the store until then.",
      }),
      store: object(
        {
          kind: oneOf(["jetstream", "redis"], {
            default: "jetstream",
            description:
              "Where records lie: in a bucket of the deployment's NATS, or in a Redis, which makes them as durable as it is set up. Others are not moved when it is changed.",
          }),
          url: string({
            default: "redis://127.0.0.1:6379",
            pattern: "^rediss?://[^@?#/]+(/[0-9]+)?$",
            rule: "a URL such as redis://host:6379/0, or rediss://… for TLS, without user and password",
            description: "Redis: where it is, and the number of the database there.",
          }),
          topology: oneOf(["single", "cluster"], {
            default: "single",
            description:
              "Redis: `single` for one server, or what stands for one; `cluster` for a Redis Cluster, whose other nodes the one at the URL tells of.",
          }),
          replicas: integer({
            default: 0,
            minimum: 0,
            maximum: 16,
            description:
              "Redis, topology `single`: so many replicas have a change, in memory at least, before it is acknowledged, so that it survives a failover to one of them; while fewer answer within three seconds changes are refused.",
          }),
          user: optional(string({ description: "Redis: name of the user.", minLength: 1 })),
          password: optional(secret({ description: "Redis: password of the user." })),
          ca: optional(
            secret({
              description:
                "Redis: the authority of its certificate, in PEM form; left out, those that Node.js knows.",
            }),
          ),
          prefix: string({
            default: "myelin",
            pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            maxLength: 63,
            rule: "a name of lower-case letters, digits, - and .",
            description:
              "Redis: what keys begin with; another one for each deployment that shares the database.",
          }),
        },
        { description: "The store of the records." },
      ),
    },
    { description: "The registry of devices." },
  ),
  shadows: object(
    {
      memory: bytes({
        default: "64MiB",
        min: "1MiB",
        max: "64GiB",
        description:
          "Shadows that this process holds in memory, about; those that nobody uses are read from the store again when they are needed.",
      }),
      gather: durationMs({
        default: "5s",
        min: "50ms",
        max: "10m",
        description:
          "How long what a device measures is gathered before its shadow is stored, where nobody looks at it and nothing else is desired. So much of the telemetry a shadow loses when this process is killed.",
      }),
      mirror: oneOf(["never", "desired", "always"], {
        default: "desired",
        description:
          "Which shadows are retained as MQTT messages too, on devices/<id>/shadow and devices/<id>/shadows/<name>: none, those of which something is desired, all.",
      }),
    },
    { description: "Shadows of devices." },
  ),
  hub: optional(
    object(
      {
        servers: array(string({ description: "URL of a NATS server.", minLength: 1 }), {
          description: "NATS servers of the hub; any that answers is used.",
          minItems: 1,
          maxItems: 16,
        }),
        user: optional(string({ description: "User name there; needs a password.", minLength: 1 })),
        password: optional(secret({ description: "Password of the user." })),
        token: optional(secret({ description: "Token, where the server asks for one instead of a user." })),
      },
      {
        description:
          "The deployment above, for an edge node: shadows are kept here and there, each goes on alone while they do not reach each other, and afterwards both have the same. To be set before the first start.",
      },
    ),
  ),
  wills: object(
    {
      memory: bytes({
        default: "256MiB",
        min: "0B",
        max: "64GiB",
        description:
          "Wills of MQTT clients that this process knows, so that they are published when a listener dies; those beyond it are known to their listener alone.",
      }),
    },
    { description: "Wills of the clients of listeners that die." },
  ),
  handover: durationMs({
    default: "2s",
    min: "0s",
    max: "5s",
    description:
      "How long a partition that is given up waits for what is on the way; the rest comes again at its next owner.",
  }),
});

/** The section, checked and complete. */
export type DispatcherConfig = Infer<typeof dispatcherSchema>;
