import { describe, expect, it } from "vitest";
import {
  type app,
  BatchView,
  checkEnvelopeCount,
  decodeAppFrame,
  decodeMcpDatagram,
  encodeAppFrame,
  encodeMcpFrame,
  envelope,
  envelopeIdOf,
  escapeToken,
  partitionOf,
} from "../../src/index.js";
import { readByView } from "../batch-support.js";
import { batchVectors } from "../vectors/envelopes.js";
import { FROZEN } from "./v1.frozen.js";

const bytes = (name: keyof typeof FROZEN): Buffer => Buffer.from(FROZEN[name], "hex");
const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");

describe("bytes of version 1", () => {
  it("are still what an envelope is read from and written as", () => {
    const message = envelope.Envelope.decode(bytes("envelope"));
    expect(message).toMatchObject({
      channel: 7,
      tenant: "acme",
      deviceId: "boiler-17",
      path: "plant/boiler-17/temperature",
      kind: 2,
      protocol: 1,
      contentType: "application/json",
      port: "plant",
      profile: "boiler",
      sourceTimeUs: 1_767_225_600_123_455,
      ingestTimeUs: 1_767_225_600_123_456,
      deviceSequence: 9_007_199_254_740_991,
      quality: 2,
      qualityReason: "sensor warming up",
      replayed: true,
      expiresAtUs: 1_767_225_660_123_456,
      schemaVersion: 1,
      headers: [
        { name: "site", value: "north" },
        { name: "empty", value: "" },
      ],
      versionVector: [{ writer: "edge", count: 3 }],
      senderId: true,
      retain: true,
      qos: 1,
      responsePath: "plant/boiler-17/answers",
    });
    expect(hex(message.payload)).toBe(hex(Buffer.from('{"t":21.5}')));
    expect(hex(envelope.Envelope.encode(message).finish())).toBe(FROZEN.envelope);
  });

  it("are still what builder and forwarder write and the view reads", () => {
    const written = batchVectors().good.map((c) => c.bytes);
    for (const name of ["builtBatch", "forwardedBatch"] as const) {
      expect(written).toContain(FROZEN[name]);
      const view = new BatchView().reset(bytes(name));
      checkEnvelopeCount(view);
      expect(view).toMatchObject({ producer: "listener-0", producerIncarnation: 0x1234_5678_9abc });
      view.next();
      expect(readByView(view)).toMatchObject({
        channel: 1,
        deviceId: "d1",
        path: "t",
        kind: 1,
        protocol: 1,
        port: "mqtt",
      });
      expect(view.payload().toString()).toBe('{"t":21.5}');
    }
  });

  it.each([
    ["mcpReading", { id: "k3x9-1", type: "temperature" }],
    [
      "mcpEvent",
      {
        type: "door",
        sequence: 2 ** 53 - 1,
        ttlMs: 0xffff_ffff,
        lane: "event",
        replayed: true,
        quality: "bad",
      },
    ],
    [
      "mcpCommand",
      { hardware: { deviceId: "boiler-17", command: "relay", params: { channel: "2", state: "on" } } },
    ],
    [
      "mcpHello",
      { control: { kind: "hello", deviceId: "boiler-17", heartbeatMs: 30_000, lastReceivedSequence: 41 } },
    ],
    [
      "mcpWelcome",
      { control: { kind: "welcome", resumed: true, lastStoredSequence: 40, resumeWindowMs: 300_000 } },
    ],
    ["mcpAck", { control: { kind: "ack", ids: ["k3x9-2", ""] } }],
  ] as const)("are still what MCP reads and writes: %s", (name, expected) => {
    const message = decodeMcpDatagram(bytes(name));
    expect(message).toMatchObject(expected);
    expect(hex(encodeMcpFrame(message))).toBe(FROZEN[name]);
  });

  it.each([
    ["appHello", { $case: "hello", value: { version: 1, app: "climate", creditEnvelopes: 10_000 } }],
    ["appDeliver", { $case: "deliver", value: { hop: { sequence: 3, lane: 2, partition: 2, epoch: 5 } } }],
    ["appAck", { $case: "ack", value: { partition: 2, lane: 2, epoch: 5, sequence: 3 } }],
  ] as const)("are still what the app stream reads and writes: %s", (name, expected) => {
    const frame = decodeAppFrame(bytes(name).subarray(4));
    expect(frame).toMatchObject(expected);
    expect(hex(encodeAppFrame(frame as NonNullable<app.AppFrame["frame"]>))).toBe(FROZEN[name].slice(8));
  });

  it("are still where devices, names and ids lead", () => {
    expect([partitionOf("", "d1", 8), partitionOf("acme", "boiler-17", 64)]).toEqual([4, 25]);
    expect(escapeToken("Kühlung 3.*")).toBe("K=C3=BChlung=203=2E=2A");
    expect(hex(envelopeIdOf("acme", "d1", "e-1"))).toBe("c9b11adf55c484e10dce5eb6772a01d4");
  });
});
