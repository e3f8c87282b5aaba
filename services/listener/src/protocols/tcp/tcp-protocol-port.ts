/** One TCP port: listens, or takes what other ports hand over. */
import type { Socket } from "node:net";
import { Protocol } from "@myelin/contract";
import type { ByteStream, StreamPeer, StreamSink } from "../../core/byte-stream.js";
import type { Connection, ConnectionScope } from "../../core/connection.js";
import { McpConnection } from "../../core/mcp/mcp-connection.js";
import { McpShared } from "../../core/mcp/mcp-shared.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { addressOf } from "../../core/socket-peer.js";
import { serveSocket } from "../../core/socket-stream.js";
import { TcpPort } from "../../core/tcp-port.js";
import type { TcpConfig } from "./config.js";
import { LineConnection, LineShared } from "./line-connection.js";

export class TcpProtocolPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly connect: (stream: ByteStream, address: string) => Connection & StreamSink;
  private tcp: TcpPort | undefined;

  constructor(
    private readonly config: TcpConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `tcp/${ctx.port}`;
    const scope = scopeOf(config, ctx);
    if (config.framing === "mcp") {
      const shared = new McpShared(ctx, scope, { datagrams: false });
      this.connect = (stream, address) => new McpConnection(shared, stream, address);
    } else {
      const shared = new LineShared(ctx, scope, config);
      this.connect = (stream, address) => new LineConnection(shared, stream, address);
    }
  }

  async start(): Promise<void> {
    if (!this.ctx.listen) return;
    this.tcp = new TcpPort(this.ctx, this.config, { onSocket: (socket) => this.handleSocket(socket) });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    await this.tcp?.close();
    this.tcp = undefined;
    this.bound = undefined;
  }

  handleSocket(socket: Socket, head?: Buffer): void {
    const connection = this.connect(socket, addressOf(socket));
    this.ctx.connections.add(connection);
    serveSocket(socket, connection, head);
  }

  handleStream(stream: ByteStream, peer: StreamPeer): StreamSink {
    const connection = this.connect(stream, peer.address);
    this.ctx.connections.add(connection);
    return connection;
  }
}

function scopeOf(config: TcpConfig, ctx: ProtocolContext): ConnectionScope {
  const isMcp = config.framing === "mcp";
  return {
    manager: ctx.connections,
    protocol: Protocol.TCP,
    kind: "tcp",
    port: ctx.port,
    limits: {
      maxFrameBytes: config.maxMessage,
      firstPacketMs: config.firstPacketTimeout,
      idleMs: isMcp ? 0 : config.idleTimeout,
      heartbeatMs: isMcp ? config.heartbeat : 0,
      heartbeatMisses: config.heartbeatMisses,
      rate:
        config.ratePerSecond > 0 ? { perSecond: config.ratePerSecond, burst: config.rateBurst } : undefined,
      maxWriteBufferBytes: config.maxWriteBuffer,
    },
  };
}
