/** Vectors of the app stream as it runs over a Unix socket. */
import { envelope, app as wire } from "../../src/index.js";
import { bad, bytes, good } from "./vector.js";

const { AppFrame, SendState } = wire;
const { Lane, Kind, Protocol } = envelope;
const BAD = "contract.bad_frame";

export function lengthPrefixed(body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

type Partial = Parameters<typeof AppFrame.fromPartial>[0]["frame"];
const frame = (name: string, value: Partial) =>
  good(AppFrame, name, AppFrame.fromPartial({ frame: value }), lengthPrefixed);
const prefixed = (text: string): string => lengthPrefixed(bytes(text)).toString("hex");

export function appVectors() {
  const batch = {
    origin: { producer: "listener-0", incarnation: 7 },
    hop: {
      sender: "core",
      sequence: 3,
      count: 1,
      lane: Lane.EVENT,
      partition: 2,
      epoch: 5,
      target: "climate",
    },
    envelopes: [{ channel: 1, deviceId: "d1", path: "t", payload: Buffer.from("21.5") }],
  };
  const error = { code: "app.timeout", message: "late", retryable: true, detailsJson: '{"afterMs":500}' };
  return {
    message: "myelin.app.v1.AppFrame as it runs over a Unix socket: length (4 bytes, big endian), frame",
    good: [
      frame("hello", {
        $case: "hello",
        value: {
          version: 1,
          app: "climate",
          instance: "climate-1",
          subscriptions: [
            {
              filter: "plant/+/temperature",
              deviceIds: ["d1"],
              kinds: [Kind.TELEMETRY],
              protocols: [Protocol.MQTT],
              ports: ["plant"],
            },
          ],
          creditEnvelopes: 10_000,
          creditBytes: 8_388_608,
          token: "secret",
          healthUrl: "http://127.0.0.1:9000/health",
          sdk: "python/0.1.0",
          serves: ["forecast"],
        },
      }),
      frame("welcome", {
        $case: "welcome",
        value: {
          version: 1,
          bridge: "core",
          instance: "climate-1",
          heartbeatMs: 30_000,
          maxFrameBytes: 8_388_608,
        },
      }),
      frame("deliver", { $case: "deliver", value: batch }),
      frame("ack", { $case: "ack", value: { partition: 2, lane: Lane.EVENT, epoch: 5, sequence: 3 } }),
      frame("credit", { $case: "credit", value: { envelopes: 100, bytes: 65_536 } }),
      frame("publish", {
        $case: "publish",
        value: { sequence: 1, lane: Lane.EVENT, envelopes: batch.envelopes },
      }),
      frame("publish result", { $case: "publishResult", value: { sequence: 1 } }),
      frame("publish result with an error", { $case: "publishResult", value: { sequence: 2, error } }),
      frame("request", {
        $case: "request",
        value: {
          id: 1,
          target: "app:climate/forecast",
          payload: Buffer.from("{}"),
          contentType: "application/json",
          timeoutMs: 500,
          from: "shop",
        },
      }),
      frame("response", {
        $case: "response",
        value: { id: 1, payload: Buffer.from("[]"), contentType: "application/json" },
      }),
      frame("response with an error", { $case: "response", value: { id: 1, error } }),
      frame("ping", { $case: "ping", value: { nonce: 9 } }),
      frame("pong", { $case: "pong", value: { nonce: 9, healthy: true } }),
      frame("error", { $case: "error", value: error }),
      frame("drain", { $case: "drain", value: { reason: "the bridge stops" } }),
      frame("subscribe", { $case: "subscribe", value: { subscriptions: [{ filter: "#" }] } }),
      frame("send to a device", {
        $case: "send",
        value: {
          id: 4,
          deviceId: "d1",
          path: "display/text",
          payload: Buffer.from("hi"),
          contentType: "text/plain",
          waitForDevice: true,
          timeoutMs: 1000,
        },
      }),
      frame("send result", { $case: "sendResult", value: { id: 4, state: SendState.ACKNOWLEDGED } }),
    ],
    bad: [
      bad("nothing but a length", prefixed(""), BAD),
      bad("a frame of a later version only", prefixed("c23e0161"), BAD, false),
      bad("field length over the end", prefixed("0a05616263"), BAD),
      bad("field length of 4 GB", prefixed("1affffffff0f"), BAD),
      bad("varint cut off", prefixed("22020880"), BAD),
      bad("wire type 7", prefixed("0f"), BAD),
      bad("field number 0 behind a frame", prefixed("220208010000"), BAD, false),
      bad("a group's end behind a frame", prefixed("2202080104"), BAD, false),
    ],
  };
}
