/** Vectors of MCP: frames and streams of them. */
import { encodeMcpFrame, MCP_MAGIC, mcp as wire } from "../../src/index.js";
import { bad, bytes, good, readable } from "./vector.js";

const { MCPMessage, DeliveryLane, Quality, CommandOutcome } = wire;
const BAD = "contract.bad_frame";
const LARGE = "contract.frame_too_large";

/** What the vectors' reader accepts, so that one of them can be too large without being large. */
export const MAX_MESSAGE_BYTES = 65_536;

export function frame(body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([MCP_MAGIC, length, body]);
}

const framed = (text: string): string => frame(bytes(text)).toString("hex");
const data = (name: string, partial: Parameters<typeof MCPMessage.fromPartial>[0]) =>
  good(MCPMessage, name, MCPMessage.fromPartial(partial), frame);
const controlCase = (name: string, value: Parameters<typeof MCPMessage.fromPartial>[0]["control"]) =>
  good(MCPMessage, name, MCPMessage.fromPartial({ control: value }), frame);

export function mcpVectors() {
  return {
    message: "myelin.mcp.v1.MCPMessage in its frame: magic 4d435001, length (4 bytes, big endian), message",
    max_message_bytes: MAX_MESSAGE_BYTES,
    good: [
      data("empty", {}),
      data("reading", { id: "k3x9-1", type: "temperature", payload: Buffer.from('{"t":21.5}') }),
      data("event with every data field", {
        id: "k3x9-2",
        type: "door",
        payload: Buffer.from([1]),
        version: 1,
        sequence: 2 ** 53 - 1,
        ttlMs: 0xffff_ffff,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: "vendor=x",
        versionVector: [
          { writer: "edge", count: 3 },
          { writer: "hub", count: 300 },
        ],
        sourceTimeUs: 1_767_225_600_123_456,
        contentType: "application/octet-stream",
        deviceId: "child-4",
        lane: DeliveryLane.EVENT,
        responsePath: "door/answers",
        correlation: Buffer.from([0, 255]),
        replayed: true,
        quality: Quality.BAD,
      }),
      data("telemetry", {
        type: "t",
        payload: Buffer.from("21.5"),
        lane: DeliveryLane.TELEMETRY,
        sequence: 128,
      }),
      data("hardware command", {
        id: "c-1",
        type: "devices/boiler-17/commands/relay",
        hardware: { deviceId: "boiler-17", command: "relay", params: { channel: "2", state: "on" } },
        ttlMs: 5000,
      }),
      data("result of a hardware command", {
        id: "k3x9-3",
        type: "devices/boiler-17/commands/relay/response",
        result: {
          commandId: "c-1",
          outcome: CommandOutcome.MISMATCH,
          code: "device.mismatch",
          message: "relay 2 reads off",
          readback: Buffer.from("off"),
        },
      }),
      ...[127, 128, 16_384].map((n) => data(`payload of ${n} bytes`, { payload: Buffer.alloc(n, 0x4d) })),
      controlCase("hello", {
        $case: "hello",
        value: {
          version: 1,
          deviceId: "boiler-17",
          username: "plant",
          password: Buffer.from("secret"),
          resumeToken: Buffer.from("0011223344", "hex"),
          lastReceivedSequence: 41,
          heartbeatMs: 30_000,
          token: "eyJ",
          maxFrameBytes: 4096,
        },
      }),
      controlCase("hello with nothing", { $case: "hello", value: {} }),
      controlCase("welcome", {
        $case: "welcome",
        value: {
          version: 1,
          resumeToken: Buffer.from("5566778899", "hex"),
          resumed: true,
          heartbeatMs: 30_000,
          maxFrameBytes: 1_048_576,
          resumeWindowMs: 300_000,
          server: "listener-0",
          lastStoredSequence: 40,
          serverTimeUs: 1_767_225_600_123_456,
        },
      }),
      controlCase("ping", { $case: "ping", value: { nonce: 7 } }),
      controlCase("ping with nothing", { $case: "ping", value: {} }),
      controlCase("pong", { $case: "pong", value: { nonce: 2 ** 53 - 1 } }),
      controlCase("ack by ids", { $case: "ack", value: { ids: ["k3x9-2", ""] } }),
      controlCase("ack by sequence", { $case: "ack", value: { sequence: 300 } }),
      controlCase("error about a message", {
        $case: "error",
        value: { code: "bus.stream_full", message: "the stream is full", retryable: true, id: "k3x9-2" },
      }),
      controlCase("error about the session", {
        $case: "error",
        value: { code: "auth.bad_credentials", message: "no" },
      }),
      controlCase("bye", { $case: "bye", value: { reason: "the device stops" } }),
      readable(MCPMessage, "fields in reverse", bytes("1a0131120174"), frame),
      readable(MCPMessage, "type twice: the last counts", bytes("1205666972737412046c617374"), frame),
      readable(
        MCPMessage,
        "unknown fields of every wire type",
        bytes("f00701120174fa070161f9070102030405060708fd0701020304"),
        frame,
      ),
      readable(MCPMessage, "two control messages: the last counts", bytes("b201020807ba01020808"), frame),
    ],
    bad: [
      bad("nothing", "", BAD),
      bad("half a header", "4d43500100", BAD),
      bad("wrong magic", "4d43500200000000", BAD),
      bad("length in little endian", "4d435001020000001200", LARGE),
      bad("length of 4 GB", "4d435001ffffffff", LARGE),
      bad(
        "length one above the limit",
        `4d435001${(MAX_MESSAGE_BYTES + 1).toString(16).padStart(8, "0")}`,
        LARGE,
      ),
      bad("message cut off", "4d43500100000004120174", BAD),
      bad("bytes behind the frame", "4d4350010000000000", BAD),
      bad("field length over the end", framed("0a05616263"), BAD),
      bad("field length of 4 GB", framed("1affffffff0f"), BAD),
      bad("varint cut off", framed("3080"), BAD),
      bad("varint of eleven bytes", framed("30ffffffffffffffffffff01"), BAD),
      bad("fixed64 cut off", framed("5901020304"), BAD),
      bad("field number 0", framed("0000"), BAD),
      bad("wire type 7", framed("0f00"), BAD),
      bad("group", framed("0b0c"), BAD, false),
      bad("tag of field 1 in two bytes", framed("8a000161"), BAD, false),
      bad("sequence above 2^53 - 1", framed("30ffffffffffffff7f"), BAD, false),
      bad("broken hello", framed("a201021205"), BAD),
      bad("broken hardware command", framed("22020a05"), BAD),
    ],
  };
}

/** What a reader of a byte stream reports, in order: a message's type, bytes it skipped, an error. */
export type StreamEvent =
  | { readonly type: string }
  | { readonly skipped: number }
  | { readonly error: string };

export function mcpStreamVectors() {
  const a = encodeMcpFrame({ type: "a" });
  const b = encodeMcpFrame({ type: "b", payload: Buffer.from("payload") });
  const stream = (name: string, parts: (Buffer | string)[], events: StreamEvent[], pending = 0) => ({
    name,
    bytes: Buffer.concat(parts.map((p) => (typeof p === "string" ? bytes(p) : p))).toString("hex"),
    events,
    pending,
  });
  return {
    message:
      "a byte stream of MCP frames, in pieces of any size; neighbouring `skipped` events may be summed up",
    max_message_bytes: MAX_MESSAGE_BYTES,
    streams: [
      stream("two frames", [a, b], [{ type: "a" }, { type: "b" }]),
      stream("garbage in front", ["0d0a", a], [{ skipped: 2 }, { type: "a" }]),
      stream("garbage between", [a, "00ff4d4350", b], [{ type: "a" }, { skipped: 5 }, { type: "b" }]),
      stream("garbage that begins like the magic", ["4d43504d43", b], [{ skipped: 5 }, { type: "b" }]),
      stream("another version of the frame", ["4d43500200000000", b], [{ skipped: 8 }, { type: "b" }]),
      stream(
        "a frame that is too large, and one behind it",
        ["4d435001ffffffff", b],
        [{ error: LARGE }, { skipped: 8 }, { type: "b" }],
      ),
      stream(
        "a broken message, and a good one behind it",
        [frame(bytes("0a7f")), b],
        [{ error: BAD }, { type: "b" }],
      ),
      stream(
        "the magic within a payload",
        [encodeMcpFrame({ type: "c", payload: a }), b],
        [{ type: "c" }, { type: "b" }],
      ),
      stream("a frame that is not complete", [a, b.subarray(0, 10)], [{ type: "a" }], 10),
      stream("the beginning of a magic at the end", [a, "4d4350"], [{ type: "a" }], 3),
    ],
  };
}
