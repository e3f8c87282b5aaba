import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeRequest,
  encodeException,
  encodeRequest,
  judgeReply,
  type ModbusRequest,
  packBits,
  replyLength,
} from "./pdu.js";
import { anyRequest, goodReply } from "./testcases/requests.js";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
describe("requests and replies of Modbus", () => {
  // Modbus Application Protocol 1.1b3, the examples of sections 6.1 to 6.21.
  test.each<[string, ModbusRequest, string, string]>([
    ["coils", { fn: 1, address: 0x13, quantity: 0x13 }, "01 0013 0013", "01 03 cd 6b 05"],
    ["discrete inputs", { fn: 2, address: 0xc4, quantity: 0x16 }, "02 00c4 0016", "02 03 ac db 35"],
    ["holding registers", { fn: 3, address: 0x6b, quantity: 3 }, "03 006b 0003", "03 06 022b 0000 0064"],
    ["input registers", { fn: 4, address: 8, quantity: 1 }, "04 0008 0001", "04 02 000a"],
    ["one coil", { fn: 5, address: 0xac, on: true }, "05 00ac ff00", "05 00ac ff00"],
    ["one register", { fn: 6, address: 1, value: 3 }, "06 0001 0003", "06 0001 0003"],
    [
      "several coils",
      { fn: 15, address: 0x13, bits: Uint8Array.of(1, 0, 1, 1, 0, 0, 1, 1, 1, 0) },
      "0f 0013 000a 02 cd 01",
      "0f 0013 000a",
    ],
    [
      "several registers",
      { fn: 16, address: 1, registers: Uint16Array.of(0x0a, 0x102) },
      "10 0001 0002 04 000a 0102",
      "10 0001 0002",
    ],
    [
      "a masked write",
      { fn: 22, address: 4, andMask: 0xf2, orMask: 0x25 },
      "16 0004 00f2 0025",
      "16 0004 00f2 0025",
    ],
    [
      "a read with a write",
      { fn: 23, address: 3, quantity: 6, writeAddress: 14, registers: Uint16Array.of(0xff, 0xff, 0xff) },
      "17 0003 0006 000e 0003 06 00ff 00ff 00ff",
      "17 0c 00fe 0acd 0001 0003 000d 00ff",
    ],
    [
      "a device identification",
      { fn: 43, level: 1, object: 0 },
      "2b 0e 01 00",
      "2b 0e 01 01 00 00 03 00 03 616263 01 02 3132 02 01 33",
    ],
  ])("agree with the standard's example of %s", (_, request, sent, answered) => {
    const pdu = encodeRequest(request);
    expect(Buffer.from(pdu).toString("hex")).toBe(sent.replaceAll(" ", ""));
    expect(decodeRequest(pdu)).toEqual(request);
    const reply = hex(answered);
    expect(judgeReply(pdu, reply, 0, reply.length)).toBe("good");
  });

  test("survive the way to a server and back", () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(255), (request, seed) => {
        const pdu = encodeRequest(request);
        expect(decodeRequest(pdu)).toEqual(request);
        const reply = goodReply(pdu, seed);
        expect(judgeReply(pdu, reply, 0, reply.length)).toBe("good");
        expect(replyLength(pdu) ?? reply.length).toBe(reply.length);
      }),
    );
  });

  test("no part of a good reply, and no longer one, is good", () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(), (request, cut) => {
        const pdu = encodeRequest(request);
        const reply = goodReply(pdu, 7);
        expect(judgeReply(pdu, reply, 0, cut % reply.length)).not.toBe("good");
        expect(judgeReply(pdu, Uint8Array.of(...reply, 0), 0, reply.length + 1)).not.toBe("good");
      }),
    );
  });

  test("a reply that repeats another address, or has another byte count, is not good", () => {
    const pdu = encodeRequest({ fn: 16, address: 10, registers: Uint16Array.of(1) });
    expect(judgeReply(pdu, hex("10 000b 0001"), 0, 5)).toBe("other");
    const read = encodeRequest({ fn: 3, address: 0, quantity: 2 });
    expect(judgeReply(read, hex("03 02 0000 0000"), 0, 6)).toBe("other");
  });

  test("an exception belongs to its function", () => {
    const pdu = encodeRequest({ fn: 3, address: 0, quantity: 2 });
    expect(judgeReply(pdu, encodeException(3, 2), 0, 2)).toBe("exception");
    expect(judgeReply(pdu, encodeException(4, 2), 0, 2)).toBe("other");
    expect(judgeReply(pdu, Uint8Array.of(0x83, 0), 0, 2)).toBe("other");
  });

  test("garbage is no request, and no reply, and throws nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), anyRequest, (bytes, request) => {
        const decoded = decodeRequest(bytes);
        if (decoded !== undefined && decoded.fn !== 15) expect(encodeRequest(decoded)).toEqual(bytes);
        expect(["good", "exception", "other"]).toContain(
          judgeReply(encodeRequest(request), bytes, 0, bytes.length),
        );
      }),
    );
  });

  test("what the standard has no frame for is not encoded", () => {
    for (const quantity of [0, 126, 1.5, Number.NaN]) {
      expect(() => encodeRequest({ fn: 3, address: 0, quantity })).toThrow(/quantity/);
    }
    expect(() => encodeRequest({ fn: 6, address: 70_000, value: 0 })).toThrow(/70000/);
  });

  test("bits are packed from the lowest on", () => {
    expect(packBits(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 1))).toEqual(Uint8Array.of(1, 2));
  });
});
