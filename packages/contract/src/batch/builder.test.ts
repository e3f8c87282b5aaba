import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINK, NOW_US, newStamp } from "../../test/batch-support.js";
import { channel, extras, payload } from "../../test/envelope-arbitraries.js";
import { Batch, Envelope } from "../generated/myelin/envelope/v1/envelope.js";
import {
  BATCH_FLAGS,
  BatchBuilder,
  createChannel,
  EMPTY_HEAD,
  type EnvelopeExtras,
  MAX_BUILT_BATCH_BYTES,
  MAX_PAYLOAD_BYTES,
} from "./index.js";

const plain = createChannel(1, { ...EMPTY_HEAD, deviceId: "d", path: "p" }, 0);
const build = (fill: (builder: BatchBuilder) => void): Batch => {
  const builder = new BatchBuilder(LINK, newStamp());
  fill(builder);
  return Batch.decode(builder.finish() as Buffer);
};

describe("BatchBuilder", () => {
  it("writes what generated code reads, whatever heads, extras and payload sizes", () => {
    const message = fc.tuple(channel, payload, fc.option(extras, { nil: undefined }));
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), (messages) => {
        // All payloads lie in one chunk, as those of a socket do.
        const chunk = Buffer.concat(messages.flatMap(([, p]) => [Buffer.from("<"), p]));
        const builder = new BatchBuilder(LINK, newStamp());
        let at = 0;
        for (const [c, p, e] of messages) {
          const start = at + 1;
          at = start + p.length;
          if (e === undefined) builder.append(c, chunk, start, at);
          else builder.appendWith(c, chunk, start, at, e);
        }
        const batch = Batch.decode(builder.finish() as Buffer);
        const ids = messages.map(([, , e], i) => e?.id ?? generatedId(i));
        expect(batch.envelopes).toEqual(
          messages.map(([c, p, e], i) =>
            Envelope.fromPartial({
              ...c.head,
              ...e,
              channel: c.number,
              id: Buffer.from(ids[i] as Uint8Array),
              ingestTimeUs: NOW_US,
              payload: p,
            } as Parameters<typeof Envelope.fromPartial>[0]),
          ),
        );
        expect(batch.hop).toMatchObject({ count: messages.length, sequence: 1, firstOrdinal: 0 });
      }),
      { numRuns: 300 },
    );
  });

  it("writes extras in the bytes that the generated encoder writes", () => {
    fc.assert(
      fc.property(extras, (e) => {
        const { id: _, ...rest } = e;
        const generated = Envelope.encode(
          Envelope.fromPartial(rest as Parameters<typeof Envelope.fromPartial>[0]),
        ).finish();
        const batch = new BatchBuilder(LINK, newStamp());
        batch.appendWith(plain, Buffer.alloc(0), 0, 0, e);
        const bytes = batch.finish() as Buffer;
        expect(bytes.subarray(bytes.length - generated.length)).toEqual(Buffer.from(generated));
      }),
    );
  });

  it("numbers the batches of its link without gaps", () => {
    const builder = new BatchBuilder(LINK, newStamp());
    builder.epoch = 9;
    const hops = [1, 2, 3].map((count) => {
      for (let i = 0; i < count; i++) builder.append(plain, Buffer.alloc(1), 0, 1);
      return Batch.decode(builder.finish() as Buffer).hop;
    });
    expect(hops).toMatchObject([
      { sequence: 1, firstOrdinal: 0, count: 1, epoch: 9, sender: LINK.sender, partition: 3, lane: 1 },
      { sequence: 2, firstOrdinal: 1, count: 2 },
      { sequence: 3, firstOrdinal: 3, count: 3, incarnation: LINK.incarnation },
    ]);
  });

  it("makes no batch of nothing and uses up no number for it", () => {
    const builder = new BatchBuilder(LINK, newStamp());
    expect(builder.finish()).toBeUndefined();
    builder.append(plain, Buffer.alloc(1), 0, 1);
    expect(builder.discard()).toBe(1);
    expect(builder.finish()).toBeUndefined();
    expect(builder).toMatchObject({ sequence: 1, ordinal: 0, count: 0 });
  });

  it("gives ids that differ and grow with time", () => {
    const stamp = newStamp();
    const builder = new BatchBuilder(LINK, stamp);
    for (let i = 0; i < 300; i++) builder.append(plain, Buffer.alloc(0), 0, 0);
    stamp.tick(NOW_US + 2000);
    builder.append(plain, Buffer.alloc(0), 0, 0);
    const ids = Batch.decode(builder.finish() as Buffer).envelopes.map((e) => e.id.toString("hex"));
    expect(new Set(ids).size).toBe(301);
    const millis = ids.map((id) => Number.parseInt(id.slice(0, 12), 16));
    expect(millis[0]).toBe(Math.floor(NOW_US / 1000));
    expect(millis[300]).toBe(Math.floor(NOW_US / 1000) + 2);
  });

  it.each<[string, EnvelopeExtras, number]>([
    ["a sender's id", { senderId: true }, BATCH_FLAGS.senderIds],
    ["an expiry", { expiresAtUs: 1 }, BATCH_FLAGS.expiry],
    ["headers", { headers: [{ name: "a", value: "b" }] }, BATCH_FLAGS.headers],
    ["a trace", { traceparent: "00-1-2-01" }, BATCH_FLAGS.traced],
    ["none of these", { qos: 1, headers: [], expiresAtUs: 0 }, 0],
  ])("flags a batch with %s, and only that batch", (_, e, flags) => {
    const builder = new BatchBuilder(LINK, newStamp());
    builder.appendWith(plain, Buffer.alloc(0), 0, 0, e);
    expect(Batch.decode(builder.finish() as Buffer).hop?.flags).toBe(flags);
    builder.append(plain, Buffer.alloc(0), 0, 0);
    expect(Batch.decode(builder.finish() as Buffer).hop?.flags).toBe(0);
  });

  it("flags a batch in which some envelope is not interned", () => {
    const batch = build((b) => b.append(createChannel(0, EMPTY_HEAD, 0), Buffer.alloc(0), 0, 0));
    expect(batch.hop?.flags).toBe(BATCH_FLAGS.uninterned);
  });

  it("reads extras at each call, so one object can be filled again", () => {
    const e = { deviceSequence: 1 };
    const batch = build((b) => {
      b.appendWith(plain, Buffer.alloc(0), 0, 0, e);
      e.deviceSequence = 2;
      b.appendWith(plain, Buffer.alloc(0), 0, 0, e);
    });
    expect(batch.envelopes.map((m) => m.deviceSequence)).toEqual([1, 2]);
  });

  it.each<[string, EnvelopeExtras]>([
    ["a negative time", { sourceTimeUs: -1 }],
    ["a time that is no number", { expiresAtUs: Number.NaN }],
    ["a fractional sequence", { deviceSequence: 1.5 }],
    ["a sequence above 2^53", { deviceSequence: 2 ** 53 }],
    ["a QoS above 32 bits", { qos: 2 ** 32 }],
    ["a negative version count", { versionVector: [{ writer: "a", count: -1 }] }],
    ["an id of 15 bytes", { id: new Uint8Array(15) }],
  ])("refuses %s and appends nothing", (_, e) => {
    const builder = new BatchBuilder(LINK, newStamp());
    const size = builder.size;
    const append = () => builder.appendWith(plain, Buffer.alloc(4), 0, 4, e);
    expect(append).toThrow(expect.objectContaining({ code: "contract.bad_envelope" }));
    expect(builder).toMatchObject({ count: 0, size });
  });

  it("refuses a payload over the limit, also when its buffer is large enough by now", () => {
    const builder = new BatchBuilder(LINK, newStamp());
    const large = Buffer.alloc(MAX_PAYLOAD_BYTES + 1);
    const tooLarge = expect.objectContaining({ code: "contract.frame_too_large" });
    expect(() => builder.append(plain, large, 0, large.length)).toThrow(tooLarge);
    builder.append(plain, large, 0, large.length - 1);
    builder.discard();
    expect(() => builder.append(plain, large, 0, large.length)).toThrow(tooLarge);
    expect(builder.fits(plain, large.length)).toBe(false);
    expect(builder.fits(plain, large.length - 1)).toBe(true);
  });

  it("never exceeds its limit, and what fits by its own word is taken", () => {
    const builder = new BatchBuilder(LINK, newStamp());
    const source = Buffer.alloc(700_000, 1);
    let sum = 0;
    while (builder.fits(plain, source.length)) {
      builder.append(plain, source, 0, source.length);
      sum++;
    }
    expect(() => builder.append(plain, source, 0, source.length)).toThrow(
      expect.objectContaining({ code: "contract.frame_too_large" }),
    );
    const bytes = builder.finish() as Buffer;
    expect(bytes.length).toBeLessThanOrEqual(MAX_BUILT_BATCH_BYTES);
    expect(Batch.decode(bytes).envelopes.map((e) => e.payload.length)).toEqual(
      Array(sum).fill(source.length),
    );
    builder.append(plain, source, 0, 5);
    expect(Batch.decode(builder.finish() as Buffer).envelopes[0]?.payload).toEqual(Buffer.alloc(5, 1));
  });

  it("takes payloads of any size from any part of a plain byte array", () => {
    const source = Uint8Array.from({ length: 400 }, (_, i) => i);
    const part = source.subarray(20, 380);
    const ranges = [0, 1, 7, 8, 9, 95, 96, 97, 200].map((n) => [3, 3 + n] as const);
    const batch = build((b) => {
      for (const [start, end] of ranges) b.append(plain, part, start, end);
    });
    expect(batch.envelopes.map((e) => [...e.payload])).toEqual(ranges.map(([s, e]) => [...part.slice(s, e)]));
  });

  it("keeps nothing of the payload it was given", () => {
    const source = Buffer.from("abcdefghij");
    const batch = build((b) => {
      b.append(plain, source, 0, source.length);
      source.fill(0);
    });
    expect(batch.envelopes[0]?.payload.toString()).toBe("abcdefghij");
  });

  it("refuses a channel number or head that the wire cannot carry", () => {
    expect(() => createChannel(2 ** 32, EMPTY_HEAD, 0)).toThrow(
      expect.objectContaining({ code: "internal.invalid_argument" }),
    );
    expect(() => createChannel(1, { ...EMPTY_HEAD, path: "x".repeat(65_536) }, 0)).toThrow(
      expect.objectContaining({ code: "contract.bad_envelope" }),
    );
  });
});

/** As the stamp of these tests makes them: the counter starts at 0xfffffffe, wraps, and counts every message. */
function generatedId(index: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeUIntBE(Math.floor(NOW_US / 1000), 0, 6);
  id.write("a1a2a3a4a5a6", 6, "hex");
  id.writeInt32BE((0xffff_fffe + index) | 0, 12);
  return id;
}
