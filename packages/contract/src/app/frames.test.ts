import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppFrame } from "../generated/myelin/app/v1/app.js";
import { Batch } from "../generated/myelin/envelope/v1/envelope.js";
import {
  decodeAppFrame,
  encodeAppFrame,
  frameBody,
  fromAppErrorMessage,
  TAG_FRAME_DELIVER,
  TAG_FRAME_PUBLISH,
  toAppErrorMessage,
  wrapFrame,
} from "./frames.js";

describe("app frames", () => {
  it("wraps a batch into the same bytes as the generated encoder", () => {
    for (const size of [0, 1, 100, 127, 128, 16_383, 16_384, 70_000, 2_100_000]) {
      const batch = Batch.fromPartial({
        hop: { sender: "d", sequence: 3 },
        envelopes: [{ deviceId: "a", payload: Buffer.alloc(size, 7) }],
      });
      const body = Batch.encode(batch).finish();
      const frame = wrapFrame(TAG_FRAME_DELIVER, body);
      const generated = AppFrame.encode({ frame: { $case: "deliver", value: batch } }).finish();
      expect(Buffer.compare(frame, generated)).toBe(0);
      expect(frameBody(frame, TAG_FRAME_DELIVER)?.equals(body)).toBe(true);
    }
  });

  it("finds no body in frames of another tag, with a wrong length or with bytes behind", () => {
    const frame = wrapFrame(TAG_FRAME_DELIVER, Buffer.from("body"));
    expect(frameBody(frame, TAG_FRAME_PUBLISH)).toBeUndefined();
    expect(frameBody(frame.subarray(0, -1), TAG_FRAME_DELIVER)).toBeUndefined();
    expect(frameBody(Buffer.concat([frame, Buffer.from([0])]), TAG_FRAME_DELIVER)).toBeUndefined();
    expect(
      frameBody(Buffer.from([0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), TAG_FRAME_DELIVER),
    ).toBeUndefined();
    expect(frameBody(Buffer.from([0x1a]), TAG_FRAME_DELIVER)).toBeUndefined();
    expect(frameBody(Buffer.alloc(0), TAG_FRAME_DELIVER)).toBeUndefined();
  });

  it("refuses an empty frame and a broken one with a code", () => {
    for (const bytes of [[], [0x1a], [0x07], [0x0a, 0x05, 1], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]) {
      expect(() => decodeAppFrame(Buffer.from(bytes))).toThrow(
        expect.objectContaining({ code: "contract.bad_frame" }),
      );
    }
  });

  it("throws nothing but contract.bad_frame for random and mutated bytes", () => {
    const seed = Buffer.from(
      encodeAppFrame({ $case: "ack", value: { partition: 1, lane: 2, epoch: 3, sequence: 4 } }),
    );
    const mutated = fc
      .tuple(fc.nat(seed.length - 1), fc.nat(255), fc.nat(seed.length))
      .map(([at, byte, cut]) => {
        const copy = Buffer.from(seed);
        copy[at] = byte;
        return copy.subarray(0, cut);
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        try {
          decodeAppFrame(bytes);
        } catch (error) {
          expect(AppError.is(error) && error.code).toBe("contract.bad_frame");
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("carries an error with its details and without its stack", () => {
    const error = new AppError("limit.rate", "too fast", { details: { perSecond: 5 } });
    const back = fromAppErrorMessage(toAppErrorMessage(error));
    expect(back).toMatchObject({ code: "limit.rate", retryable: true, details: { perSecond: 5 } });
    expect(
      fromAppErrorMessage({ code: "x.y", message: "m", retryable: true, detailsJson: "{" }),
    ).toMatchObject({
      code: "remote.unknown",
      retryable: true,
    });
  });
});
