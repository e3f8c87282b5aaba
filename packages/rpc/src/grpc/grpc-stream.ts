/** A FrameStream over a bidirectional gRPC call whose messages stay bytes. */
import type { ClientDuplexStream, ServerDuplexStream } from "@grpc/grpc-js";
import { AppError } from "@myelin/kernel";
import type { FrameStream } from "../frame-stream.js";

type Call = ServerDuplexStream<Buffer, Buffer> | ClientDuplexStream<Buffer, Buffer>;

/** gRPC status codes that this file looks at: google.golang.org/grpc/codes, the same in every language. */
const STATUS = { ok: 0, cancelled: 1, resourceExhausted: 8, unavailable: 14 } as const;

export class GrpcStream implements FrameStream {
  readonly peer: string;
  readonly #call: Call;
  #early: Buffer[] | undefined = [];
  #onFrame: ((frame: Buffer) => void) | undefined;
  #onDrain: (() => void) | undefined;
  #onClose: ((error?: AppError) => void) | undefined;
  #error: AppError | undefined;
  #ended = false;
  #closed = false;

  constructor(call: Call, peer: string) {
    this.peer = peer;
    this.#call = call;
    call.on("data", (frame: Buffer) => {
      if (this.#onFrame === undefined) this.#early?.push(frame);
      else this.#onFrame(frame);
    });
    call.on("drain", () => this.#onDrain?.());
    call.on("error", (cause: Error & { code?: number }) => this.#failed(cause));
    // A server call says "cancelled" when the client vanished, "end" when it half-closed; a client call ends with "status".
    call.on("cancelled", () => this.#finish());
    call.on("end", () => {
      this.close();
      this.#finish();
    });
    call.on("close", () => this.#finish());
  }

  get bufferedBytes(): number {
    return this.#call.writableLength;
  }

  send(frame: Uint8Array): boolean {
    if (this.#closed || this.#ended) return false;
    return this.#call.write(
      Buffer.isBuffer(frame) ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength),
    );
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
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.end();
  }

  destroy(): void {
    this.#ended = true;
    if ("cancel" in this.#call) this.#call.cancel();
    // A server call has no cancel: an error emitted on it is how grpc-js sends a status.
    else this.#call.emit("error", { code: STATUS.unavailable, details: "closed by the server" });
  }

  #failed(cause: Error & { code?: number }): void {
    if (cause.code === STATUS.ok || (cause.code === STATUS.cancelled && this.#ended)) {
      this.#finish();
      return;
    }
    const code = cause.code === STATUS.resourceExhausted ? "contract.frame_too_large" : "rpc.unavailable";
    this.#error ??= new AppError(code, `the gRPC stream to ${this.peer} broke`, { cause });
    this.#finish();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose?.(this.#error);
  }
}
