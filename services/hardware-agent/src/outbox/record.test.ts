import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findRecord, RECORD_HEADER_BYTES, recordPlace, sealRecord, seedOf } from "./record.js";

const SEED = seedOf("0000000000000000-0123456789abcdef.seg");

function bytesOf(payloads: readonly Uint8Array[]): { bytes: Buffer; ends: number[] } {
  const ends: number[] = [];
  const parts = payloads.map((payload, ordinal) => {
    const part = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
    part.set(payload, RECORD_HEADER_BYTES);
    sealRecord(part, 0, { payloadBytes: payload.length, samples: 1, ordinal, seed: SEED });
    ends.push((ends.at(-1) ?? 0) + part.length);
    return part;
  });
  return { bytes: Buffer.concat(parts), ends };
}

/** Ordinals of all that is found, and a check that each holds what was written. */
function found(bytes: Buffer, payloads: readonly Uint8Array[]): number[] {
  const place = recordPlace();
  const ordinals: number[] = [];
  for (let from = 0; ; from = place.end) {
    if (findRecord(bytes, { from, to: bytes.length, isWhole: true, seed: SEED }, place) !== "record")
      return ordinals;
    expect(bytes.subarray(place.payloadStart, place.end).equals(payloads[place.ordinal]!)).toBe(true);
    ordinals.push(place.ordinal);
  }
}

const payloadsArbitrary = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 8 });

describe("records in damaged bytes", () => {
  it("finds exactly the records that end before a cut, wherever it is", () => {
    fc.assert(
      fc.property(payloadsArbitrary, (payloads) => {
        const { bytes, ends } = bytesOf(payloads);
        for (let cut = 0; cut <= bytes.length; cut++) {
          const whole = ends.filter((end) => end <= cut).length;
          expect(found(bytes.subarray(0, cut), payloads)).toEqual([...Array(whole).keys()]);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("loses the one record whose bit has turned and gives nothing wrong back, whichever bit it is", () => {
    fc.assert(
      fc.property(payloadsArbitrary, (payloads) => {
        const { bytes, ends } = bytesOf(payloads);
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          bytes[bit >> 3]! ^= 1 << (bit & 7);
          const hit = ends.findIndex((end) => bit >> 3 < end);
          expect(found(bytes, payloads)).toEqual(ends.map((_, i) => i).filter((i) => i !== hit));
          bytes[bit >> 3]! ^= 1 << (bit & 7);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("takes a record for one in the segment it was written to only", () => {
    const { bytes } = bytesOf([Buffer.from("a")]);
    const range = { from: 0, to: bytes.length, isWhole: true, seed: seedOf("another") };
    expect(findRecord(bytes, range, recordPlace())).toBe("end");
  });

  it("asks for more bytes where a record is cut off, and goes on there", () => {
    const payloads = [Buffer.from("first"), Buffer.from("second")];
    const { bytes, ends } = bytesOf(payloads);
    for (let to = 0; to < bytes.length; to++) {
      const place = recordPlace();
      const from = to >= ends[0]! ? ends[0]! : 0;
      expect(findRecord(bytes, { from, to, isWhole: false, seed: SEED }, place)).not.toBe("record");
      expect(place.start).toBe(to - from < 4 ? Math.max(from, to - 3) : from);
      const whole = { from: place.start, to: bytes.length, isWhole: false, seed: SEED };
      expect(findRecord(bytes, whole, place)).toBe("record");
      expect(place.start).toBe(from);
    }
  });
});
