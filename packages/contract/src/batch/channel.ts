/** Channels: a producer's interned heads. A message of a known channel costs one copy of a prepared prefix. */
import { AppError } from "@myelin/kernel";
import { encodeHead, type Head } from "./head.js";
import { BATCH_FLAGS, FIELD, ID_BYTES, MAX_HEAD_STRING_BYTES, TAG_CHANNEL } from "./layout.js";
import { writeFixed32 } from "./varint.js";

/**
 * One interned head of one producer. `prefix` is the encoded envelope up to the payload's length: channel, head, id and
 * ingest time (both patched per message), payload tag.
 */
export interface Channel {
  readonly number: number;
  readonly head: Head;
  readonly partition: number;
  readonly prefix: Buffer;
  /** Offsets into `prefix` of the 16 id bytes and of the 8 bytes of ingest time. */
  readonly idOffset: number;
  readonly timeOffset: number;
  /** Batch flags that an envelope of this channel needs. */
  readonly flags: number;
}

/** Channel numbers end here; a producer that has used them all up starts a new incarnation. */
export const MAX_CHANNEL_NUMBER = 0xffff_ffff;

const BODY_BYTES = 3 + ID_BYTES + 2 + 8 + 2;

/**
 * Encodes the prefix once. `number` must not have been used for another head in this incarnation; 0 makes a channel whose
 * envelopes are not interned.
 * @throws AppError `contract.bad_envelope` when a string of the head is longer than MAX_HEAD_STRING_BYTES
 */
export function createChannel(number: number, head: Head, partition: number): Channel {
  if (!(number >= 0 && number <= MAX_CHANNEL_NUMBER)) {
    throw new AppError("internal.invalid_argument", `there is no channel number ${number}`);
  }
  for (const [name, value] of Object.entries(head)) {
    if (typeof value === "string" && Buffer.byteLength(value) > MAX_HEAD_STRING_BYTES) {
      throw new AppError("contract.bad_envelope", `${name} is longer than ${MAX_HEAD_STRING_BYTES} bytes`);
    }
  }
  const encoded = encodeHead(head);
  const prefix = Buffer.alloc(5 + encoded.length + BODY_BYTES);
  let at = 0;
  prefix[at++] = TAG_CHANNEL;
  at = writeFixed32(prefix, at, number);
  at += encoded.copy(prefix, at);
  at = writeTag(prefix, at, FIELD.id, 2);
  prefix[at++] = ID_BYTES;
  const idOffset = at;
  at += ID_BYTES;
  at = writeTag(prefix, at, FIELD.ingestTimeUs, 1);
  const timeOffset = at;
  at += 8;
  writeTag(prefix, at, FIELD.payload, 2);
  const flags = number === 0 ? BATCH_FLAGS.uninterned : 0;
  return { number, head, partition, prefix, idOffset, timeOffset, flags };
}

/** Tags of fields 16 and above take two bytes. */
function writeTag(target: Uint8Array, offset: number, field: number, wireType: number): number {
  const tag = (field << 3) | wireType;
  target[offset] = (tag & 0x7f) | 0x80;
  target[offset + 1] = tag >>> 7;
  return offset + 2;
}
