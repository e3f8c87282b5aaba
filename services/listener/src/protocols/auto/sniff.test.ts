import { encodeMcpFrame } from "@myelin/contract";
import fc from "fast-check";
import { generate } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { MAX_SNIFF_BYTES, sniff } from "./sniff.js";

const SAMPLES: [string, string, Buffer][] = [
  ["http", "a GET", Buffer.from("GET / HTTP/1.1\r\n")],
  ["http", "a POST", Buffer.from("POST /api HTTP/1.1\r\n")],
  ["http", "a CONNECT of HTTP", Buffer.from("CONNECT a:1 HTTP/1.1\r\n")],
  ["tls", "a TLS handshake", Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])],
  ["mcp", "an MCP frame", encodeMcpFrame({ type: "t" })],
  [
    "mqtt",
    "MQTT 3.1.1",
    generate({
      cmd: "connect",
      clientId: "c",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
    }),
  ],
  [
    "mqtt",
    "MQTT 3.1",
    generate({
      cmd: "connect",
      clientId: "c",
      protocolId: "MQIsdp",
      protocolVersion: 3,
      clean: true,
      keepalive: 0,
    }),
  ],
  [
    "mqtt",
    "MQTT 5 with a long packet",
    generate({
      cmd: "connect",
      clientId: "c".repeat(20_000),
      protocolId: "MQTT",
      protocolVersion: 5,
      clean: true,
      keepalive: 0,
      properties: {},
    }),
  ],
];

describe("sniff", () => {
  it.each(SAMPLES)("finds %s in %s, and asks for more until then", (kind, _, bytes) => {
    let decided: string | undefined;
    for (let length = 0; length <= MAX_SNIFF_BYTES; length++) {
      const found = sniff(bytes.subarray(0, length));
      if (decided === undefined) {
        expect(["more", kind]).toContain(found);
        if (found === kind) decided = found;
      } else expect(found).toBe(kind);
    }
    expect(decided).toBe(kind);
  });

  it.each([
    ["a binary protocol", "00"],
    ["SSH", "5353482d"],
    ["an MQTT packet that is no CONNECT", "3003"],
    ["a CONNECT with five length bytes", "10ffffffffff"],
    ["a CONNECT of another protocol", "100c00044d515858"],
    ["TLS of another version", "1602"],
    ["MCP of another version", "4d435002"],
  ])("knows %s for nothing it speaks", (_, hex) => {
    expect(sniff(Buffer.from(hex, "hex"))).toBe("unknown");
  });

  it("decides every beginning, whatever it is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: MAX_SNIFF_BYTES, maxLength: 40 }), (bytes) => {
        expect(sniff(Buffer.from(bytes))).not.toBe("more");
      }),
      { numRuns: 5_000 },
    );
  });
});
