/** Frames between a bridge and an application, the same over gRPC and over a Unix socket. */
import type { AppError, Component } from "@myelin/kernel";

/** Largest frame either side takes unless told otherwise. */
export const DEFAULT_MAX_FRAME_BYTES = 8 * 1024 * 1024;

/**
 * One connection that carries whole frames in order, both ways. Callbacks are set once, before the event loop turns;
 * frames that came earlier wait for `onFrame`.
 */
export interface FrameStream {
  /** Address of the other side, for logs and admission: `unix` for Unix sockets, else `host:port`. */
  readonly peer: string;
  /** Bytes given to `send` that the system has not taken yet. */
  readonly bufferedBytes: number;
  /**
   * Sends one frame; its bytes must not change afterwards. False: the buffer is over its mark, send more after `onDrain`. Frames sent after
   * the stream closed are dropped; `onClose` has been called then.
   */
  send(frame: Uint8Array): boolean;
  /** `frame` points into a receive buffer that is not reused: it may be kept, and keeps up to 64 KiB around it alive. */
  onFrame(callback: (frame: Buffer) => void): void;
  onDrain(callback: () => void): void;
  /** Called once. `error`: `rpc.unavailable` when the other side vanished, `contract.*` when it broke the framing; undefined after an orderly end. */
  onClose(callback: (error?: AppError) => void): void;
  /** Stops reading; at most one receive buffer of frames comes after it. */
  pause(): void;
  resume(): void;
  /** Sends what is buffered, then ends. Safe twice. */
  close(): void;
  /** Ends at once, dropping what is buffered. Safe twice. */
  destroy(): void;
}

/** Takes connections of applications. `address` is known after the start. */
export interface FrameServer extends Component {
  readonly address: string;
  /** Streams that are open. */
  readonly open: number;
}

/** What both servers are told. */
export interface FrameServerOptions {
  readonly onStream: (stream: FrameStream) => void;
  readonly maxFrameBytes?: number;
  /** Connections above this are closed at once; the operator's bound on memory. */
  readonly maxStreams?: number;
}
