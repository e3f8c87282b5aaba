import { stripVTControlCharacters } from "node:util";
import { ops } from "@myelin/contract";
import { expect, it } from "vitest";
import { sinceOf } from "./clients.js";
import { lineOf } from "./trace.js";

const line = (packet: Partial<ops.TracedPacket>): string =>
  stripVTControlCharacters(
    lineOf(ops.TracedPacket.fromPartial({ atUs: 1_700_000_000_123_000, device: "d1", size: 9, ...packet })),
  );

it("shows a packet on one line, which cannot act on the terminal", () => {
  expect(
    line({ name: "PUBLISH", packetId: 7, qos: 1, topic: "a\u001b[2Jb", payloadSize: 3, retain: true }),
  ).toBe("22:13:20.123 > d1 PUBLISH id=7 QoS 1 retain a\ufffd[2Jb 3 of 9 B");
  expect(line({ name: "SUBACK", outgoing: true, packetId: 1, reasonCodes: [0, 0x87] })).toBe(
    "22:13:20.123 < d1 SUBACK id=1 0x00,0x87 9 B",
  );
  expect(line({ name: "PUBLISH", topic: "t", payloadSize: 2, payload: Buffer.from("\nx") })).toBe(
    "22:13:20.123 > d1 PUBLISH QoS 0 t 2 of 9 B \ufffdx",
  );
});

it("takes a time or a duration for --since", () => {
  expect(sinceOf(undefined, 5_000)).toBe(0);
  expect(sinceOf("2s", 5_000)).toBe(3_000_000);
  expect(sinceOf("1970-01-01T00:00:01Z", 5_000)).toBe(1_000_000);
  expect(() => sinceOf("yesterday", 5_000)).toThrow(expect.objectContaining({ code: "config.invalid" }));
});
