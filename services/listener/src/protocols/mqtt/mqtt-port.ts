/** One MQTT port: listens, or takes what other ports hand over. */
import type { Socket } from "node:net";
import { Protocol } from "@myelin/contract";
import type { ByteStream, StreamPeer, StreamSink } from "../../core/byte-stream.js";
import type { ConnectionScope } from "../../core/connection.js";
import type { TransportRefusal } from "../../core/connection-manager.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { addressOf } from "../../core/socket-peer.js";
import { serveSocket } from "../../core/socket-stream.js";
import { TcpPort } from "../../core/tcp-port.js";
import type { MqttConfig } from "./config.js";
import { MqttConnection } from "./mqtt-connection.js";
import { refusingConnect } from "./refusing.js";
import { MqttShared } from "./shared.js";

export class MqttPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly shared: MqttShared;
  private tcp: TcpPort | undefined;

  constructor(
    private readonly config: MqttConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `mqtt/${ctx.port}`;
    this.shared = new MqttShared(config, ctx, scopeOf(config, ctx));
  }

  async start(): Promise<void> {
    if (!this.ctx.listen) return;
    this.tcp = new TcpPort(this.ctx, this.config, {
      alpn: ["mqtt"],
      onSocket: (socket) => this.handleSocket(socket),
      onRefused: (socket, refusal) => this.refuseSocket(socket, undefined, refusal),
    });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    await this.tcp?.close();
    this.tcp = undefined;
    this.bound = undefined;
  }

  handleSocket(socket: Socket, head?: Buffer): void {
    const connection = new MqttConnection(this.shared, socket, addressOf(socket));
    this.ctx.connections.add(connection);
    serveSocket(socket, connection, head);
  }

  refuseSocket(socket: Socket, head: Buffer | undefined, refusal: TransportRefusal): void {
    this.ctx.connections.turnedAway.tell(socket, refusingConnect(refusal, this.config.serverReference), head);
  }

  handleStream(stream: ByteStream, peer: StreamPeer): StreamSink {
    const connection = new MqttConnection(this.shared, stream, peer.address);
    this.ctx.connections.add(connection);
    return connection;
  }
}

function scopeOf(config: MqttConfig, ctx: ProtocolContext): ConnectionScope {
  return {
    manager: ctx.connections,
    protocol: Protocol.MQTT,
    kind: "mqtt",
    port: ctx.port,
    limits: {
      maxFrameBytes: config.maxPacketSize,
      firstPacketMs: config.connectTimeout,
      // The client's keep alive takes the place of heartbeat and idle time.
      idleMs: 0,
      heartbeatMs: 0,
      heartbeatMisses: 0,
      rate:
        config.ratePerSecond > 0 ? { perSecond: config.ratePerSecond, burst: config.rateBurst } : undefined,
      maxWriteBufferBytes: config.maxWriteBuffer,
    },
  };
}
