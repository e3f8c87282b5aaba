/** Channels: a producer's interned heads. A message of a known channel costs one copy of a prepared prefix. */
import { encodeHead, type Head } from "./head.js";
import { FIELD, ID_BYTES, TAG_CHANNEL } from "./layout.js";
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
}

/** Channel numbers end here; a producer that has used them all up starts a new incarnation. */
export const MAX_CHANNEL_NUMBER = 0xffff_ffff;

const BODY_BYTES = 3 + ID_BYTES + 2 + 8 + 2;

/** Encodes the prefix once. `number` must not have been used for another head in this incarnation. */
export function createChannel(number: number, head: Head, partition: number): Channel {
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
  return { number, head, partition, prefix, idOffset, timeOffset };
}

/** Tags of fields 16 and above take two bytes. */
function writeTag(target: Uint8Array, offset: number, field: number, wireType: number): number {
  const tag = (field << 3) | wireType;
  target[offset] = (tag & 0x7f) | 0x80;
  target[offset + 1] = tag >>> 7;
  return offset + 2;
}
