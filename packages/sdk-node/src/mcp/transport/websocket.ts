/** MCP over WebSocket: whole frames in binary messages. */
import { MCP_HEADER_BYTES, MCP_WEBSOCKET_PROTOCOL, McpMessageView, viewMcpFrame } from "@myelin/contract";
import { AppError, abortError } from "@myelin/kernel";
import { WebSocket } from "ws";
import { type Link, type OpenLink, unavailable } from "./transport.js";

// Bytes after which a sender is asked to wait; what a socket's own buffer would say is not visible through `ws`.
const HIGH_WATER_BYTES = 64 * 1024;

/** Opens a WebSocket with the sub-protocol of MCP; a server that does not speak it is refused. */
export const openWebSocket: OpenLink = (options, signal) =>
  new Promise((resolve, reject) => {
    const { url, events } = options;
    if (signal.aborted) {
      reject(abortError(signal));
      return;
    }
    const socket = new WebSocket(url, [MCP_WEBSOCKET_PROTOCOL], {
      maxPayload: options.maxMessageBytes + MCP_HEADER_BYTES,
      perMessageDeflate: false,
    });
    const view = new McpMessageView();
    let link: WebSocketLink | undefined;
    let failure: Error | undefined;
    const onAbort = (): void => {
      socket.terminate();
      reject(abortError(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("message", (data, isBinary) => {
      const bytes = data as Buffer;
      try {
        if (!isBinary) throw new AppError("contract.bad_frame", "a text message where MCP frames should be");
        for (let at = 0; at < bytes.length; ) {
          at = viewMcpFrame(view, bytes, at, options.maxMessageBytes);
          events.onMessage(view);
        }
      } catch (error) {
        events.onBroken(AppError.from(error));
      }
    });
    socket.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      if (link !== undefined) events.onClose(unavailable(url, "lost the connection to", failure));
      else reject(unavailable(url, "cannot connect to", failure));
    });
    socket.once("open", () => {
      signal.removeEventListener("abort", onAbort);
      link = new WebSocketLink(socket, options.maxMessageBytes + MCP_HEADER_BYTES, () => events.onDrain());
      resolve(link);
    });
  });

class WebSocketLink implements Link {
  readonly reliable = true;
  readonly maxFrameBytes: number;
  readonly #socket: WebSocket;
  readonly #onDrain: () => void;
  #full = false;

  constructor(socket: WebSocket, maxFrameBytes: number, onDrain: () => void) {
    this.#socket = socket;
    this.maxFrameBytes = maxFrameBytes;
    this.#onDrain = onDrain;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: Buffer): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return true;
    this.#socket.send(frame, { binary: true }, () => {
      if (!this.#full || this.#socket.bufferedAmount > 0) return;
      this.#full = false;
      this.#onDrain();
    });
    if (this.#socket.bufferedAmount > HIGH_WATER_BYTES) this.#full = true;
    return !this.#full;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    // A paused socket would not see the peer's closing frame.
    if (this.#socket.isPaused) this.#socket.resume();
    this.#socket.close(1000);
  }

  destroy(): void {
    this.#socket.terminate();
  }
}
