import { app, envelope, Lane } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_PUBLISH_ENVELOPES, PublishFrame } from "./publish-frame.js";

const encode = (change: Partial<app.Publish>): Buffer =>
  Buffer.from(app.Publish.encode(app.Publish.create(change)).finish());

function payloadsOf(frame: PublishFrame): string[] {
  const payloads: string[] = [];
  while (frame.view.next()) payloads.push(frame.view.payload().toString());
  return payloads;
}

describe("PublishFrame", () => {
  it("reads what the generated encoder writes", () => {
    const envelopes = ["a", "b"].map((p) => envelope.Envelope.create({ path: "p", payload: Buffer.from(p) }));
    const frame = new PublishFrame().reset(encode({ sequence: 2 ** 40, lane: Lane.EVENT, envelopes }));
    expect([frame.sequence, frame.lane, frame.count]).toEqual([2 ** 40, Lane.EVENT, 2]);
    expect(payloadsOf(frame)).toEqual(["a", "b"]);
  });

  it("reads fields in any order, with unknown ones between", () => {
    const envelopes = [envelope.Envelope.create({ path: "p", payload: Buffer.from("x") })];
    const body = Buffer.concat([
      encode({ envelopes }),
      Buffer.from([0x7a, 1, 9]),
      encode({ sequence: 9, lane: Lane.EVENT }),
    ]);
    const frame = new PublishFrame().reset(body);
    expect([frame.sequence, frame.lane, frame.count]).toEqual([9, Lane.EVENT, 1]);
    expect(payloadsOf(frame)).toEqual(["x"]);
  });

  it("refuses more envelopes than it takes, also where decoding them would cost most", () => {
    const many = Buffer.alloc(2 * (MAX_PUBLISH_ENVELOPES + 1));
    for (let i = 0; i < many.length; i += 2) many[i] = 0x1a;
    for (const body of [many, Buffer.concat([many, encode({ sequence: 1 })])]) {
      expect(() => new PublishFrame().reset(body)).toThrow(
        expect.objectContaining({ code: "queue.item_too_large" }),
      );
    }
  });

  it("throws nothing but codes of the wire for random and mutated bytes, and ends", () => {
    const good = encode({
      sequence: 3,
      lane: 1,
      envelopes: [envelope.Envelope.create({ path: "p", deviceId: "d" })],
    });
    const mutated = fc
      .tuple(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length))
      .map(([at, byte, cut]) => {
        const copy = Buffer.from(good);
        copy[at] = byte;
        return copy.subarray(0, cut);
      });
    const frame = new PublishFrame();
    fc.assert(
      fc.property(
        fc.oneof(
          mutated,
          fc.uint8Array({ maxLength: 100 }).map((b) => Buffer.from(b)),
        ),
        (bytes) => {
          try {
            frame.reset(bytes);
            while (frame.view.next()) frame.view.head();
          } catch (error) {
            expect(AppError.is(error) && error.code).toMatch(/^contract\.bad_(frame|envelope)$/);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
