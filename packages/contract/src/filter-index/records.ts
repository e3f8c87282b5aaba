/** Numbered records of a few words in one block of memory that grows in place. */

const FIRST_RECORDS = 64;

/** Reserves address space up to `maxBytes` and uses memory as it is written: growing copies nothing and leaves nothing behind. */
export function growable(bytes: number, maxBytes: number): ArrayBuffer {
  return new ArrayBuffer(Math.min(bytes, maxBytes), { maxByteLength: maxBytes });
}

/** Doubles a block, and more where `bytes` asks for it; false at its bound. */
export function grow(buffer: ArrayBuffer, bytes: number): boolean {
  if (bytes > buffer.maxByteLength) return false;
  buffer.resize(Math.min(buffer.maxByteLength, Math.max(bytes, buffer.byteLength * 2)));
  return true;
}

/** Numbers begin at 1. A record's words begin at `number * stride`; while it is free, its word 1 is used here. */
export class Records {
  readonly words: Uint32Array;
  private readonly buffer: ArrayBuffer;
  private used = 1;
  private free = 0;

  constructor(
    readonly stride: number,
    max: number,
  ) {
    const bytes = stride * 4;
    this.buffer = growable(bytes * FIRST_RECORDS, bytes * (max + 1));
    this.words = new Uint32Array(this.buffer);
  }

  /** All numbers ever given are below this. */
  get end(): number {
    return this.used;
  }

  /** A record for use, with what was in it; 0 when all are in use. */
  take(): number {
    const { free, stride, words } = this;
    if (free !== 0) {
      this.free = words[free * stride + 1]!;
      return free;
    }
    const end = (this.used + 1) * stride;
    if (end > words.length && !grow(this.buffer, end * 4)) return 0;
    return this.used++;
  }

  release(record: number): void {
    this.words[record * this.stride + 1] = this.free;
    this.free = record;
  }

  clear(): void {
    this.used = 1;
    this.free = 0;
  }
}
