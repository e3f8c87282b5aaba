/** Generators of random envelopes and batches for property tests. */
import fc from "fast-check";
import { createChannel, EMPTY_HEAD, type EnvelopeExtras, type Head } from "../src/batch/index.js";
import { Batch, type Envelope } from "../src/generated/myelin/envelope/v1/envelope.js";

export const text = fc.string({ unit: "binary", maxLength: 30 }).filter((s) => s.isWellFormed());
export const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((b) => Buffer.from(b));
const count = fc.maxSafeNat();
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const optional = <T extends Record<string, fc.Arbitrary<unknown>>>(model: T) =>
  fc.record(model, { requiredKeys: [] });

/** Sizes on both sides of each border of a length's encoding. */
export const payload = fc.oneof(
  { weight: 4, arbitrary: bytes(140) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(0, 1, 7, 8, 9, 95, 96, 97, 126, 127, 128, 129, 16_382, 16_383, 16_384)
      .map((n) => Buffer.alloc(n, n)),
  },
);

export const head: fc.Arbitrary<Head> = optional({
  tenant: text,
  deviceId: text,
  path: text,
  kind: fc.nat(6),
  protocol: fc.nat(8),
  contentType: text,
  port: text,
  profile: text,
}).map((h) => ({ ...EMPTY_HEAD, ...h }) as Head);

export const channelNumber = fc.oneof(fc.nat(3), uint32);

export const channel = fc.tuple(channelNumber, head).map(([number, h]) => createChannel(number, h, 0));

export const extras: fc.Arbitrary<EnvelopeExtras> = optional({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  senderId: fc.boolean(),
  sourceTimeUs: count,
  deviceSequence: fc.oneof(count, fc.nat(300)),
  quality: fc.constantFrom(0, 1, 2, 3),
  qualityReason: text,
  replayed: fc.boolean(),
  expiresAtUs: count,
  traceparent: text,
  tracestate: text,
  schemaVersion: uint32,
  headers: fc.array(fc.record({ name: text, value: text }), { maxLength: 3 }),
  versionVector: fc.array(fc.record({ writer: text, count }), { maxLength: 3 }),
  retain: fc.boolean(),
  qos: fc.nat(2),
  responsePath: text,
  correlation: bytes(20),
  payloadIsText: fc.boolean(),
}) as fc.Arbitrary<EnvelopeExtras>;

/** Any envelope, with any subset of its fields. */
export const envelope: fc.Arbitrary<Envelope> = fc
  .tuple(channelNumber, head, extras, payload, count)
  .map(([number, h, e, p, ingestTimeUs]) => {
    const { id, ...rest } = e;
    const partial = { channel: number, ...h, ...rest, payload: p, ingestTimeUs } as Partial<Envelope>;
    return { ...BLANK, ...partial, id: Buffer.from(id ?? []) };
  });

const BLANK = Batch.fromPartial({ envelopes: [{}] }).envelopes[0] as Envelope;

/** A batch as another language would build it: with generated code. */
export const batch: fc.Arbitrary<Batch> = fc
  .record({
    origin: fc.record({ producer: text, incarnation: count }),
    hop: fc.record({
      sender: text,
      incarnation: count,
      sequence: count,
      firstOrdinal: count,
      flags: fc.nat(63),
      epoch: count,
      partition: uint32,
      lane: fc.constantFrom(0, 1, 2, 3),
      target: text,
      targetInstance: text,
    }),
    envelopes: fc.array(envelope, { maxLength: 6 }),
  })
  .map((b) => ({ ...b, hop: { ...b.hop, count: b.envelopes.length } }) as Batch);

/** Changes a few bytes, cuts the end off, or doubles a part. */
export const mutation: fc.Arbitrary<(good: Buffer) => Buffer> = fc.oneof(
  fc
    .array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 })
    .map((changes) => (good: Buffer) => {
      const out = Buffer.from(good);
      for (const [at, byte] of changes) if (out.length > 0) out[at % out.length] = byte;
      return out;
    }),
  fc.nat().map((cut) => (good: Buffer) => Buffer.from(good.subarray(0, cut % (good.length + 1)))),
  fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => (good: Buffer) => {
    const [from, to] = [a % (good.length + 1), b % (good.length + 1)].sort((x, y) => x - y) as [
      number,
      number,
    ];
    return Buffer.concat([good.subarray(0, to), good.subarray(from)]);
  }),
);
