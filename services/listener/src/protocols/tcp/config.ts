/** Settings of one TCP port. */
import { bytes, durationMs, type Infer, integer, object, oneOf, port, string } from "@myelin/config";
import { transportFields, unixFields } from "../../core/transport.js";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 7400, description: "TCP port; 0 takes any free one." }),
  ...transportFields,
  ...unixFields,
  framing: oneOf(["mcp", "lines"], {
    default: "mcp",
    description: "MCP frames, or one reading per line of text: device, path, payload, with a space between.",
  }),
  lane: oneOf(["telemetry", "event"], {
    default: "event",
    description: "Lane of lines; an MCP message names its own.",
  }),
  ack: oneOf(["on", "off"], {
    default: "off",
    description: "Whether lines are answered, in their order: ok, or error and a code.",
  }),
  maxMessage: bytes({
    default: "1MiB",
    min: "1KiB",
    max: "3MiB",
    description: "Largest MCP message or line; a client that sends a larger one is disconnected.",
  }),
  firstPacketTimeout: durationMs({
    default: "10s",
    min: "1s",
    max: "2m",
    description: "How long a client may take from its connection to a complete hello or line.",
  }),
  heartbeat: durationMs({
    default: "30s",
    min: "0s",
    max: "1h",
    description: "Silence after which an MCP client is asked for a sign of life; 0s asks nobody.",
  }),
  heartbeatMisses: integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: "Heartbeats without an answer after which an MCP client is disconnected.",
  }),
  idleTimeout: durationMs({
    default: "0s",
    min: "0s",
    max: "7d",
    description: "Longest silence of a client that sends lines; 0s sets no limit.",
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
    description: "Bytes that may wait for a client that reads slowly; beyond it the client is disconnected.",
  }),
});

export type TcpConfig = Infer<typeof schema>;
