/** MCP over UDP: one frame per datagram to the server; the server's may hold several. */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { MCP_MAX_DATAGRAM_BYTES, McpMessageView, viewMcpFrame } from "@myelin/contract";
import { AppError, abortError } from "@myelin/kernel";
import { DEFAULT_MCP_PORT, hostAndPort, type Link, type OpenLink, unavailable } from "./transport.js";

/**
 * Opens a UDP socket that is connected to the server, so that datagrams of others are dropped by the system and a closed
 * port is reported. Whether a server answers shows the hello, not this.
 */
export const openUdp: OpenLink = (options, signal) =>
  new Promise((resolve, reject) => {
    const { url, events } = options;
    if (signal.aborted) {
      reject(abortError(signal));
      return;
    }
    const { host, port } = hostAndPort(url, DEFAULT_MCP_PORT);
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    const view = new McpMessageView();
    let link: UdpLink | undefined;
    let failure: Error | undefined;
    const onAbort = (): void => {
      socket.close();
      reject(abortError(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("message", (datagram) => {
      try {
        for (let at = 0; at < datagram.length; ) {
          at = viewMcpFrame(view, datagram, at, options.maxMessageBytes);
          events.onMessage(view);
        }
      } catch (error) {
        events.onBroken(AppError.from(error));
      }
    });
    socket.on("error", (error) => {
      failure = error;
      if (link === undefined) socket.close();
      else link.destroy();
    });
    socket.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      if (link !== undefined) events.onClose(unavailable(url, "closed the socket to", failure));
      else reject(unavailable(url, "cannot reach", failure));
    });
    socket.connect(port, host, (error?: Error) => {
      if (error !== undefined) {
        failure = error;
        socket.close();
        return;
      }
      signal.removeEventListener("abort", onAbort);
      link = new UdpLink(socket, () => events.onDrain());
      resolve(link);
    });
  });

class UdpLink implements Link {
  readonly reliable = false;
  readonly maxFrameBytes = MCP_MAX_DATAGRAM_BYTES;
  #sending = 0;
  #closed = false;
  #destroyed = false;
  readonly #socket: Socket;
  readonly #onDrain: () => void;

  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
  }

  get bufferedBytes(): number {
    return this.#sending;
  }

  send(frame: Buffer): boolean {
    if (this.#closed) return true;
    this.#sending += frame.length;
    // A datagram that fails is a lost datagram: an error of the socket comes as its event.
    this.#socket.send(frame, () => {
      this.#sending -= frame.length;
      if (this.#sending > 0) return;
      if (this.#closed) this.destroy();
      else this.#onDrain();
    });
    return this.#sending < MCP_MAX_DATAGRAM_BYTES;
  }

  // Nothing holds a sender of datagrams back.
  pause(): void {}
  resume(): void {}

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#sending === 0) this.destroy();
  }

  destroy(): void {
    this.#closed = true;
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#socket.close();
  }
}
