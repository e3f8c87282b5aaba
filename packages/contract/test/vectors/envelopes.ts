/** Vectors of envelopes and batches. */
import {
  BatchBuilder,
  BatchForwarder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  envelope as wire,
} from "../../src/index.js";
import { LINK, NOW_US, newStamp } from "../batch-support.js";
import { bad, bytes, field, good, readable } from "./vector.js";

const { Batch, Envelope, Kind, Lane, Protocol, Quality } = wire;
const ERROR = "contract.bad_envelope";
const ID = Buffer.from("019b76dac06840000102030405060708", "hex");

const everything = Envelope.fromPartial({
  channel: 7,
  tenant: "acme",
  deviceId: "boiler-17",
  path: "plant/boiler-17/temperature",
  kind: Kind.EVENT,
  protocol: Protocol.MQTT,
  contentType: "application/json",
  port: "plant",
  profile: "boiler",
  id: ID,
  sourceTimeUs: NOW_US - 1,
  ingestTimeUs: NOW_US,
  payload: Buffer.from('{"t":21.5}'),
  deviceSequence: 2 ** 53 - 1,
  quality: Quality.UNCERTAIN,
  qualityReason: "sensor warming up",
  replayed: true,
  expiresAtUs: NOW_US + 60_000_000,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "vendor=x",
  schemaVersion: 1,
  headers: [
    { name: "site", value: "north" },
    { name: "empty", value: "" },
  ],
  versionVector: [{ writer: "edge", count: 3 }],
  senderId: true,
  retain: true,
  qos: 1,
  responsePath: "plant/boiler-17/answers",
  correlation: Buffer.from([0, 255]),
  payloadIsText: true,
});

const small = Envelope.fromPartial({
  channel: 1,
  deviceId: "d",
  path: "t",
  id: ID,
  payload: Buffer.from("1"),
});
const encoded = (e: wire.Envelope) => Buffer.from(Envelope.encode(e).finish());

export function envelopeVectors() {
  return {
    message: "myelin.envelope.v1.Envelope",
    good: [
      good(Envelope, "empty", Envelope.fromPartial({})),
      good(Envelope, "every field", everything),
      good(Envelope, "small", small),
      good(
        Envelope,
        "text beyond ASCII",
        Envelope.fromPartial({ deviceId: "Kühlung-3", path: "温度/\u{1F321}" }),
      ),
      good(
        Envelope,
        "largest numbers",
        Envelope.fromPartial({ channel: 0xffff_ffff, schemaVersion: 0xffff_ffff, ingestTimeUs: 2 ** 53 - 1 }),
      ),
      ...[127, 128, 16_384].map((n) =>
        good(Envelope, `payload of ${n} bytes`, Envelope.fromPartial({ payload: Buffer.alloc(n, 0x5a) })),
      ),
      readable(
        Envelope,
        "fields in reverse",
        Buffer.concat([bytes("9a010131"), field(0x22, Buffer.from("t")), field(0x1a, Buffer.from("d"))]),
      ),
      readable(
        Envelope,
        "path twice: the last counts",
        Buffer.concat([field(0x22, Buffer.from("first")), field(0x22, Buffer.from("last"))]),
      ),
      readable(
        Envelope,
        "unknown fields of every wire type",
        Buffer.concat([
          encoded(small),
          bytes("5001"),
          bytes("c23e0161"),
          bytes("c93e0102030405060708"),
          bytes("cd3e01020304"),
          bytes("f8ffffff0f01"),
        ]),
      ),
      readable(Envelope, "a known field with another wire type is unknown", bytes("20052d01020304220174")),
      readable(Envelope, "an enum value of a later version", bytes("2863")),
    ],
    bad: [
      bad("length over the end", "2205616263", ERROR),
      bad("length of 4 GB", "22ffffffff0f", ERROR),
      bad("length cut off", "22", ERROR),
      bad("fixed64 cut off", "890101020304", ERROR),
      bad("fixed32 cut off", "0d0102", ERROR),
      bad("varint cut off", "2880", ERROR),
      bad("varint of eleven bytes", "28ffffffffffffffffffff01", ERROR),
      bad("tag cut off", "82", ERROR),
      bad("field number 0", "0000", ERROR),
      bad("wire type 7", "0f00", ERROR),
      bad("group", "5354", ERROR, false),
      bad("time above 2^53 - 1", "9101ffffffffffffffff", ERROR, false),
      bad("device sequence above 2^53 - 1", "a001ffffffffffffff7f", ERROR, false),
    ],
  };
}

function built(): Buffer {
  const builder = new BatchBuilder(LINK, newStamp());
  builder.epoch = 4;
  const channel = createChannel(
    1,
    { ...EMPTY_HEAD, deviceId: "d1", path: "t", kind: 1, protocol: 1, port: "mqtt" },
    3,
  );
  const payload = Buffer.from('{"t":21.5}');
  builder.append(channel, payload, 0, payload.length);
  builder.appendWith(channel, payload, 0, payload.length, {
    deviceSequence: 9,
    expiresAtUs: NOW_US + 1_000_000,
  });
  return builder.finish() as Buffer;
}

function forwarded(): Buffer {
  const view = new BatchView().reset(built());
  const forwarder = new BatchForwarder({
    ...LINK,
    sender: "core",
    target: "climate",
    targetInstance: "climate-1",
  });
  forwarder.epoch = 4;
  view.next();
  view.next();
  forwarder.add(view.recordStart, view.recordEnd, 1);
  return forwarder.finish(view) as Buffer;
}

export function batchVectors() {
  const origin = { producer: "listener-0", incarnation: 0x1234_5678_9abc };
  const hop = {
    sender: "listener-0",
    incarnation: 0x1234_5678_9abc,
    sequence: 1,
    count: 2,
    lane: Lane.EVENT,
  };
  const whole = Batch.fromPartial({
    origin,
    hop: {
      ...hop,
      firstOrdinal: 10,
      flags: 15,
      epoch: 5,
      partition: 3,
      target: "climate",
      targetInstance: "climate-1",
    },
    envelopes: [small, everything],
  });
  const header = Buffer.from(Batch.encode(Batch.fromPartial({ origin, hop })).finish());
  const after = (text: string) => Buffer.concat([header, bytes(text)]).toString("hex");
  return {
    message: "myelin.envelope.v1.Batch",
    good: [
      good(Batch, "no envelope", Batch.fromPartial({ origin, hop: { ...hop, count: 0 } })),
      good(Batch, "every field", whole),
      good(
        Batch,
        "an empty envelope",
        Batch.fromPartial({ origin, hop: { ...hop, count: 1 }, envelopes: [{}] }),
      ),
      readable(Batch, "as a listener builds it: counters of the hop in front, also when they are 0", built()),
      readable(Batch, "as an owner passes on the second envelope of it", forwarded()),
      readable(
        Batch,
        "a field of a later version between the envelopes",
        Buffer.concat([
          header,
          field(0x1a, encoded(small)),
          bytes("2203616263"),
          field(0x1a, encoded(small)),
        ]),
      ),
    ],
    bad: [
      bad("nothing", "", ERROR, false),
      bad("no hop", hexOf(field(0x1a, encoded(small))), ERROR, false),
      bad(
        "hop behind an envelope",
        hexOf(Buffer.concat([field(0x1a, encoded(small)), header])),
        ERROR,
        false,
      ),
      bad(
        "second hop behind an envelope",
        hexOf(Buffer.concat([header, field(0x1a, encoded(small)), header])),
        ERROR,
        false,
      ),
      bad("hop cut off", hexOf(header.subarray(0, -1)), ERROR),
      bad("envelope cut off", after("1a05220174"), ERROR),
      bad("envelope with a length of 4 GB", after("1affffffff0f"), ERROR),
      bad("envelope with an endless length", after("1affffffffffffffffffff01"), ERROR),
      bad("envelope with another wire type", after("1801"), ERROR, false),
      bad("broken envelope", after("1a022205"), ERROR),
      bad("field number 0", after("0000"), ERROR),
    ],
  };
}

const hexOf = (b: Buffer): string => b.toString("hex");
