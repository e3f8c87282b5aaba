/** A store in which readings are kept. */
import {
  array,
  bytes,
  durationMs,
  exactlyOne,
  integer,
  object,
  oneOf,
  optional,
  secretReference,
  string,
} from "../schema/builders.js";
import type { Problem } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { defineKind } from "./kind.js";
import { dataPathRule } from "./route.js";

const database = (port: number) =>
  object({
    host: string({ description: "Where the server is.", minLength: 1, maxLength: 253 }),
    port: integer({ description: "TCP port.", default: port, minimum: 1, maximum: 65_535 }),
    database: string({
      description: "Database that holds the tables.",
      default: "myelin",
      minLength: 1,
      maxLength: 63,
    }),
    user: string({
      description: "User of the database; it makes the tables at first use.",
      default: "myelin",
      minLength: 1,
      maxLength: 63,
    }),
    password: optional(secretReference({ description: "Password of that user." })),
    tls: optional(
      object(
        {
          ca: optional(
            secretReference({
              description:
                "Authorities in PEM form that vouch for the server; left out, those that Node.js knows.",
            }),
          ),
        },
        { description: "Speaks TLS and checks the server's certificate; left out, nothing is encrypted." },
      ),
    ),
  });

const store = exactlyOne(
  {
    sqlite: object({
      path: string({
        description: "File below the data directory. Sinks may share one.",
        minLength: 1,
        maxLength: 512,
        default: "history.db",
      }),
      maxBytes: bytes({
        description:
          "Size of the file at which nothing more is stored: telemetry is dropped and counted then, events wait in the overflow until there is room.",
        default: "10GiB",
        min: "64MiB",
        max: "16384GiB",
      }),
    }),
    postgresql: database(5432),
    mysql: database(3306),
    influxdb: object({
      url: string({
        description: "Where the server is: http://host:8086, or https, which checks its certificate.",
        pattern: "^https?://[^/?#]+/?$",
        maxLength: 300,
      }),
      database: string({
        description: "Made at first use when it is not there.",
        default: "myelin",
        minLength: 1,
        maxLength: 63,
      }),
      user: optional(string({ description: "User that may write and read.", minLength: 1, maxLength: 63 })),
      password: optional(secretReference({ description: "Password of that user." })),
      ca: optional(
        secretReference({
          description:
            "Authorities in PEM form that vouch for the server; left out, those that Node.js knows.",
        }),
      ),
    }),
  },
  { description: "Where readings are kept." },
);

const mapping = object(
  {
    by: oneOf(["profile", "fields"], {
      description:
        "What a payload is read by: `profile`, that of its device, where it has one that reads the payload, so that each of its points is kept with its own time, and what is wrong as bad, with the reason; or `fields` alone, as they came.",
      default: "profile",
    }),
    points: optional(
      array(string({ description: "Name of a point.", minLength: 0, maxLength: 512 }), {
        description:
          "Points to keep, by name: the field, with dots between levels; empty for a payload that is one value. Left out, all.",
        minItems: 1,
        maxItems: 1_000,
        uniqueItems: true,
      }),
    ),
    depth: integer({
      description:
        "Levels of nested objects whose fields become points of their own; what lies deeper is kept as JSON. With 0 every payload is one value.",
      default: 4,
      minimum: 0,
      maximum: 16,
    }),
    time: optional(
      object(
        {
          field: string({ description: "Field that holds the time.", minLength: 1, maxLength: 512 }),
          unit: oneOf(["s", "ms", "us", "iso"], {
            description: "Form of the time since 1970; `iso` is text such as 2026-01-31T12:00:00Z.",
            default: "ms",
          }),
        },
        {
          description:
            "Where the payload says when it was measured. Left out, or where it says nothing that is a time, the message's own time counts.",
        },
      ),
    ),
  },
  { description: "How a payload becomes readings." },
);

const spec = object({
  store,
  mapping,
  batch: object(
    {
      readings: integer({
        description:
          "Readings that are written in one transaction at most. The more points report at the same time, the more it helps to write many at once.",
        default: 50_000,
        minimum: 1,
        maximum: 200_000,
      }),
      wait: durationMs({
        description:
          "How long a reading waits for others to be written with it. Longer waits write less to the disk; with 0s an event is acknowledged as soon as the disk has it.",
        default: "50ms",
        min: "0s",
        max: "10s",
      }),
    },
    { description: "How readings are gathered." },
  ),
  retention: optional(
    durationMs({
      description: "Readings whose time is longer ago are removed. Left out, none are.",
      min: "1m",
      max: "36500d",
    }),
  ),
});

/** The spec of a `Sink`, checked and complete. */
export type SinkSpec = Infer<typeof spec>;

function checkSink(sink: SinkSpec): readonly Problem[] {
  const path = sink.store.sqlite?.path;
  const rule = path === undefined ? undefined : dataPathRule(path);
  return path === undefined || rule === undefined
    ? []
    : [{ path: ["store", "sqlite", "path"], value: path, rule }];
}

/** `Sink`: routes name it as a target. */
export const sinkKind = defineKind<SinkSpec>({ kind: "Sink", spec, check: checkSink });
