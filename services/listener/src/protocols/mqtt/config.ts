/** Settings of one MQTT port. */
import { bytes, durationMs, type Infer, integer, object, port, string } from "@myelin/config";
import { transportFields, unixFields } from "../../core/transport.js";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 1883, description: "TCP port; 0 takes any free one." }),
  ...transportFields,
  ...unixFields,
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
      "Bytes that may wait for a client that reads slowly; beyond it QoS 0 is dropped, and what is above QoS 0 waits, as many bytes of it again.",
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
    maximum: 32_767,
    description:
      "QoS 1 and 2 messages on the way to one client without its acknowledgement, whatever larger number it offers.",
  }),
  maxQueuedMessages: integer({
    default: 1000,
    minimum: 0,
    maximum: 1_000_000,
    description:
      "QoS 1 and 2 messages that wait behind those; a client for which one more comes is disconnected.",
  }),
  slowPatience: durationMs({
    default: "1s",
    min: "0s",
    max: "1m",
    description:
      "How long QoS 1 and 2 messages of all clients are held back for one that does not keep up, before more than its queue holds means its end. Counts only while it takes fewer than 5000 messages and 10 MB a second, and comes back at a tenth of the time that passes; 0 waits for nobody.",
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
    description:
      "Topic aliases an MQTT 5 client may use, and is sent at most where it takes some; 0 turns them off.",
  }),
  keepAliveMaximum: integer({
    default: 0,
    minimum: 0,
    maximum: 65_535,
    description:
      "Longest keep alive in seconds. MQTT 5 clients that ask for more, or for none, are told to use this one, others are held to it untold; 0 leaves it to the clients.",
  }),
  ratePatience: durationMs({
    default: "1m",
    min: "0s",
    max: "1d",
    description:
      "How long a client may go on above its rate, slowed down all the while, before it is disconnected with message rate too high; 0 slows it down for ever.",
  }),
  responseInformation: string({
    default: "",
    maxLength: 1024,
    description:
      "What MQTT 5 clients that ask for response information are told, such as the topic that answers for them belong below; %c stands for the client id, %u for the user, %d for the device id. Empty: nothing.",
  }),
  serverReference: string({
    default: "",
    maxLength: 1024,
    description:
      "Where MQTT 5 clients are sent when this listener drains, as host or host:port, several with a space between them. Empty: they are told that it shuts down.",
  }),
});

export type MqttConfig = Infer<typeof schema>;
