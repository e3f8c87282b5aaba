/** Frames in both directions between two processes; gRPC and Unix sockets look the same through this. */
import type { AppError, Clock, Component } from "@myelin/kernel";

/** Frames a reader accepts unless told otherwise. */
export const DEFAULT_MAX_FRAME_BYTES = 8 * 1024 * 1024;

/** Bytes that may wait in a stream before `send` says to wait; one frame may exceed it. */
export const SEND_HIGH_WATER_BYTES = 1024 * 1024;

/** After `close`, what was sent has this long to leave. */
export const CLOSE_LINGER_MS = 2_000;

/** One connection. Callbacks are set once, before the first frame is wanted; nothing is read before `onFrame` is called. */
export interface FrameStream {
  /** Address of the other side, for logs and admission: `unix` for Unix sockets, else `host:port`. */
  readonly peer: string;
  /** Bytes given to `send` that the system has not taken yet. */
  readonly bufferedBytes: number;
  /**
   * Sends a frame, in order; keeps the bytes until they are written. False asks to stop until `onDrain`; the frame is
   * taken all the same. On a closed stream it is false and the frame is gone.
   */
  send(frame: Uint8Array): boolean;
  /** Called once per frame, in order. The bytes stay valid, but hold on to the chunk they came in: copy small ones to keep. */
  onFrame(callback: (frame: Buffer) => void): void;
  /** Called when there is room again after `send` returned false. */
  onDrain(callback: () => void): void;
  /** Called exactly once; no frame comes after it. Without an error both sides ended in order. */
  onClose(callback: (error?: AppError) => void): void;
  /** No `onFrame` until `resume`, also not for frames that are here already; the other side is slowed down. */
  pause(): void;
  resume(): void;
  /** Sends what was taken, then closes; an error is told to the other side where the transport can. Safe twice. */
  close(error?: AppError): void;
  /** Ends at once and drops what was not sent. Safe twice. */
  destroy(): void;
}

/** Takes connections. `stop` closes the streams that are left and returns when they are gone. */
export interface FrameServer extends Component {
  /** What clients connect to, `127.0.0.1:9090` or `unix:/run/myelin/app.sock`; with port 0 known after the start. */
  readonly address: string;
  /** Streams that are open. */
  readonly open: number;
}

/** What both servers are told. Streams above `maxStreams` are refused: the operator's bound on memory. */
export interface FrameServerOptions {
  /** Called for each new stream; set its callbacks at once. */
  readonly onStream: (stream: FrameStream) => void;
  readonly maxFrameBytes?: number;
  readonly maxStreams?: number;
  readonly clock?: Clock;
}

/** Streams a server holds unless told otherwise. */
export const DEFAULT_MAX_STREAMS = 1_000;
