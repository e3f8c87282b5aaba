/** A FrameStream over a connected socket. */
import type { Socket } from "node:net";
import { AppError, type Clock, systemClock, type Timer } from "@myelin/kernel";
import { CLOSE_LINGER_MS, type FrameStream } from "../frame-stream.js";
import { StreamCallbacks } from "../stream-callbacks.js";
import { FrameReader } from "./frame-reader.js";

/** `clock` limits how long a closed stream may linger. */
export interface SocketStreamOptions {
  readonly socket: Socket;
  readonly peer: string;
  readonly maxFrameBytes: number;
  readonly clock?: Clock;
}

/** Frames of one turn of the event loop leave in one system call. */
export class SocketFrameStream implements FrameStream {
  readonly peer: string;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #callbacks = new StreamCallbacks();
  #corked = false;
  #closing = false;
  #ended = false;
  #error: AppError | undefined;
  #linger: Timer | undefined;

  constructor(options: SocketStreamOptions) {
    const { socket, peer, maxFrameBytes, clock = systemClock } = options;
    this.peer = peer;
    this.#socket = socket;
    this.#clock = clock;
    this.#reader = new FrameReader({ maxFrameBytes, onFrame: (frame) => this.#callbacks.frame?.(frame) });
    socket.on("drain", () => this.#callbacks.drain?.());
    socket.on("error", (cause) => {
      this.#error ??= new AppError("rpc.unavailable", `the connection to ${peer} broke`, { cause });
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#closeAtEnd();
    });
    socket.on("close", () => {
      this.#clock.clear(this.#linger);
      this.#callbacks.finish(this.#error);
    });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(frame: Uint8Array): boolean {
    if (this.#closing || this.#socket.destroyed) return false;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      // After the code that runs now, before any I/O: whoever sends ten frames in a row pays for one write.
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    const header = Buffer.allocUnsafe(4);
    header.writeUInt32BE(frame.length);
    this.#socket.write(header);
    return this.#socket.write(frame);
  }

  onFrame(callback: (frame: Buffer) => void): void {
    this.#callbacks.frame = callback;
    this.#socket.on("data", (chunk: Buffer) => this.#guard(() => this.#reader.push(chunk)));
  }

  onDrain(callback: () => void): void {
    this.#callbacks.drain = callback;
  }

  onClose(callback: (error?: AppError) => void): void {
    this.#callbacks.close = callback;
  }

  pause(): void {
    this.#reader.pause();
    this.#socket.pause();
  }

  resume(): void {
    this.#guard(() => this.#reader.resume());
    this.#socket.resume();
    this.#closeAtEnd();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#socket.end();
    this.#linger = this.#clock.setTimeout(() => this.#socket.destroy(), CLOSE_LINGER_MS);
    this.#linger.unref();
  }

  destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  // Frames that came before the end are read first, also when the user makes them wait.
  #closeAtEnd(): void {
    if (!this.#ended || this.#reader.waiting) return;
    if (this.#reader.midFrame) {
      this.#error ??= new AppError("contract.bad_frame", `${this.peer} ended in the middle of a frame`);
    }
    this.close();
  }

  #guard(read: () => void): void {
    try {
      read();
    } catch (thrown) {
      // A length that cannot be: from here on every byte would be misread, so nothing more is.
      this.#error ??= AppError.from(thrown);
      this.#socket.destroy();
    }
  }
}
