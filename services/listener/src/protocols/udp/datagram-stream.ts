/** Datagrams to one peer, as the stream an MCP connection writes to. */
import type { Socket } from "node:dgram";
import type { ByteStream, StreamSink } from "../../core/byte-stream.js";

export class DatagramStream implements ByteStream {
  readonly writableLength = 0;
  sink: StreamSink | undefined = undefined;
  /** Until the peer has a session: an answer larger than its question would serve to flood whom the sender claims to be. */
  budgetBytes = 0;
  private over = false;

  constructor(
    private readonly socket: Socket,
    private readonly address: string,
    private readonly port: number,
    private readonly hasSession: () => boolean,
    private readonly onEnd: () => void,
  ) {}

  write(data: Uint8Array): boolean {
    if (this.over) return true;
    if (!this.hasSession()) {
      if (data.length > this.budgetBytes) return true;
      this.budgetBytes -= data.length;
    }
    sendDatagram(this.socket, data, this.port, this.address);
    return true;
  }

  cork(): void {}
  uncork(): void {}
  // A socket that serves everybody is not stopped for one.
  pause(): void {}
  resume(): void {}

  end(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.over) return;
    this.over = true;
    this.onEnd();
    queueMicrotask(() => this.sink?.onClosed());
  }

  /** From here on nothing is sent: the peer speaks over another connection. */
  mute(): void {
    this.over = true;
    this.onEnd();
  }
}

/** What cannot be sent is lost like any datagram, and the peer asks again; no error leaves here, at once or later. */
export function sendDatagram(socket: Socket, data: Uint8Array, port: number, address: string): void {
  try {
    socket.send(data, port, address, ignore);
  } catch {
    // The socket is closed, or the address is none that can be sent to.
  }
}

function ignore(): void {}
