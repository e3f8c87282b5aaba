/** Settings of one MQTT port. */
import { bytes, durationMs, type Infer, integer, object, optional, port, string } from "@myelin/config";
import { tlsSchema } from "../../core/tls.js";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 1883, description: "TCP port; 0 takes any free one." }),
  tls: optional(tlsSchema),
  maxPacketSize: bytes({
    default: "1MiB",
    min: "1KiB",
    max: "3MiB",
    description: "Largest packet that is taken; a client that sends a larger one is disconnected.",
  }),
  connectTimeout: durationMs({
    default: "10s",
    min: "1s",
    max: "2m",
    description: "How long a client may take from its connection to a complete CONNECT.",
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
      "Bytes that may wait for a client that reads slowly; beyond it QoS 0 is dropped, and QoS 1 disconnects the client.",
  }),
  maxClientIdLength: integer({
    default: 256,
    minimum: 23,
    maximum: 65_535,
    description: "Longest client identifier in bytes; it becomes the device id.",
  }),
  maxSubscriptions: integer({
    default: 1000,
    minimum: 1,
    maximum: 1_000_000,
    description: "Topic filters one client may hold.",
  }),
  maxInflight: integer({
    default: 256,
    minimum: 1,
    maximum: 65_000,
    description:
      "QoS 1 messages on the way to one client without its acknowledgement, whatever larger number it offers.",
  }),
  maxQueuedMessages: integer({
    default: 1000,
    minimum: 0,
    maximum: 1_000_000,
    description: "QoS 1 messages that wait behind those; a client for which one more comes is disconnected.",
  }),
  receiveMaximum: integer({
    default: 65_535,
    minimum: 1,
    maximum: 65_535,
    description: "QoS 1 and 2 messages an MQTT 5 client may have sent without an acknowledgement.",
  }),
  topicAliasMaximum: integer({
    default: 256,
    minimum: 0,
    maximum: 65_535,
    description: "Topic aliases an MQTT 5 client may use; 0 turns them off.",
  }),
});

export type MqttConfig = Infer<typeof schema>;
