/** Settings of the ipc-bridge. */
import {
  bytes,
  durationMs,
  type Infer,
  integer,
  object,
  oneOf,
  optional,
  port,
  string,
} from "@myelin/config";
import type { BridgeSettings } from "./core/settings.js";

const tls = object(
  {
    certificate: string({ description: "File with the server's certificate chain, PEM.", minLength: 1 }),
    key: string({ description: "File with the certificate's private key, PEM.", minLength: 1 }),
    clientCa: optional(
      string({
        description: "File with the authority of client certificates, PEM; with it every client needs one.",
        minLength: 1,
      }),
    ),
  },
  { description: "TLS of the gRPC port; without it the port speaks plain text." },
);

/** The section `ipcBridge`. */
export const bridgeSchema = object({
  grpc: object(
    {
      host: string({
        default: "127.0.0.1",
        description: "Address to listen on; `0.0.0.0` takes apps of other machines, who then need a token.",
      }),
      port: port({ default: 9090, description: "Port for gRPC; 0 takes a free one." }),
      tls: optional(tls),
    },
    { description: "Where apps connect by gRPC." },
  ),
  socket: object(
    {
      path: string({
        default: "",
        maxLength: 103,
        description: "File of the Unix socket; empty for none. Whoever may write it may be an app.",
      }),
      mode: string({
        default: "0600",
        pattern: "^0[0-7]{3}$",
        rule: "four octal digits such as 0660",
        description: "Permissions of the socket file.",
      }),
    },
    { description: "Where apps of this machine connect by Unix socket." },
  ),
  auth: object(
    {
      tokenFile: string({
        default: "",
        description:
          "File of `app:sha256-of-token` lines, read again when it changes; empty: only local apps may connect.",
      }),
      local: oneOf(["trusted", "token"], {
        default: "trusted",
        description: "Whether apps on loopback and on the Unix socket need a token too.",
      }),
    },
    { description: "Who may connect as an app." },
  ),
  maxSessions: integer({
    default: 1_000,
    minimum: 1,
    maximum: 100_000,
    description: "App instances at a time; more are refused.",
  }),
  maxFrame: bytes({
    default: "8MiB",
    min: "1MiB",
    max: "64MiB",
    description: "Largest frame that is read; a batch must fit.",
  }),
  helloTimeout: durationMs({
    default: "5s",
    min: "100ms",
    max: "1m",
    description: "How long a stream may take to say hello.",
  }),
  heartbeat: durationMs({
    default: "30s",
    min: "100ms",
    max: "10m",
    description: "Apps are told to ping this often; after two misses they are disconnected.",
  }),
  health: object(
    {
      interval: durationMs({
        default: "10s",
        min: "50ms",
        max: "10m",
        description: "How often each app is asked how it is; also the time for its answer on the stream.",
      }),
      timeout: durationMs({
        default: "5s",
        min: "50ms",
        max: "1m",
        description: "Time for the answer of an app's health address.",
      }),
      threshold: integer({
        default: 3,
        minimum: 1,
        maximum: 100,
        description:
          "Failures in a row that stop the work for an app, and good answers in a row that restore it.",
      }),
    },
    { description: "Health checks of apps." },
  ),
  credit: object(
    {
      defaultEnvelopes: integer({
        default: 65_536,
        minimum: 1,
        maximum: 16_777_216,
        description: "Messages on the way to an app that asks for no window.",
      }),
      maxEnvelopes: integer({
        default: 1_048_576,
        minimum: 1,
        maximum: 16_777_216,
        description: "Most messages on the way to one app, whatever it asks for.",
      }),
      default: bytes({
        default: "8MiB",
        min: "64KiB",
        max: "1GiB",
        description: "Bytes on the way to an app that asks for no window.",
      }),
      max: bytes({
        default: "64MiB",
        min: "64KiB",
        max: "1GiB",
        description: "Most bytes on the way to one app, whatever it asks for.",
      }),
    },
    { description: "Flow control towards apps." },
  ),
  held: bytes({
    default: "64MiB",
    min: "1MiB",
    max: "1GiB",
    description:
      "Bytes per app and lane that wait here for its window or its socket; beyond it telemetry is dropped and counted, and an app that holds events is disconnected, so that they go elsewhere.",
  }),
  publish: object(
    {
      rate: integer({
        default: 500_000,
        minimum: 1,
        maximum: 100_000_000,
        description: "Messages per second that one app may publish.",
      }),
      burst: integer({
        default: 500_000,
        minimum: 1,
        maximum: 100_000_000,
        description: "Messages that one app may publish at once; a publish with more never succeeds.",
      }),
      maxUnsettled: integer({
        default: 1_024,
        minimum: 1,
        maximum: 1_000_000,
        description:
          "Publishes of one app that wait for their outcome; then it is not read until half are done.",
      }),
      maxUnsettledSize: bytes({
        default: "16MiB",
        min: "64KiB",
        max: "1GiB",
        description: "The same in bytes.",
      }),
    },
    { description: "What apps publish." },
  ),
  calls: object(
    {
      maxPending: integer({
        default: 1_024,
        minimum: 1,
        maximum: 1_000_000,
        description: "Requests of, and to, one app that wait for their answer; more are refused.",
      }),
      defaultTimeout: durationMs({
        default: "5s",
        min: "10ms",
        max: "10m",
        description: "Time for an answer where the asker says nothing.",
      }),
      maxTimeout: durationMs({
        default: "2m",
        min: "10ms",
        max: "1h",
        description: "Longest time for an answer that an asker may wish for.",
      }),
    },
    { description: "Requests and messages for devices." },
  ),
  drainTimeout: durationMs({
    default: "5s",
    min: "0s",
    max: "5m",
    description: "How long a stop waits for apps to acknowledge what they have.",
  }),
});

/** The checked section. */
export type BridgeConfig = Infer<typeof bridgeSchema>;

/** The numbers that the core works with. */
export function settingsOf(config: BridgeConfig): BridgeSettings {
  const { health, credit, publish, calls } = config;
  return {
    maxSessions: config.maxSessions,
    maxFrameBytes: config.maxFrame,
    helloTimeoutMs: config.helloTimeout,
    heartbeatMs: config.heartbeat,
    health: { intervalMs: health.interval, timeoutMs: health.timeout, threshold: health.threshold },
    credit: {
      defaultEnvelopes: credit.defaultEnvelopes,
      maxEnvelopes: credit.maxEnvelopes,
      defaultBytes: credit.default,
      maxBytes: credit.max,
    },
    heldBytes: config.held,
    publish: {
      perSecond: publish.rate,
      burst: publish.burst,
      maxUnsettled: publish.maxUnsettled,
      maxUnsettledBytes: publish.maxUnsettledSize,
    },
    calls: {
      maxPending: calls.maxPending,
      defaultTimeoutMs: calls.defaultTimeout,
      maxTimeoutMs: calls.maxTimeout,
    },
    drainTimeoutMs: config.drainTimeout,
  };
}
