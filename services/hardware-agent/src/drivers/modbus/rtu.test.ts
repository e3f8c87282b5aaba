import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc16 } from "./crc.js";
import { encodeException, encodeRequest } from "./pdu.js";
import { decodeRtu, encodeRtu, RtuReader } from "./rtu.js";
import { anyRequest, goodReply } from "./testcases/requests.js";

const read = encodeRequest({ fn: 3, address: 0, quantity: 2 });
const sent = encodeRtu(9, read);
const reply = encodeRtu(9, goodReply(read, 5));

function feed(reader: RtuReader, bytes: Uint8Array, cuts: readonly number[] = []): string {
  let state = "pending";
  let from = 0;
  for (const to of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    if (state === "pending") state = reader.push(bytes.subarray(from, to));
    from = to;
  }
  return state;
}

describe("RTU frames", () => {
  test("bear the checksum of the standard's example", () => {
    // Modbus over Serial Line 1.02, appendix B: 02 07 has the CRC 1241, sent 41 12.
    expect(crc16(Uint8Array.of(2, 7), 0, 2)).toBe(0x1241);
    expect(encodeRtu(2, Uint8Array.of(7))).toEqual(Uint8Array.of(2, 7, 0x41, 0x12));
    expect(decodeRtu(Uint8Array.of(2, 7, 0x41, 0x12))).toEqual({ unit: 2, pdu: Uint8Array.of(7) });
    expect(decodeRtu(Uint8Array.of(2, 7, 0x41, 0x13))).toBeUndefined();
  });

  test("are found in noise, however they are cut", () => {
    const noise = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(
        anyRequest,
        noise,
        noise,
        fc.array(fc.nat(600), { maxLength: 6 }),
        (request, before, behind, cuts) => {
          const pdu = encodeRequest(request);
          const frame = encodeRtu(17, goodReply(pdu, 3));
          const reader = new RtuReader();
          reader.expect(17, pdu);
          expect(feed(reader, Uint8Array.of(...before, ...frame, ...behind), cuts)).toBe("good");
          expect(reader.bytes.slice(reader.start, reader.end)).toEqual(goodReply(pdu, 3));
        },
      ),
    );
  });

  test("are found after more noise than anybody keeps", () => {
    const reader = new RtuReader();
    reader.expect(9, read);
    expect(feed(reader, Uint8Array.of(...new Uint8Array(5000).fill(9), ...reply))).toBe("good");
  });

  test("with any bit turned are never taken", () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(), (request, where) => {
        const pdu = encodeRequest(request);
        const frame = encodeRtu(17, goodReply(pdu, 3));
        const bit = where % (8 * frame.length);
        frame[bit >> 3] = (frame[bit >> 3] as number) ^ (1 << (bit & 7));
        const reader = new RtuReader();
        reader.expect(17, pdu);
        expect(feed(reader, frame)).toBe("pending");
        expect(["noise", "truncated", "corrupt", "wrong_unit"]).toContain(reader.trouble(sent));
      }),
    );
  });

  test("cut short anywhere are never taken", () => {
    for (let end = 0; end < reply.length; end++) {
      const reader = new RtuReader();
      reader.expect(9, read);
      expect(feed(reader, reply.subarray(0, end))).toBe("pending");
    }
  });

  test("of another unit, function or length are passed over, and what they were is told", () => {
    const reader = new RtuReader();
    const trouble = (frame: Uint8Array): string => {
      reader.expect(9, read);
      expect(feed(reader, frame)).toBe("pending");
      return reader.trouble(sent);
    };
    expect(trouble(new Uint8Array(0))).toBe("silence");
    expect(trouble(encodeRtu(8, goodReply(read, 5)))).toBe("wrong_unit");
    expect(trouble(encodeRtu(9, goodReply(encodeRequest({ fn: 4, address: 0, quantity: 2 }), 5)))).toBe(
      "wrong_reply",
    );
    expect(trouble(encodeRtu(9, goodReply(encodeRequest({ fn: 3, address: 0, quantity: 3 }), 5)))).toBe(
      "wrong_reply",
    );
    expect(trouble(reply.subarray(0, 6))).toBe("truncated");
    expect(trouble(Uint8Array.of(...reply.subarray(0, 8), 1))).toBe("corrupt");
    expect(trouble(Uint8Array.of(1, 2, 3))).toBe("noise");
    reader.expect(9, read);
    expect(feed(reader, Uint8Array.of(...encodeRtu(8, goodReply(read, 5)), ...reply))).toBe("good");
  });

  test("with an exception are told from good ones", () => {
    const reader = new RtuReader();
    reader.expect(9, read);
    expect(feed(reader, encodeRtu(9, encodeException(3, 2)))).toBe("exception");
    expect(reader.bytes[reader.start + 1]).toBe(2);
  });

  test("that the line gives back are told from the unit's own, where they look alike", () => {
    const write = encodeRequest({ fn: 6, address: 1, value: 3 });
    const frame = encodeRtu(9, write);
    fc.assert(
      fc.property(fc.array(fc.nat(16), { maxLength: 5 }), (cuts) => {
        const reader = new RtuReader();
        reader.expect(9, write, frame);
        expect(feed(reader, frame, cuts)).toBe("pending");
        expect(reader.trouble(frame)).toBe("silence");
        expect(feed(reader, frame, cuts)).toBe("good");
      }),
    );
  });

  test("tell whether the line gives back what is sent, unless noise came first", () => {
    const reader = new RtuReader();
    const before = (...bytes: readonly number[]): string => {
      reader.expect(9, read, sent);
      expect(feed(reader, Uint8Array.of(...bytes, ...reply))).toBe("good");
      return reader.before(sent);
    };
    expect(before()).toBe("nothing");
    expect(before(...sent)).toBe("echo");
    expect(before(0xff, ...sent)).toBe("echo");
    expect(before(0xff)).toBe("noise");
  });

  test("that the line gives back behind noise are not taken for the unit's", () => {
    const write = encodeRequest({ fn: 5, address: 1, on: true });
    const frame = encodeRtu(9, write);
    const reader = new RtuReader();
    reader.expect(9, write, frame);
    expect(feed(reader, Uint8Array.of(1, 2, 3, ...frame))).toBe("pending");
    expect(feed(reader, frame)).toBe("good");
  });

  test("that a request has not asked for are never taken from random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        const reader = new RtuReader();
        reader.expect(9, read);
        // A random frame would need the unit, the function, the count and 16 bits of checksum: it does not come up here.
        expect(feed(reader, bytes)).toBe("pending");
      }),
    );
  });
});
