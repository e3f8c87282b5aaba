import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINK, newStamp, readByView, splitFields, withoutLists } from "../../test/batch-support.js";
import {
  batch,
  bytes,
  channel,
  envelope,
  extras,
  mutation,
  payload,
} from "../../test/envelope-arbitraries.js";
import { Batch, Envelope } from "../generated/myelin/envelope/v1/envelope.js";
import {
  BatchBuilder,
  BatchView,
  checkEnvelopeCount,
  countEnvelopes,
  encodeHead,
  encodeOrigin,
  HopHeader,
  MAX_BATCH_BYTES,
} from "./index.js";

const hex = (text: string) => Buffer.from(text, "hex");
const bad = expect.objectContaining({ code: "contract.bad_envelope" });
const HOP = new HopHeader(LINK).bytes;
const ORIGIN = encodeOrigin("p", 1);
const encode = (b: Batch) => Buffer.from(Batch.encode(b).finish());

function lengthPrefixed(body: Buffer): Buffer {
  const prefix = [0x1a];
  let rest = body.length;
  for (; rest > 0x7f; rest >>>= 7) prefix.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...prefix, rest]), body]);
}

function all(view: BatchView): Envelope[] {
  const out: Envelope[] = [];
  while (view.next()) out.push(readByView(view));
  return out;
}

/** Reads everything that a view can read; returns how many envelopes there were. */
function readAll(data: Buffer): number {
  const view = new BatchView().reset(data);
  let count = 0;
  while (view.next()) {
    readByView(view);
    view.headBytes();
    view.envelopeBytes();
    count++;
  }
  return count;
}

describe("BatchView", () => {
  it("reads what generated code writes", () => {
    fc.assert(
      fc.property(batch, (b) => {
        const view = new BatchView().reset(encode(b));
        expect(view.hop).toEqual(b.hop);
        expect([view.producer, view.producerIncarnation]).toEqual([
          b.origin?.producer,
          b.origin?.incarnation,
        ]);
        expect(all(view)).toEqual(b.envelopes.map(withoutLists));
        checkEnvelopeCount(view);
      }),
      { numRuns: 300 },
    );
  });

  it("reads what the builder writes", () => {
    const message = fc.tuple(channel, payload, extras);
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), (messages) => {
        const builder = new BatchBuilder(LINK, newStamp());
        for (const [c, p, e] of messages) builder.appendWith(c, p, 0, p.length, e);
        const data = builder.finish() as Buffer;
        const view = new BatchView().reset(data);
        expect(all(view)).toEqual(Batch.decode(data).envelopes.map(withoutLists));
        view.rewind();
        for (const [c, p] of messages) {
          view.next();
          expect(view.head()).toEqual(c.head);
          expect(view.headBytes()).toEqual(encodeHead(c.head));
          expect(view.bytes.subarray(view.payloadStart, view.payloadEnd)).toEqual(p);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("reads fields in any order, repeated, and between fields it does not know", () => {
    const unknown = fc.constantFrom(
      hex("5001"),
      hex("7a03414243"),
      hex("fd7f01020304"),
      hex("82800c03010203"),
      hex("fdffffff0f01020304"),
    );
    const parts = fc
      .tuple(envelope, envelope, fc.array(unknown, { maxLength: 3 }))
      .chain(([first, second, strange]) => {
        const fields = [first, second].flatMap((e) => splitFields(Buffer.from(Envelope.encode(e).finish())));
        return fc.shuffledSubarray([...fields, ...strange], { minLength: 0 });
      });
    fc.assert(
      fc.property(parts, (fields) => {
        const body = Buffer.concat(fields);
        const view = new BatchView().reset(Buffer.concat([ORIGIN, HOP, lengthPrefixed(body)]));
        view.next();
        const expected = withoutLists(Envelope.decode(body));
        // Only a channel in front is one: readers look no further for it.
        expect({ ...readByView(view), channel: 0 }).toEqual({ ...expected, channel: 0 });
        const inFront = body[0] === 0x0d && body.length >= 5;
        expect(view.channel).toBe(inFront ? body.readUInt32LE(1) : 0);
      }),
      { numRuns: 500 },
    );
  });

  it("gives different head bytes to different heads, however their fields lie", () => {
    fc.assert(
      fc.property(envelope, envelope, fc.infiniteStream(fc.nat(100)), (a, b, order) => {
        const heads = [a, b].map((e) => {
          const fields = splitFields(Buffer.from(Envelope.encode(e).finish()));
          const shuffled = fields.map((f) => [order.next().value, f] as const).sort((x, y) => x[0] - y[0]);
          const body = Buffer.concat(shuffled.map(([, f]) => f));
          const view = new BatchView().reset(Buffer.concat([ORIGIN, HOP, lengthPrefixed(body)]));
          view.next();
          return [view.headBytes().toString("hex"), JSON.stringify(view.head())] as const;
        });
        if (heads[0]?.[0] === heads[1]?.[0]) expect(heads[0]?.[1]).toBe(heads[1]?.[1]);
      }),
      { numRuns: 300 },
    );
  });

  it("passes over fields of the batch that it does not know, but not over a second header", () => {
    const e = lengthPrefixed(hex("0d07000000"));
    const strange = hex("2203616263");
    const view = new BatchView().reset(Buffer.concat([ORIGIN, HOP, strange, e, strange, e, strange]));
    expect(countEnvelopes(view)).toBe(2);
    view.next();
    expect([view.channel, view.bytes.subarray(view.recordStart, view.recordEnd)]).toEqual([7, e]);
    for (const second of [HOP, ORIGIN]) {
      const twice = new BatchView().reset(Buffer.concat([ORIGIN, HOP, e, second]));
      expect(twice.next()).toBe(true);
      expect(() => twice.next()).toThrow(bad);
    }
  });

  it("takes no channel for granted in a batch without origin", () => {
    const view = new BatchView().reset(Buffer.concat([HOP, lengthPrefixed(hex("0d07000000"))]));
    view.next();
    expect(view.channel).toBe(0);
  });

  it("forgets what it noted when it moves on, is rewound or gets another batch", () => {
    const two = [{ path: "a" }, { path: "b", payload: Buffer.from("x") }].map((e) => Envelope.fromPartial(e));
    const data = encode(Batch.fromPartial({ origin: {}, hop: { count: 2 }, envelopes: two }));
    const view = new BatchView().reset(data);
    expect(view.path).toBe("");
    expect([view.next(), view.path, view.next(), view.path, view.payload().toString()]).toEqual([
      true,
      "a",
      true,
      "b",
      "x",
    ]);
    view.rewind();
    expect([view.next(), view.path, view.payload().length]).toEqual([true, "a", 0]);
    view.reset(encode(Batch.fromPartial({ hop: { count: 1 }, envelopes: [{ path: "c" }] })));
    expect([view.producer, view.path, view.next(), view.path, view.next()]).toEqual([
      "",
      "",
      true,
      "c",
      false,
    ]);
  });

  it.each([
    ["no hop", Buffer.alloc(0)],
    ["an envelope before the hop", Buffer.concat([lengthPrefixed(Buffer.alloc(0)), HOP])],
    ["a hop cut off", HOP.subarray(0, -1)],
    ["a hop with broken content", hex("12020a05")],
    ["a hop with a zero tag", hex("12020000")],
    ["an origin with a number above 2^53", Buffer.concat([hex("0a0911ffffffffffffffff"), HOP])],
    ["a header with an endless length", hex("12ffffffffffffffffffff01")],
    ["more bytes than a batch may have", Buffer.concat([HOP, Buffer.alloc(MAX_BATCH_BYTES)])],
  ])("refuses a batch with %s", (_, data) => {
    expect(() => new BatchView().reset(data)).toThrow(bad);
  });

  it.each([
    ["a length cut off", "1a"],
    ["a two-byte length cut off", "1a80"],
    ["a length over the end", "1a0200"],
    ["a two-byte length over the end", "1a80010d"],
    ["a length of 4 GB", "1affffffff0f00"],
    ["an endless length", "1affffffffffffffffffff01"],
    ["an envelope with another wire type", "18011a00"],
    ["a group", "23"],
    ["field number 0", "0200"],
    ["a tag cut off", "a2"],
  ])("refuses a record with %s, each time it is asked", (_, tail) => {
    const view = new BatchView().reset(Buffer.concat([ORIGIN, HOP, hex(tail)]));
    expect(() => view.next()).toThrow(bad);
    expect(() => view.next()).toThrow(bad);
  });

  it.each([
    ["a length over the end", "2205616263"],
    ["a length of 4 GB", "22ffffffff0f"],
    ["a fixed64 cut off", "8901010203"],
    ["a fixed32 cut off", "0d0102"],
    ["a varint cut off", "2880"],
    ["a varint of eleven bytes", "28ffffffffffffffffffff01"],
    ["field number 0", "0000"],
    ["a group", "0b0c"],
    ["wire type 6", "26"],
    ["a tag cut off", "82"],
    ["a time above 2^53", "8901ffffffffffffffff"],
    ["a sequence above 2^53", "a001ffffffffffffffff7f"],
  ])(
    "refuses an envelope with %s when a field is asked for, and never reads the next one for it",
    (_, body) => {
      const data = Buffer.concat([ORIGIN, HOP, lengthPrefixed(hex(body)), lengthPrefixed(hex("22016e"))]);
      const view = new BatchView().reset(data);
      view.next();
      expect(() => readByView(view)).toThrow(bad);
      expect([view.next(), view.path]).toEqual([true, "n"]);
    },
  );

  it("throws nothing but contract.bad_envelope for good batches cut at any byte", () => {
    const good = encode(
      fc.sample(batch, { numRuns: 40, seed: 7 }).find((b) => b.envelopes.length > 3) as Batch,
    );
    const counts = new Set<unknown>();
    for (let cut = 0; cut <= good.length; cut++) counts.add(outcome(good.subarray(0, cut)));
    expect(counts).toContain("contract.bad_envelope");
    for (const seen of counts)
      expect(typeof seen === "number" || seen === "contract.bad_envelope").toBe(true);
  });

  it("throws nothing but contract.bad_envelope for mutated and random bytes, and always ends", () => {
    const input = fc.oneof(
      fc.tuple(batch, mutation).map(([b, mutate]) => mutate(encode(b))),
      bytes(60),
      bytes(60).map((tail) => Buffer.concat([ORIGIN, HOP, tail])),
    );
    fc.assert(
      fc.property(input, (data) => {
        const seen = outcome(data);
        expect(typeof seen === "number" || seen === "contract.bad_envelope").toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it("sees the same whatever bytes lie around the batch", () => {
    fc.assert(
      fc.property(batch, mutation, bytes(20), bytes(20), (b, mutate, before, behind) => {
        const data = mutate(encode(b));
        const around = Buffer.concat([before, data, behind]).subarray(
          before.length,
          before.length + data.length,
        );
        expect(outcome(around)).toEqual(outcome(Buffer.from(data)));
      }),
      { numRuns: 300 },
    );
  });

  it("finds a hop that does not tell the truth about its envelopes", () => {
    const lie = encode(Batch.fromPartial({ hop: { count: 3 }, envelopes: [{}, {}] }));
    expect(() => checkEnvelopeCount(new BatchView().reset(lie))).toThrow(bad);
  });
});

function outcome(data: Buffer): number | string {
  try {
    return readAll(data);
  } catch (error) {
    return AppError.is(error) ? error.code : `threw ${String(error)}`;
  }
}
