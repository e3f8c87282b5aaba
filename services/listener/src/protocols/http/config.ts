/** Settings of one HTTP port. */
import { bytes, durationMs, type Infer, integer, object, port, string } from "@myelin/config";
import { originsSchema } from "../../core/origins.js";
import { transportFields } from "../../core/transport.js";

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 8080, description: "TCP port; 0 takes any free one." }),
  ...transportFields,
  origins: originsSchema,
  maxBody: bytes({
    default: "1MiB",
    min: "1KiB",
    max: "3MiB",
    description:
      "Largest body that is read whole, and largest line of an NDJSON stream, which itself has no bound.",
  }),
  maxHeader: bytes({
    default: "16KiB",
    min: "1KiB",
    max: "1MiB",
    description: "Request line and headers together; more is answered 431.",
  }),
  headerTimeout: durationMs({
    default: "10s",
    min: "1s",
    max: "2m",
    description: "How long a client may take to send all headers of a request.",
  }),
  requestTimeout: durationMs({
    default: "5m",
    min: "1s",
    max: "1d",
    description: "How long a whole request may take to arrive; ends long NDJSON streams too.",
  }),
  keepAliveTimeout: durationMs({
    default: "60s",
    min: "1s",
    max: "1h",
    description: "How long a connection may be silent between requests, and within one.",
  }),
  storeTimeout: durationMs({
    default: "10s",
    min: "100ms",
    max: "2m",
    description:
      "How long an event waits to be stored before the answer is 503; it may still be stored later.",
  }),
  maxLineErrors: integer({
    default: 20,
    minimum: 1,
    maximum: 1000,
    description:
      "Refused readings that the answer to an array or a stream tells one by one; all are counted.",
  }),
  ratePerSecond: integer({
    default: 0,
    minimum: 0,
    maximum: 10_000_000,
    description: "Readings per second of one connection before reading from it pauses; 0 sets no limit.",
  }),
  rateBurst: integer({
    default: 1000,
    minimum: 1,
    maximum: 10_000_000,
    description:
      "Readings a connection may send at once when it was silent before; counts with ratePerSecond only.",
  }),
  maxWaitingMessages: integer({
    default: 64,
    minimum: 1,
    maximum: 10_000,
    description: "Messages that may wait for one device between its requests; more are refused.",
  }),
  maxFetchingDevices: integer({
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
    description: "Devices that fetch their messages from this port at the same time; more get 503.",
  }),
  maxFetchingDevicesPerClient: integer({
    default: 1_000,
    minimum: 1,
    maximum: 1_000_000,
    description: "The same for one user, or for one address without a user; more get 429.",
  }),
});

export type HttpConfig = Infer<typeof schema>;
