/** What carries MCP frames, whatever is below: a stream, datagrams or a WebSocket. */
import type { McpMessageView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** Called by a link. `onClose` comes once, last, and never from within a call of the link's owner. */
export interface LinkEvents {
  /** One message; the view is valid during the call. */
  onMessage(view: McpMessageView): void;
  /** Bytes that are no message. A stream is of no use after that, a datagram is just lost. */
  onBroken(error: AppError): void;
  /** What was buffered has been handed to the system: `send` may go on. */
  onDrain(): void;
  onClose(error: AppError): void;
}

/** One open connection. */
export interface Link {
  /** False: frames may get lost, double or overtake each other. */
  readonly reliable: boolean;
  /** Largest frame it carries, header included. */
  readonly maxFrameBytes: number;
  /** Bytes taken by `send` that the system has not taken yet. */
  readonly bufferedBytes: number;
  /** Sends one frame, or buffers it; false: wait for `onDrain` before sending more. Does nothing once closed. */
  send(frame: Buffer): boolean;
  /** Stops and resumes reading, where the carrier can hold the sender back. */
  pause(): void;
  resume(): void;
  /** Ends the connection after what was sent has gone, which a dead peer may delay for ever; `onClose` follows. Safe twice. */
  close(): void;
  /** Ends the connection now; `onClose` follows. Safe twice, also after `close`. */
  destroy(): void;
}

/** What opening a link needs. */
export interface LinkOptions {
  readonly url: URL;
  readonly maxMessageBytes: number;
  readonly events: LinkEvents;
}

/**
 * Opens a link. Leaves nothing behind when it fails.
 * @throws AppError `rpc.unavailable` when the other side cannot be reached, or the signal's reason
 */
export type OpenLink = (options: LinkOptions, signal: AbortSignal) => Promise<Link>;

/** The error of a carrier that failed or ended. */
export function unavailable(url: URL, what: string, cause?: unknown): AppError {
  const detail = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return new AppError("rpc.unavailable", `${what} ${url.protocol}//${url.host}${detail}`, { cause });
}

/** Host and port of a URL, without the brackets of an IPv6 address. */
export function hostAndPort(url: URL, defaultPort: number): { host: string; port: number } {
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  return { host, port: url.port === "" ? defaultPort : Number(url.port) };
}

/** Port of MCP over TCP and UDP where the URL names none. */
export const DEFAULT_MCP_PORT = 7400;
