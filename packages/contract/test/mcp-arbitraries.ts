/** Generators of random MCP messages for property tests; imported by tests only. */
import fc from "fast-check";
import type { McpControlInit, McpMessageInit } from "../src/mcp/message.js";

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((b) => Buffer.from(b));
const text = fc.string({ unit: "binary", maxLength: 40 }).filter((s) => s.isWellFormed());
const count = fc.maxSafeNat();
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });

const optional = <T extends Record<string, fc.Arbitrary<unknown>>>(model: T) =>
  fc.record(model, { requiredKeys: [] });

/** Any control message. */
export const anyControl: fc.Arbitrary<McpControlInit> = fc.oneof(
  optional({
    version: uint32,
    deviceId: text,
    username: text,
    password: bytes(20),
    resumeToken: bytes(40),
    lastReceivedSequence: count,
    heartbeatMs: uint32,
    token: text,
    maxFrameBytes: uint32,
  }).map((v) => ({ kind: "hello" as const, ...v })),
  optional({
    version: uint32,
    resumeToken: bytes(40),
    resumed: fc.boolean(),
    heartbeatMs: uint32,
    maxFrameBytes: uint32,
    resumeWindowMs: uint32,
    server: text,
    lastStoredSequence: count,
    serverTimeUs: count,
  }).map((v) => ({ kind: "welcome" as const, ...v })),
  optional({ nonce: count }).map((v) => ({ kind: "ping" as const, ...v })),
  optional({ nonce: count }).map((v) => ({ kind: "pong" as const, ...v })),
  optional({ ids: fc.array(text, { maxLength: 5 }), sequence: count }).map((v) => ({
    kind: "ack" as const,
    ...v,
  })),
  optional({ code: text, message: text, retryable: fc.boolean(), id: text }).map((v) => ({
    kind: "error" as const,
    ...v,
  })),
  optional({ reason: text }).map((v) => ({ kind: "bye" as const, ...v })),
);

/** Any message, with any subset of its fields; payload sizes lie around the borders of their length's encoding. */
export const anyMessage: fc.Arbitrary<McpMessageInit> = optional({
  id: text,
  type: text,
  payload: fc.oneof(
    bytes(80),
    fc.constantFrom(127, 128, 129, 16_383, 16_384).map((n) => Buffer.alloc(n, 0x4d)),
  ),
  hardware: fc.record({
    deviceId: text,
    command: text,
    params: fc.dictionary(
      text.filter((key) => key !== "__proto__"),
      text,
      { maxKeys: 3, noNullPrototype: true },
    ),
  }),
  version: uint32,
  sequence: count,
  ttlMs: uint32,
  traceparent: text,
  tracestate: text,
  versionVector: fc.array(fc.record({ writer: text, count }), { maxLength: 3 }),
  sourceTimeUs: count,
  contentType: text,
  deviceId: text,
  lane: fc.constantFrom("telemetry" as const, "event" as const),
  responsePath: text,
  correlation: bytes(20),
  replayed: fc.boolean(),
  quality: fc.constantFrom("good" as const, "uncertain" as const, "bad" as const),
  result: fc.record({
    commandId: text,
    outcome: fc.constantFrom("executed" as const, "failed" as const),
    code: text,
    message: text,
    readback: bytes(10),
  }),
  control: anyControl,
});
