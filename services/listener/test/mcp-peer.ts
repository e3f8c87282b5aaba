/** The device's end of an MCP connection, bare: what it sends is what the test says. */
import { connect, type Socket } from "node:net";
import {
  encodeMcpFrame,
  type McpControl,
  type McpControlKind,
  McpFrameReader,
  type McpMessage,
  type McpMessageInit,
} from "@myelin/contract";
import { waitFor } from "@myelin/testkit";

/** Anything that carries bytes to the listener. */
export interface PeerTransport {
  send(bytes: Buffer): void;
  close(): void;
}

export class McpPeer {
  readonly received: McpMessage[] = [];
  closed = false;
  private readonly reader = new McpFrameReader({
    onMessage: (view) => void this.received.push(view.toMessage()),
    onError: (error) => {
      throw error;
    },
    onSkipped: (bytes) => {
      throw new Error(`${bytes} bytes of garbage`);
    },
  });
  private taken = 0;

  constructor(readonly transport: PeerTransport) {}

  static tcp(port: number): McpPeer {
    const socket: Socket = connect(port, "127.0.0.1");
    const peer = new McpPeer({ send: (bytes) => socket.write(bytes), close: () => socket.destroy() });
    socket.on("data", (chunk: Buffer) => peer.onBytes(chunk));
    socket.on("close", () => {
      peer.closed = true;
    });
    socket.on("error", () => {});
    return peer;
  }

  onBytes(bytes: Buffer): void {
    this.reader.push(bytes);
  }

  send(...messages: McpMessageInit[]): void {
    this.transport.send(Buffer.concat(messages.map((message) => encodeMcpFrame(message))));
  }

  /** The next message that was not taken yet and is wanted; those before it stay untaken only if they came later. */
  async next(wanted: (message: McpMessage) => boolean, what: string): Promise<McpMessage> {
    let found: McpMessage | undefined;
    await waitFor(
      () => {
        while (found === undefined && this.taken < this.received.length) {
          const message = this.received[this.taken++]!;
          if (wanted(message)) found = message;
        }
        return found !== undefined;
      },
      { what },
    );
    return found!;
  }

  async control<K extends McpControlKind>(kind: K): Promise<Extract<McpControl, { kind: K }>> {
    const message = await this.next(({ control }) => control?.kind === kind, kind);
    return message.control as Extract<McpControl, { kind: K }>;
  }

  async hello(deviceId: string, more: object = {}): Promise<Extract<McpControl, { kind: "welcome" }>> {
    this.send({ control: { kind: "hello", version: 1, deviceId, ...more } });
    return await this.control("welcome");
  }

  async untilClosed(): Promise<void> {
    await waitFor(() => this.closed, { what: "the end of the connection" });
  }
}
