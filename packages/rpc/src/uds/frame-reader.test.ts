import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader } from "./frame-reader.js";

function encode(frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(frame.length);
      return [header, frame];
    }),
  );
}

const frames = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 });

describe("FrameReader", () => {
  it("gives out the same frames however the bytes are cut, and whenever it is paused", () => {
    fc.assert(
      fc.property(
        frames,
        fc.array(fc.integer({ min: 1, max: 20 })),
        fc.array(fc.boolean()),
        (sent, cuts, pauses) => {
          const received: Buffer[] = [];
          const reader = new FrameReader({
            maxFrameBytes: 40,
            onFrame: (frame) => {
              received.push(Buffer.from(frame));
              if (pauses.pop() === true) reader.pause();
            },
          });
          let rest = encode(sent);
          for (const cut of cuts) {
            reader.push(rest.subarray(0, cut));
            rest = rest.subarray(cut);
          }
          reader.push(rest);
          while (reader.waiting) reader.resume();
          expect(received.map((f) => f.toString("hex"))).toEqual(
            sent.map((f) => Buffer.from(f).toString("hex")),
          );
          expect(reader.midFrame).toBe(false);
        },
      ),
    );
  });

  it("does not copy a frame that lies whole in a chunk", () => {
    const chunk = encode([Buffer.from("abc")]);
    const received: Buffer[] = [];
    new FrameReader({ maxFrameBytes: 3, onFrame: (frame) => received.push(frame) }).push(chunk);
    expect(received[0]?.buffer).toBe(chunk.buffer);
  });

  it.each([[0xffffffff], [9], [0x80000000]])(
    "refuses a length of %i before it allocates anything",
    (length) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(length);
      for (const cut of [0, 1, 2, 3]) {
        const reader = new FrameReader({ maxFrameBytes: 8, onFrame: () => expect.unreachable() });
        reader.push(header.subarray(0, cut));
        expect(() => reader.push(header.subarray(cut))).toThrowError(/announces \d+ bytes, at most 8/);
      }
    },
  );

  it("survives random bytes: frames within the cap or a refusal, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = new FrameReader({
          maxFrameBytes: 16,
          onFrame: (frame) => expect(frame.length).toBeLessThanOrEqual(16),
        });
        try {
          reader.push(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: "contract.frame_too_large" });
        }
      }),
    );
  });
});
