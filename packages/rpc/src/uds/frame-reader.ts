/** Cuts a byte stream into frames: length (4 bytes, big endian) · frame. */
import { AppError } from "@myelin/kernel";

/** `onFrame` may call `pause`; what is left waits for `resume`. */
export interface FrameReaderOptions {
  readonly maxFrameBytes: number;
  readonly onFrame: (frame: Buffer) => void;
}

const HEADER_BYTES = 4;

/** A frame that lies whole in a chunk is given out as a part of it; others are copied once. */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Buffer) => void;
  // Header bytes that a chunk's end cut off.
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerFilled = 0;
  // A frame whose beginning has come.
  #frame: Buffer | undefined;
  #frameFilled = 0;
  #paused = false;
  #waiting: Buffer[] = [];

  constructor(options: FrameReaderOptions) {
    this.#maxFrameBytes = options.maxFrameBytes;
    this.#onFrame = options.onFrame;
  }

  /** True when a frame has begun that the other side did not finish. */
  get midFrame(): boolean {
    return this.#frame !== undefined || this.#headerFilled > 0;
  }

  /** True while bytes wait for `resume`. */
  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Takes the next bytes and keeps parts of them.
   * @throws AppError `contract.frame_too_large` before anything is allocated for the frame; the reader is of no use then.
   */
  push(chunk: Buffer): void {
    if (this.#paused) this.#waiting.push(chunk);
    else this.#read(chunk);
  }

  /** The caller stops its source too: what is pushed while paused is kept without a bound. */
  pause(): void {
    this.#paused = true;
  }

  /** @throws AppError as `push`. */
  resume(): void {
    this.#paused = false;
    while (!this.#paused) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) return;
      this.#read(chunk);
    }
  }

  #read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#paused) {
        this.#waiting.unshift(chunk.subarray(at));
        return;
      }
      if (this.#frame !== undefined) at = this.#continueFrame(this.#frame, chunk, at);
      else if (this.#headerFilled > 0 || chunk.length - at < HEADER_BYTES)
        at = this.#continueHeader(chunk, at);
      else at = this.#begin(chunk.readUInt32BE(at), chunk, at + HEADER_BYTES);
    }
  }

  #continueHeader(chunk: Buffer, from: number): number {
    const taken = chunk.copy(
      this.#header,
      this.#headerFilled,
      from,
      from + HEADER_BYTES - this.#headerFilled,
    );
    this.#headerFilled += taken;
    if (this.#headerFilled < HEADER_BYTES) return from + taken;
    this.#headerFilled = 0;
    return this.#begin(this.#header.readUInt32BE(0), chunk, from + taken);
  }

  #begin(length: number, chunk: Buffer, from: number): number {
    if (length > this.#maxFrameBytes) {
      const message = `a frame announces ${length} bytes, at most ${this.#maxFrameBytes} are accepted`;
      throw new AppError("contract.frame_too_large", message);
    }
    const end = from + length;
    if (end <= chunk.length) {
      this.#onFrame(chunk.subarray(from, end));
      return end;
    }
    this.#frame = Buffer.allocUnsafeSlow(length);
    this.#frameFilled = chunk.copy(this.#frame, 0, from);
    return chunk.length;
  }

  #continueFrame(frame: Buffer, chunk: Buffer, from: number): number {
    const taken = chunk.copy(frame, this.#frameFilled, from);
    this.#frameFilled += taken;
    if (this.#frameFilled === frame.length) {
      this.#frame = undefined;
      this.#onFrame(frame);
    }
    return from + taken;
  }
}
