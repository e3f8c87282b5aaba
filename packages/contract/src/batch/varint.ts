/** Numbers as Protobuf writes them; the callers of the readers have checked the bounds. */

/** Bytes that `value` (0 to 2^32-1) takes. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

/** Writes `value` (0 to 2^32-1) at `offset`; returns the offset behind it. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest > 0x7f) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

/** Bytes that `value` (0 to 2^53-1) takes. */
export function varint64Size(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** Writes `value` (0 to 2^53-1) at `offset`; returns the offset behind it. */
export function writeVarint64(target: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest > 0xffff_ffff) {
    target[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  return writeVarint(target, at, rest);
}

/** Writes a fixed64 from a safe integer, little endian; returns the offset behind it. */
export function writeFixed64(target: Uint8Array, offset: number, value: number): number {
  writeFixed32(target, offset, value >>> 0);
  return writeFixed32(target, offset + 4, Math.floor(value / 0x1_0000_0000) >>> 0);
}

/** Writes a fixed32, little endian; returns the offset behind it. */
export function writeFixed32(target: Uint8Array, offset: number, value: number): number {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
  target[offset + 2] = value >>> 16;
  target[offset + 3] = value >>> 24;
  return offset + 4;
}

/** Reads a fixed32. */
export function readFixed32(source: Uint8Array, offset: number): number {
  return (
    (source[offset]! |
      (source[offset + 1]! << 8) |
      (source[offset + 2]! << 16) |
      (source[offset + 3]! << 24)) >>>
    0
  );
}

/** Reads a fixed64 as a number; above 2^53 it is not exact. */
export function readFixed64(source: Uint8Array, offset: number): number {
  return readFixed32(source, offset) + readFixed32(source, offset + 4) * 0x1_0000_0000;
}

/** Reads the low 32 bits of a varint, unsigned: what Protobuf makes of too large a value for an enum or uint32. */
export function readVarint32(source: Uint8Array, offset: number): number {
  let value = 0;
  for (let at = offset, shift = 0; shift < 35; at++, shift += 7) {
    const byte = source[at]!;
    value |= (byte & 0x7f) << shift;
    if (byte <= 0x7f) break;
  }
  return value >>> 0;
}

/** Reads a varint as a number; above 2^53 it is not exact. */
export function readVarint64(source: Uint8Array, offset: number): number {
  let value = 0;
  let scale = 1;
  let byte = 0x80;
  for (let at = offset; byte > 0x7f; at++, scale *= 128) {
    byte = source[at]!;
    value += (byte & 0x7f) * scale;
  }
  return value;
}
