/** What a session needs of its connection; both transports of packages/rpc give it. */
import type { AppError } from "@myelin/kernel";

/** Frames in both directions, in order. `send` returns false when no more should come until `onDrain`. */
export interface FrameStream {
  readonly peer: string;
  send(frame: Uint8Array): boolean;
  onFrame(callback: (frame: Buffer) => void): void;
  onDrain(callback: () => void): void;
  onClose(callback: (error?: AppError) => void): void;
  pause(): void;
  resume(): void;
  close(): void;
}
