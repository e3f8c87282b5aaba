/** A message on its way into the retained ones: its envelope as it is kept, and what is looked at of it. */
import { type BatchView, envelope, ID_BYTES, Lane } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** `envelope` is owned. An empty payload says that the topic is cleared. */
export interface RetainedMessage {
  readonly tenant: string;
  readonly topic: string;
  readonly envelope: Buffer;
  readonly isEmpty: boolean;
  /** 0: never. */
  readonly expiresAtUs: number;
  readonly stamp: RetainedStamp;
}

/** When it came in, and where: messages of one producer are put in order by it, however they got here. */
export interface RetainedStamp {
  readonly ingestTimeUs: number;
  /** The producer's part of the id; 0: made by nobody's listener. */
  readonly producer: number;
  readonly counter: number;
}

/** True where one producer has made both, and made `a` before `b`. Clocks of two producers say nothing about each other. */
export function isBefore(a: RetainedStamp, b: RetainedStamp): boolean {
  if (a.producer !== b.producer || a.producer === 0) return false;
  return a.ingestTimeUs === b.ingestTimeUs
    ? ((a.counter - b.counter) | 0) < 0
    : a.ingestTimeUs < b.ingestTimeUs;
}

/** See `Stamp` of the contract; an id that was made of one the sender gave has nothing of it. */
function stampOf(id: Buffer, isSenders: boolean, ingestTimeUs: number): RetainedStamp {
  if (isSenders || id.length !== ID_BYTES) return { ingestTimeUs, producer: 0, counter: 0 };
  return { ingestTimeUs, producer: id.readUIntBE(6, 6), counter: id.readInt32BE(12) };
}

/** `Envelope.qos` = 1, as the last field of an envelope, where it takes the place of what was there before. */
const QOS_1 = Buffer.from([0x80, 0x02, 0x01]);
const NO_CHANNEL = 0;
const CHANNEL_TAG = 0x0d;

/** The message that the view stands on. Its bytes are copied: without the channel, which means nothing here, and with its QoS. */
export function retainedOf(view: BatchView): RetainedMessage {
  const bytes = view.envelopeBytes();
  // The lane of an event says QoS 1 and is not kept.
  const needsQos = view.lane === Lane.EVENT && view.qos === 0;
  const copy = Buffer.allocUnsafeSlow(bytes.length + (needsQos ? QOS_1.length : 0));
  bytes.copy(copy);
  if (needsQos) QOS_1.copy(copy, bytes.length);
  if (copy[0] === CHANNEL_TAG) copy.writeUInt32LE(NO_CHANNEL, 1);
  return {
    tenant: view.tenant,
    topic: view.path,
    envelope: copy,
    isEmpty: view.payloadStart === view.payloadEnd,
    expiresAtUs: view.expiresAtUs,
    stamp: stampOf(view.id(), view.senderId, view.ingestTimeUs),
  };
}

/** The same of what was stored or sent by another dispatcher. @throws AppError `contract.bad_envelope` */
export function retainedFrom(bytes: Uint8Array): RetainedMessage {
  let read: envelope.Envelope;
  try {
    read = envelope.Envelope.decode(bytes);
  } catch (cause) {
    throw new AppError("contract.bad_envelope", "a retained message that cannot be read", { cause });
  }
  return {
    tenant: read.tenant,
    topic: read.path,
    envelope: Buffer.from(bytes),
    isEmpty: read.payload.length === 0,
    expiresAtUs: read.expiresAtUs,
    stamp: stampOf(Buffer.from(read.id), read.senderId, read.ingestTimeUs),
  };
}

/** What clears a topic, as if its device had sent an empty message. */
export function clearing(tenant: string, topic: string, ingestTimeUs: number): RetainedMessage {
  const bytes = envelope.Envelope.encode(
    envelope.Envelope.fromPartial({ tenant, path: topic, ingestTimeUs, retain: true }),
  ).finish();
  const stamp = { ingestTimeUs, producer: 0, counter: 0 };
  return { tenant, topic, envelope: Buffer.from(bytes), isEmpty: true, expiresAtUs: 0, stamp };
}
