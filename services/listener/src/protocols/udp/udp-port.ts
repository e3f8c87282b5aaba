/** One UDP port: tells MCP from JSON, sessions from senders without one. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { MCP_MAGIC, McpMessageView, Protocol, viewMcpFrame } from "@myelin/contract";
import { AppError, listenError, sharesPorts } from "@myelin/kernel";
import { type ConnectionScope, HOLD } from "../../core/connection.js";
import { JsonMessage } from "../../core/json-message.js";
import { McpConnection } from "../../core/mcp/mcp-connection.js";
import { McpShared } from "../../core/mcp/mcp-shared.js";
import { MCP_STATE } from "../../core/mcp/mcp-state.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import type { UdpConfig } from "./config.js";
import { DatagramStream, sendDatagram } from "./datagram-stream.js";
import { LooseMessages, type Source } from "./loose-messages.js";
import { SourceRates } from "./source-rates.js";

const MAGIC = Buffer.from(MCP_MAGIC);
const OPENING_BRACE = 0x7b;
const MAX_DATAGRAM_BYTES = 65_507;

interface Peer {
  readonly connection: McpConnection;
  readonly stream: DatagramStream;
}

export class UdpPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly shared: McpShared;
  private readonly rates: SourceRates;
  private readonly loose: LooseMessages;
  private readonly peers = new Map<string, Peer>();
  private readonly view = new McpMessageView();
  private readonly json = new JsonMessage();
  private socket: Socket | undefined;

  constructor(
    private readonly config: UdpConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `udp/${ctx.port}`;
    this.shared = new McpShared(ctx, scopeOf(config, ctx), { datagrams: true });
    const { ratePerSecond: perSecond, rateBurst: burst, maxSources } = config;
    this.rates = new SourceRates(ctx.clock, perSecond > 0 ? { perSecond, burst } : undefined, maxSources);
    this.loose = new LooseMessages(config, ctx, (bytes, source) => this.send(bytes, source));
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` */
  async start(): Promise<void> {
    if (!this.ctx.listen) return;
    const { host, port, receiveBuffer } = this.config;
    const type = host.includes(":") ? "udp6" : "udp4";
    const socket = createSocket({
      type,
      reusePort: port !== 0 && sharesPorts(),
      recvBufferSize: receiveBuffer,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", (cause) => reject(listenError(cause, "UDP", `${host}:${port}`)));
      socket.bind(port, host, resolve);
    });
    socket.removeAllListeners("error");
    // Errors of single datagrams, such as an unreachable peer: nobody waits for them.
    socket.on("error", () => {});
    socket.on("message", (bytes, from) => this.onDatagram(bytes, from));
    this.socket = socket;
    this.bound = { host, port: socket.address().port };
  }

  async stop(): Promise<void> {
    for (const { connection } of [...this.peers.values()]) connection.disconnect("drain");
    const { socket } = this;
    this.socket = this.bound = undefined;
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  /** What the socket calls for each datagram. Never throws. */
  onDatagram(bytes: Buffer, from: RemoteInfo): void {
    const { traffic } = this.shared;
    traffic.receivedBytes += bytes.length;
    // Legal, and says that no answer is wanted (RFC 768): a sender who cannot be told anything is not one of ours.
    if (from.port === 0) {
      this.shared.malformed("source_port");
      return;
    }
    if (!this.rates.allows(from.address)) {
      this.shared.malformed("rate");
      return;
    }
    try {
      if (bytes[0] === OPENING_BRACE) {
        this.json.read(bytes);
        traffic.receivedMessages += 1;
        this.loose.takeJson(this.json, bytes, sourceOf(from, bytes, true));
      } else if (
        bytes.length >= MAGIC.length &&
        bytes.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) === 0
      ) {
        this.onMcp(bytes, from);
      } else this.shared.malformed("unknown");
    } catch (thrown) {
      const error = AppError.from(thrown);
      if (error.family === "ours") {
        this.ctx.log.error({ code: error.code, stack: error.stack }, "cannot handle a datagram");
        return;
      }
      this.shared.malformed(bytes[0] === OPENING_BRACE ? "json" : "frame");
      this.loose.refuse(sourceOf(from, bytes, bytes[0] === OPENING_BRACE), "", error);
    }
  }

  private onMcp(bytes: Buffer, from: RemoteInfo): void {
    const { view } = this;
    if (viewMcpFrame(view, bytes, 0, MAX_DATAGRAM_BYTES) !== bytes.length) {
      throw new AppError("contract.bad_frame", "bytes follow the frame");
    }
    const key = `${from.address} ${from.port}`;
    let peer = this.peers.get(key);
    if (view.controlKind === "hello") {
      // The answer to an earlier one was lost: its connection must not speak to the device any more.
      peer?.stream.mute();
      peer?.connection.disconnect("takeover");
      peer?.connection.onClosed();
      peer = this.connect(key, from);
      if (peer === undefined) return;
      peer.stream.budgetBytes = bytes.length;
    } else if (peer === undefined) {
      if (view.controlField !== 0 || view.deviceId === "") {
        // Of a session that is over, or that its device left for another address: no event is refused, the device begins anew.
        this.shared.malformed("no_session");
        this.loose.refuse(sourceOf(from, bytes, false), "", new AppError("protocol.violation", "no session"));
        return;
      }
      this.shared.traffic.receivedMessages += 1;
      this.loose.takeMcp(view, sourceOf(from, bytes, false));
      return;
    }
    const { connection } = peer;
    // What overtakes the answer to its hello is lost; the device sends it again.
    if (connection.state === MCP_STATE.admitting) return;
    connection.seen();
    // Nobody can be told to wait with a datagram: what is beyond the device's rate is dropped, control messages never are.
    if (view.controlField === 0 && (connection.held & HOLD.rate) !== 0) {
      this.loose.refuseMcp(view, sourceOf(from, bytes, false), new AppError("limit.rate", "too fast"));
      return;
    }
    connection.onMessage(view);
    connection.spendMessages();
  }

  private connect(key: string, from: RemoteInfo): Peer | undefined {
    const { connections } = this.ctx;
    if (connections.refusalOf(from.address) !== undefined) return undefined;
    const stream: DatagramStream = new DatagramStream(
      this.socket!,
      from.address,
      from.port,
      () => connection.session !== undefined,
      () => {
        if (this.peers.get(key)?.stream === stream) this.peers.delete(key);
      },
    );
    const connection = new McpConnection(this.shared, stream, from.address);
    stream.sink = connection;
    connections.add(connection);
    const peer = { connection, stream };
    this.peers.set(key, peer);
    return peer;
  }

  private send(bytes: Buffer, { address, port }: Source): void {
    this.shared.traffic.sentBytes += bytes.length;
    if (this.socket !== undefined) sendDatagram(this.socket, bytes, port, address);
  }
}

function sourceOf({ address, port }: RemoteInfo, { length: bytes }: Buffer, json: boolean): Source {
  return { address, port, json, bytes };
}

function scopeOf(config: UdpConfig, ctx: ProtocolContext): ConnectionScope {
  return {
    manager: ctx.connections,
    protocol: Protocol.UDP,
    kind: "udp",
    port: ctx.port,
    limits: {
      maxFrameBytes: MAX_DATAGRAM_BYTES,
      firstPacketMs: 10_000,
      idleMs: 0,
      heartbeatMs: config.heartbeat,
      heartbeatMisses: config.heartbeatMisses,
      rate: undefined,
      maxWriteBufferBytes: 1024 * 1024,
    },
  };
}
