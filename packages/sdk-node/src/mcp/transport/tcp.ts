/** MCP over TCP. */
import { connect, type Socket } from "node:net";
import { MCP_HEADER_BYTES, McpFrameReader } from "@myelin/contract";
import { abortError } from "@myelin/kernel";
import { DEFAULT_MCP_PORT, hostAndPort, type Link, type OpenLink, unavailable } from "./transport.js";

/** Opens a TCP link; Nagle's delay is off, because frames are written whole. */
export const openTcp: OpenLink = (options, signal) =>
  new Promise((resolve, reject) => {
    const { url, events } = options;
    if (signal.aborted) {
      reject(abortError(signal));
      return;
    }
    const socket = connect({ ...hostAndPort(url, DEFAULT_MCP_PORT), noDelay: true });
    const reader = new McpFrameReader(
      {
        onMessage: (view) => events.onMessage(view),
        onError: (e) => events.onBroken(e),
        onSkipped: () => undefined,
      },
      options,
    );
    let connected = false;
    let failure: Error | undefined;
    const onAbort = (): void => {
      socket.destroy();
      reject(abortError(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("drain", () => events.onDrain());
    socket.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      reader.stop();
      if (connected) events.onClose(unavailable(url, "lost the connection to", failure));
      else reject(unavailable(url, "cannot connect to", failure));
    });
    socket.once("connect", () => {
      connected = true;
      signal.removeEventListener("abort", onAbort);
      resolve(new TcpLink(socket, options.maxMessageBytes + MCP_HEADER_BYTES));
    });
  });

class TcpLink implements Link {
  readonly reliable = true;
  readonly maxFrameBytes: number;
  readonly #socket: Socket;

  constructor(socket: Socket, maxFrameBytes: number) {
    this.#socket = socket;
    this.maxFrameBytes = maxFrameBytes;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(frame: Buffer): boolean {
    return this.#socket.writable ? this.#socket.write(frame) : true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
