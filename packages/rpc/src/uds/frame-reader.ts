/** Cuts a byte stream into frames: length (4 bytes, big endian) · frame. */
import { AppError } from "@myelin/kernel";

const PREFIX_BYTES = 4;

/**
 * Incremental reader. A frame that lies whole in a chunk is handed out as a view of it; one that spans chunks is copied
 * once, into a buffer of its announced size, which is checked against the limit before it is allocated.
 */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Buffer) => void;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixFilled = 0;
  #frame: Buffer | undefined;
  #filled = 0;

  constructor(maxFrameBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
  }

  /** True between frames: an end of the stream here is an orderly one. */
  get idle(): boolean {
    return this.#prefixFilled === 0 && this.#frame === undefined;
  }

  /** @throws AppError `contract.frame_too_large`; the stream cannot be read on after that */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        at = this.#header(chunk, at);
        continue;
      }
      const take = Math.min(this.#frame.length - this.#filled, chunk.length - at);
      chunk.copy(this.#frame, this.#filled, at, at + take);
      this.#filled += take;
      at += take;
      if (this.#filled === this.#frame.length) this.#emit(this.#frame);
    }
  }

  /** Reads the prefix and, where it lies whole in the chunk, the frame; returns the offset behind. */
  #header(chunk: Buffer, start: number): number {
    let at = start;
    let size: number;
    if (this.#prefixFilled === 0 && chunk.length - at >= PREFIX_BYTES) {
      size = chunk.readUInt32BE(at);
      at += PREFIX_BYTES;
    } else {
      const take = Math.min(PREFIX_BYTES - this.#prefixFilled, chunk.length - at);
      chunk.copy(this.#prefix, this.#prefixFilled, at, at + take);
      this.#prefixFilled += take;
      at += take;
      if (this.#prefixFilled < PREFIX_BYTES) return at;
      size = this.#prefix.readUInt32BE(0);
    }
    this.#prefixFilled = 0;
    if (size > this.#maxFrameBytes) {
      throw new AppError(
        "contract.frame_too_large",
        `a frame of ${size} bytes was announced, ${this.#maxFrameBytes} are allowed`,
        { details: { size, limit: this.#maxFrameBytes } },
      );
    }
    if (chunk.length - at >= size) {
      this.#onFrame(chunk.subarray(at, at + size));
      return at + size;
    }
    this.#frame = Buffer.allocUnsafeSlow(size);
    this.#filled = 0;
    return at;
  }

  #emit(frame: Buffer): void {
    this.#frame = undefined;
    this.#filled = 0;
    this.#onFrame(frame);
  }
}
