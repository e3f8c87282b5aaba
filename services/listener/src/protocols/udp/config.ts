/** Settings of one UDP port. */
import { bytes, durationMs, type Infer, integer, object, port, string } from "@myelin/config";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 7400, description: "UDP port; 0 takes any free one." }),
  receiveBuffer: bytes({
    default: "4MiB",
    min: "64KiB",
    max: "64MiB",
    description: "What the kernel keeps while the process is busy; it may allow less.",
  }),
  heartbeat: durationMs({
    default: "30s",
    min: "0s",
    max: "1h",
    description: "Silence after which a device with a session is asked for a sign of life; 0s asks nobody.",
  }),
  heartbeatMisses: integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: "Heartbeats without an answer after which a session is suspended.",
  }),
  ratePerSecond: integer({
    default: 10_000,
    minimum: 0,
    maximum: 10_000_000,
    description: "Datagrams per second of one address; more are dropped and counted. 0 sets no limit.",
  }),
  rateBurst: integer({
    default: 20_000,
    minimum: 1,
    maximum: 10_000_000,
    description: "Datagrams of an address that was silent before; counts with ratePerSecond only.",
  }),
  maxSources: integer({
    default: 100_000,
    minimum: 16,
    maximum: 10_000_000,
    description: "Addresses and devices without a session that are remembered; the oldest are forgotten.",
  }),
  maxUnanswered: integer({
    default: 100_000,
    minimum: 1,
    maximum: 10_000_000,
    description: "Events on their way to the stream that an answer is owed for; more are refused.",
  }),
});

export type UdpConfig = Infer<typeof schema>;
