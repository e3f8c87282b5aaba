/** Base-128 varints as Protobuf writes them, up to 32 bits on the hot path. */

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

/** Writes a fixed64 from a safe integer, little endian; returns the offset behind it. */
export function writeFixed64(target: Uint8Array, offset: number, value: number): number {
  const low = value >>> 0;
  const high = Math.floor(value / 0x1_0000_0000) >>> 0;
  target[offset] = low;
  target[offset + 1] = low >>> 8;
  target[offset + 2] = low >>> 16;
  target[offset + 3] = low >>> 24;
  target[offset + 4] = high;
  target[offset + 5] = high >>> 8;
  target[offset + 6] = high >>> 16;
  target[offset + 7] = high >>> 24;
  return offset + 8;
}

/** Writes a fixed32, little endian; returns the offset behind it. */
export function writeFixed32(target: Uint8Array, offset: number, value: number): number {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
  target[offset + 2] = value >>> 16;
  target[offset + 3] = value >>> 24;
  return offset + 4;
}

/** Reads a fixed32; the caller has checked the bounds. */
export function readFixed32(source: Uint8Array, offset: number): number {
  return (
    (source[offset]! |
      (source[offset + 1]! << 8) |
      (source[offset + 2]! << 16) |
      (source[offset + 3]! << 24)) >>>
    0
  );
}

/** Reads a fixed64 as a number; values above 2^53 lose their low bits. The caller has checked the bounds. */
export function readFixed64(source: Uint8Array, offset: number): number {
  return readFixed32(source, offset) + readFixed32(source, offset + 4) * 0x1_0000_0000;
}
