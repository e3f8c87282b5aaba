/** What a physical line is to those who use it. */
import type { AppError } from "@myelin/kernel";
import type { LineQueue } from "./line-queue.js";

/** Sorts of lines; the key of a `Bus` says which one it is. */
export const LINK_KINDS = ["serial", "tcp", "udp", "gpio", "simulated"] as const;

/** One of them. */
export type LinkKind = (typeof LINK_KINDS)[number];

/** Who goes first on a line, from left to right. */
export const PRIORITIES = ["stop", "command", "poll", "doctor"] as const;

/** How urgent a request is. */
export type Priority = (typeof PRIORITIES)[number];

/** A physical line, shared by the units on it. What it can do beyond this depends on its kind: a driver says which kinds it can be spoken on. */
export interface Link {
  /** Name of the `Bus`. */
  readonly name: string;
  readonly kind: LinkKind;
  /** Makes the line usable, or finds it so; called before each conversation with a unit. @throws AppError `hardware.line_down` */
  connect(signal: AbortSignal): Promise<void>;
  /** Gives it up. Safe twice. */
  disconnect(): Promise<void>;
}

/** Gets what a line brings, in the pieces in which it comes. */
export interface ByteReceiver {
  /** The bytes are the receiver's to keep, and nobody writes to them any more. */
  bytes(chunk: Uint8Array): void;
  /** The line is gone, and with it what was on the way; `connect` brings it back. */
  lost(error: AppError): void;
}

/** What is known of the manners of those on a line. */
export interface LineManners {
  /** Longest silence of a unit after a request. */
  readonly timeoutMs: number;
  /** Silence after a request that goes to all units. */
  readonly turnaroundMs: number;
}

/** A line that carries bytes. Whoever speaks on it takes a turn in `queue` first. */
export interface ByteLink extends Link {
  readonly queue: LineQueue;
  readonly manners: LineManners;
  readonly connected: boolean;
  /** One at a time: units that share a line share what speaks their protocol on it. */
  receiver: ByteReceiver | undefined;
  /** Hands bytes over. A promise where that takes time: it resolves when they have left. @throws AppError `hardware.line_down` */
  send(bytes: Uint8Array): Promise<void> | undefined;
  /** Ends the connection because nothing comes through it any more; `connect` makes a new one. */
  reset(reason: string): void;
}
