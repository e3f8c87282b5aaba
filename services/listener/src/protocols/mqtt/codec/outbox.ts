/** Bytes for one client, gathered during a turn of the event loop and written at once. */

const FIRST_BYTES = 512;
const EMPTY = Buffer.alloc(0);

/** Grows by doubling; `take` hands the bytes over and forgets them. */
export class Outbox {
  bytes: Buffer = EMPTY;
  length = 0;

  /** Makes room for `count` bytes behind `length`. */
  reserve(count: number): void {
    const need = this.length + count;
    if (need <= this.bytes.length) return;
    const next = Buffer.allocUnsafe(Math.max(FIRST_BYTES, need, this.bytes.length * 2));
    this.bytes.copy(next, 0, 0, this.length);
    this.bytes = next;
  }

  byte(value: number): void {
    this.bytes[this.length++] = value;
  }

  uint16(value: number): void {
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.uint16(value >>> 16);
    this.uint16(value);
  }

  varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  /** Raw bytes; room must have been reserved. */
  raw(source: Uint8Array, start: number, end: number): void {
    this.bytes.set(start === 0 && end === source.length ? source : source.subarray(start, end), this.length);
    this.length += end - start;
  }

  /** A length-prefixed string of `bytes` UTF-8 bytes; room must have been reserved. */
  text(value: string, bytes: number): void {
    this.uint16(bytes);
    this.length += this.bytes.write(value, this.length, bytes, "utf8");
  }

  take(): Buffer {
    const out = this.bytes.subarray(0, this.length);
    this.bytes = EMPTY;
    this.length = 0;
    return out;
  }
}

/** Bytes of a variable byte integer. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x200000 ? 3 : 4;
}
