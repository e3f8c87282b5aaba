/** Bytes of one entry of the dedupe stream: the number of the source batch (8 bytes, little endian), then 16 bytes per id. */
import { ID_BYTES } from "@myelin/contract";

const HEAD_BYTES = 8;

/** Encodes ids given as latin1 strings of 16 characters. */
export function writeRecord(source: number, ids: readonly string[]): Buffer {
  const out = Buffer.allocUnsafe(HEAD_BYTES + ids.length * ID_BYTES);
  out.writeBigUInt64LE(BigInt(source), 0);
  ids.forEach((id, i) => void out.write(id, HEAD_BYTES + i * ID_BYTES, ID_BYTES, "latin1"));
  return out;
}

/** Calls `each` for every id; what does not have the right length is ignored. */
export function readRecord(record: Uint8Array, each: (id: string, source: number) => void): void {
  if (record.length < HEAD_BYTES || (record.length - HEAD_BYTES) % ID_BYTES !== 0) return;
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const source = Number(bytes.readBigUInt64LE(0));
  for (let at = HEAD_BYTES; at < bytes.length; at += ID_BYTES) {
    each(bytes.toString("latin1", at, at + ID_BYTES), source);
  }
}
