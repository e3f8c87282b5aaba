/** A FrameStream over one bidirectional gRPC call. */
import { type AppError, type Clock, systemClock, type Timer } from "@myelin/kernel";
import { CLOSE_LINGER_MS, type FrameStream, SEND_HIGH_WATER_BYTES } from "../frame-stream.js";
import { StreamCallbacks } from "../stream-callbacks.js";
import { toBuffer } from "./method.js";

/** What both ends of a call have of a Node stream. */
export interface Call {
  write(frame: Buffer, sent: () => void): boolean;
  on(event: "data", listener: (frame: Buffer) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** What differs between the two ends of a call. */
export interface CallEnd {
  /** Ends this direction after what was written; a server may tell an error. */
  end(error?: AppError): void;
  /** Breaks the call off. */
  cancel(): void;
}

/** The library counts objects; this counts bytes, because a frame may be a hundred bytes or a megabyte. */
export class GrpcFrameStream implements FrameStream {
  readonly peer: string;
  readonly #call: Call;
  readonly #end: CallEnd;
  readonly #clock: Clock;
  readonly #callbacks = new StreamCallbacks();
  #unsentBytes = 0;
  #full = false;
  #closing = false;
  #linger: Timer | undefined;

  constructor(call: Call, end: CallEnd, peer: string, clock: Clock = systemClock) {
    this.peer = peer;
    this.#call = call;
    this.#end = end;
    this.#clock = clock;
  }

  get bufferedBytes(): number {
    return this.#unsentBytes;
  }

  send(frame: Uint8Array): boolean {
    if (this.#closing || this.#callbacks.closed) return false;
    const { length } = frame;
    this.#unsentBytes += length;
    this.#call.write(toBuffer(frame), () => this.#sent(length));
    if (this.#unsentBytes > SEND_HIGH_WATER_BYTES) this.#full = true;
    return !this.#full;
  }

  onFrame(callback: (frame: Buffer) => void): void {
    this.#callbacks.frame = callback;
    this.#call.on("data", (frame: Buffer) => this.#callbacks.frame?.(frame));
  }

  onDrain(callback: () => void): void {
    this.#callbacks.drain = callback;
  }

  onClose(callback: (error?: AppError) => void): void {
    this.#callbacks.close = callback;
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  close(error?: AppError): void {
    if (this.#closing || this.#callbacks.closed) return;
    this.#closing = true;
    this.#end.end(error);
    this.#linger = this.#clock.setTimeout(() => {
      this.#end.cancel();
      this.finish();
    }, CLOSE_LINGER_MS);
    this.#linger.unref();
    // The other side's end is seen only by reading on.
    this.#callbacks.frame = undefined;
    this.#call.resume();
  }

  destroy(): void {
    if (this.#callbacks.closed) return;
    this.#closing = true;
    this.#end.cancel();
    this.finish();
  }

  /** Called by the end that knows how the call ended. */
  finish(error?: AppError): void {
    this.#clock.clear(this.#linger);
    // Whoever closed first does not care how the other side went.
    this.#callbacks.finish(this.#closing ? undefined : error);
  }

  #sent(bytes: number): void {
    this.#unsentBytes -= bytes;
    if (!this.#full || this.#unsentBytes > SEND_HIGH_WATER_BYTES / 2) return;
    this.#full = false;
    this.#callbacks.drain?.();
  }
}
