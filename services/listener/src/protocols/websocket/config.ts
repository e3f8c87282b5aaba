/** Settings of WebSocket, on a port of its own or within one of HTTP. */
import { bytes, durationMs, type Infer, integer, object, port, string } from "@myelin/config";
import { originsSchema } from "../../core/origins.js";
import { transportFields } from "../../core/transport.js";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 8081, description: "TCP port; 0 takes any free one." }),
  ...transportFields,
  origins: originsSchema,
  maxMessage: bytes({
    default: "1MiB",
    min: "1KiB",
    max: "3MiB",
    description: "Largest message; a client that announces a larger one is closed with 1009.",
  }),
  heartbeat: durationMs({
    default: "30s",
    min: "0s",
    max: "1h",
    description: "Silence after which a client is pinged; 0s pings nobody.",
  }),
  heartbeatMisses: integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: "Pings without an answer after which a client is disconnected.",
  }),
  maxSubscriptions: integer({
    default: 1000,
    minimum: 1,
    maximum: 1_000_000,
    description: "Topic filters one JSON client may hold.",
  }),
  ratePerSecond: integer({
    default: 0,
    minimum: 0,
    maximum: 10_000_000,
    description: "Messages per second of one connection before reading from it pauses; 0 sets no limit.",
  }),
  rateBurst: integer({
    default: 1000,
    minimum: 1,
    maximum: 10_000_000,
    description:
      "Messages a connection may send at once when it was silent before; counts with ratePerSecond only.",
  }),
  maxWriteBuffer: bytes({
    default: "1MiB",
    min: "16KiB",
    max: "64MiB",
    description:
      "Bytes that may wait for a client that reads slowly; beyond it live data is dropped, and an answer disconnects.",
  }),
});

export type WebSocketConfig = Infer<typeof schema>;
