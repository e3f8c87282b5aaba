/** How one record lies in a segment, and how records are found again in bytes that may be damaged. Pure. */
import { crc32 } from "node:zlib";

/**
 * Little endian: magic u32 · CRC-32 u32 over all that follows · bytes of the payload u32 · samples u32 · ordinal u64. The ordinal counts the
 * samples of all records before this one, so a gap between two records says exactly how many samples are gone. The CRC begins with a number made of
 * the segment's name: what looks like a record inside a payload, or is left of another file, is none.
 */
export const RECORD_HEADER_BYTES = 24;

/** Longest payload of a record; what a damaged header claims beyond it is not believed. */
export const MAX_RECORD_BYTES = 1024 * 1024;

/** Most samples of one record. */
export const MAX_RECORD_SAMPLES = 65_536;

const MAGIC = 0x31_72_6c_4d;
const MAGIC_BYTES = Buffer.from([0x4d, 0x6c, 0x72, 0x31]);
const CRC_FROM = 8;
const TWO_32 = 2 ** 32;

/** Where a record lies in a buffer. One object is filled again and again. */
export interface RecordPlace {
  /** First byte of the record, its header included. */
  start: number;
  /** First byte of the payload, and the byte behind it, which is the end of the record. */
  payloadStart: number;
  end: number;
  ordinal: number;
  samples: number;
}

/** A place to be filled by `findRecord`. */
export function recordPlace(): RecordPlace {
  return { start: 0, payloadStart: 0, end: 0, ordinal: 0, samples: 0 };
}

/** What the CRC of the records of a segment begins with. */
export function seedOf(segment: string): number {
  return crc32(segment);
}

/** Writes the header in front of a payload that lies at `at + RECORD_HEADER_BYTES` already. */
export function sealRecord(
  b: Buffer,
  at: number,
  record: {
    readonly payloadBytes: number;
    readonly samples: number;
    readonly ordinal: number;
    readonly seed: number;
  },
): void {
  const { payloadBytes, samples, ordinal, seed } = record;
  b.writeUInt32LE(MAGIC, at);
  b.writeUInt32LE(payloadBytes, at + 8);
  b.writeUInt32LE(samples, at + 12);
  b.writeUInt32LE(ordinal % TWO_32, at + 16);
  b.writeUInt32LE(Math.floor(ordinal / TWO_32), at + 20);
  b.writeUInt32LE(crc32(b.subarray(at + CRC_FROM, at + RECORD_HEADER_BYTES + payloadBytes), seed), at + 4);
}

/** What `findRecord` came to: a record, the end of what is there, or something whose end would lie behind `to`. */
export type FoundRecord = "record" | "end" | "short";

/**
 * Finds the next intact record in `b[from, to)` and fills `place`. Bytes that belong to none are passed over. Otherwise `place.start` is where
 * reading goes on when there are more bytes. With `isWhole` no more bytes come: what is cut off is passed over as well.
 */
export function findRecord(
  b: Buffer,
  range: { readonly from: number; readonly to: number; readonly isWhole: boolean; readonly seed: number },
  place: RecordPlace,
): FoundRecord {
  const { from, to, isWhole, seed } = range;
  for (let at = b.indexOf(MAGIC_BYTES, from); at >= 0 && at < to; at = b.indexOf(MAGIC_BYTES, at + 1)) {
    const fit = fitOf(b, at, to, seed, place);
    if (fit === "record") return "record";
    if (fit === "none" || isWhole) continue;
    place.start = at;
    return "short";
  }
  // The last three bytes may be the beginning of a magic.
  place.start = isWhole ? to : Math.max(from, to - (MAGIC_BYTES.length - 1));
  return "end";
}

function fitOf(
  b: Buffer,
  at: number,
  to: number,
  seed: number,
  place: RecordPlace,
): "record" | "short" | "none" {
  if (at + RECORD_HEADER_BYTES > to) return "short";
  const bytes = b.readUInt32LE(at + 8);
  const samples = b.readUInt32LE(at + 12);
  const high = b.readUInt32LE(at + 20);
  if (bytes > MAX_RECORD_BYTES || samples === 0 || samples > MAX_RECORD_SAMPLES || high >= 2 ** 20)
    return "none";
  const end = at + RECORD_HEADER_BYTES + bytes;
  if (end > to) return "short";
  if (crc32(b.subarray(at + CRC_FROM, end), seed) !== b.readUInt32LE(at + 4)) return "none";
  place.start = at;
  place.payloadStart = at + RECORD_HEADER_BYTES;
  place.end = end;
  place.samples = samples;
  place.ordinal = high * TWO_32 + b.readUInt32LE(at + 16);
  return "record";
}
