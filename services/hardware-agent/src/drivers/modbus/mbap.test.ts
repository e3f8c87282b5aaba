import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeMbap, MbapReader } from "./mbap.js";

interface Frame {
  readonly transaction: number;
  readonly unit: number;
  readonly pdu: Uint8Array;
}

const anyFrame = fc.record({
  transaction: fc.nat(0xffff),
  unit: fc.nat(255),
  pdu: fc.uint8Array({ minLength: 1, maxLength: 253 }),
});

function readerInto(seen: Frame[]): MbapReader {
  return new MbapReader((transaction, unit, bytes, start, end) => {
    seen.push({ transaction, unit, pdu: Uint8Array.from(bytes.subarray(start, end)) });
  });
}

describe("frames of Modbus TCP", () => {
  test("agree with the standard's example", () => {
    // Modbus Messaging on TCP/IP 1.0b, 3.1.3: transaction 1501, unit ff.
    const frame = encodeMbap(0x1501, 0xff, Uint8Array.of(3, 0, 4, 0, 1));
    expect(Buffer.from(frame).toString("hex")).toBe("150100000006ff0300040001");
  });

  test("come out as they went in, however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 8 }),
        fc.array(fc.nat(2500), { maxLength: 12 }),
        (frames, cuts) => {
          const stream = Uint8Array.from(
            frames.flatMap(({ transaction, unit, pdu }) => [...encodeMbap(transaction, unit, pdu)]),
          );
          const seen: Frame[] = [];
          const reader = readerInto(seen);
          let from = 0;
          for (const to of [
            ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b),
            stream.length,
          ]) {
            expect(reader.push(stream.subarray(from, to))).toBe(true);
            from = to;
          }
          expect(seen).toEqual(frames);
        },
      ),
    );
  });

  test("come out byte by byte", () => {
    const seen: Frame[] = [];
    const reader = readerInto(seen);
    const frame = { transaction: 7, unit: 1, pdu: Uint8Array.of(3, 2, 0, 1) };
    for (const byte of encodeMbap(frame.transaction, frame.unit, frame.pdu)) reader.push(Uint8Array.of(byte));
    expect(seen).toEqual([frame]);
  });

  test.each([
    ["of another protocol", [0, 1, 0, 1, 0, 6, 1, 3]],
    ["without a PDU", [0, 1, 0, 0, 0, 1, 1, 3]],
    ["longer than any", [0, 1, 0, 0, 1, 0, 1, 3]],
  ])("%s make the connection useless", (_, bytes) => {
    expect(readerInto([]).push(Uint8Array.from(bytes))).toBe(false);
    const reader = readerInto([]);
    expect(bytes.every((byte) => reader.push(Uint8Array.of(byte)))).toBe(false);
  });

  test("of random bytes throw nothing and never run out of the buffer", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), (chunks) => {
        const reader = readerInto([]);
        chunks.every((chunk) => reader.push(chunk));
      }),
    );
  });

  test("begin anew with a new connection", () => {
    const seen: Frame[] = [];
    const reader = readerInto(seen);
    reader.push(Uint8Array.of(0, 1, 0, 0));
    reader.reset();
    reader.push(encodeMbap(2, 1, Uint8Array.of(3)));
    expect(seen).toHaveLength(1);
  });
});
