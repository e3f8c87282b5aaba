/** Cuts a stream of bytes into lines where they lie; copies only a line that a chunk's end has cut. */

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;

/**
 * The first place of `byte` in `[start, end)`, or -1. Line by line a native search would look through the rest of the chunk behind each
 * line that has none.
 */
export function indexWithin(bytes: Uint8Array, byte: number, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === byte) return at;
  return -1;
}

/** Told of each line in order; `bytes` is valid during the call. */
export interface LineHandler {
  /** @param number from 1, empty lines counted; lines of nothing but white space are not told */
  onLine(bytes: Buffer, start: number, end: number, number: number): void;
  /** A line longer than the bound, told when it passes it; its bytes are thrown away. */
  onLongLine(number: number): void;
}

/** Memory: the beginning of one line, at most the bound. */
export class LineCutter {
  lines = 0;
  private partial = EMPTY;
  private partialLength = 0;
  private skipping = false;

  constructor(
    private readonly handler: LineHandler,
    private readonly maxLineBytes: number,
  ) {}

  push(chunk: Buffer): void {
    let at = 0;
    if (this.partialLength > 0 || this.skipping) {
      const end = chunk.indexOf(LF);
      this.keep(chunk, 0, end < 0 ? chunk.length : end);
      if (end < 0) return;
      this.complete();
      at = end + 1;
    }
    for (;;) {
      const end = chunk.indexOf(LF, at);
      if (end < 0) break;
      this.line(chunk, at, end);
      at = end + 1;
    }
    if (at < chunk.length) this.keep(chunk, at, chunk.length);
  }

  /** The stream has ended: what stands there without a line end is the last line. */
  end(): void {
    if (this.partialLength > 0 || this.skipping) this.complete();
  }

  private complete(): void {
    const length = this.partialLength;
    this.partialLength = 0;
    if (this.skipping) {
      this.skipping = false;
      this.lines += 1;
    } else this.line(this.partial, 0, length);
  }

  private line(bytes: Buffer, from: number, to: number): void {
    this.lines += 1;
    let start = from;
    let end = to;
    while (end > start && (bytes[end - 1] === CR || bytes[end - 1] === 0x20)) end -= 1;
    while (start < end && bytes[start] === 0x20) start += 1;
    if (start === end) return;
    if (end - start > this.maxLineBytes) this.handler.onLongLine(this.lines);
    else this.handler.onLine(bytes, start, end, this.lines);
  }

  private keep(bytes: Buffer, from: number, to: number): void {
    if (this.skipping) return;
    const length = this.partialLength + to - from;
    if (length > this.maxLineBytes + 1) {
      this.skipping = true;
      this.partialLength = 0;
      this.partial = EMPTY;
      this.handler.onLongLine(this.lines + 1);
      return;
    }
    if (length > this.partial.length) {
      const next = Buffer.allocUnsafeSlow(Math.min(Math.max(1024, length * 2), this.maxLineBytes + 1));
      this.partial.copy(next, 0, 0, this.partialLength);
      this.partial = next;
    }
    bytes.copy(this.partial, this.partialLength, from, to);
    this.partialLength = length;
  }
}
