/** A FrameStream over a socket: length-prefixed frames, writes of one turn corked into one. */
import type { Socket } from "node:net";
import { AppError } from "@myelin/kernel";
import type { FrameStream } from "../frame-stream.js";
import { FrameReader } from "./frame-reader.js";

const PREFIX_BYTES = 4;

export class SocketStream implements FrameStream {
  readonly peer: string;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  #early: Buffer[] | undefined = [];
  #onFrame: ((frame: Buffer) => void) | undefined;
  #onDrain: (() => void) | undefined;
  #onClose: ((error?: AppError) => void) | undefined;
  #error: AppError | undefined;
  #corked = false;
  #closed = false;

  constructor(socket: Socket, peer: string, maxFrameBytes: number) {
    this.peer = peer;
    this.#socket = socket;
    this.#reader = new FrameReader(maxFrameBytes, (frame) => {
      if (this.#onFrame === undefined) this.#early?.push(frame);
      else this.#onFrame(frame);
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.#onDrain?.());
    socket.on("error", (cause) => {
      this.#error ??= new AppError("rpc.unavailable", `the connection to ${peer} broke`, { cause });
    });
    socket.on("close", () => this.#finish());
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#closed || socket.destroyed || socket.writableEnded) return false;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      setImmediate(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
    prefix.writeUInt32BE(frame.length, 0);
    socket.write(prefix);
    return socket.write(frame);
  }

  onFrame(callback: (frame: Buffer) => void): void {
    this.#onFrame = callback;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const frame of early) callback(frame);
  }

  onDrain(callback: () => void): void {
    this.#onDrain = callback;
  }

  onClose(callback: (error?: AppError) => void): void {
    this.#onClose = callback;
    if (this.#closed) callback(this.#error);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    if (!this.#socket.writableEnded) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    try {
      this.#reader.push(chunk);
    } catch (thrown) {
      // The reader throws for broken framing; what a frame callback throws is a defect and must surface.
      if (!AppError.is(thrown) || thrown.code !== "contract.frame_too_large") throw thrown;
      this.#error = thrown;
      this.#socket.destroy();
    }
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#error === undefined && !this.#reader.idle) {
      this.#error = new AppError("contract.bad_frame", `${this.peer} ended within a frame`);
    }
    this.#onClose?.(this.#error);
  }
}
