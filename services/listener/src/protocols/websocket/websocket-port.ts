/** WebSocket connections: upgrades that HTTP hands over, or those of a port of its own. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { type WebSocket, WebSocketServer } from "ws";
import type { Identity } from "../../core/admission.js";
import type { ConnectionScope } from "../../core/connection.js";
import { checkDeviceId, credentialsOf } from "../../core/http-auth.js";
import { McpConnection } from "../../core/mcp/mcp-connection.js";
import { McpShared } from "../../core/mcp/mcp-shared.js";
import { type OriginCheck, originCheck, originRefused } from "../../core/origins.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { addressOf, certificateOf } from "../../core/socket-peer.js";
import { TcpPort } from "../../core/tcp-port.js";
import { CLOSE, closeCodeOf } from "./close-codes.js";
import type { WebSocketConfig } from "./config.js";
import { type Endpoint, endpointOf, refusalOf, refuseHandshake } from "./handshake.js";
import { JsonConnection, JsonShared } from "./json-connection.js";
import { WebSocketStream } from "./websocket-stream.js";

const HEADER_TIMEOUT_MS = 10_000;
const DEADLINE_CHECK_MS = 1_000;
const NOTHING = Buffer.alloc(0);
const MAX_HEADER_BYTES = 16 * 1024;

export class WebSocketPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly scope: ConnectionScope;
  private readonly allowsOrigin: OriginCheck;
  private readonly mcp: McpShared;
  private readonly json: JsonShared;
  private mqtt: ProtocolPort | undefined;
  private sockets: WebSocketServer | undefined;
  private http: Server | undefined;
  private tcp: TcpPort | undefined;

  constructor(
    private readonly config: WebSocketConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `websocket/${ctx.port}`;
    this.scope = scopeOf(config, ctx);
    this.allowsOrigin = originCheck(config.origins);
    this.mcp = new McpShared(ctx, this.scope, { datagrams: false });
    this.json = new JsonShared(ctx, this.scope, config);
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` */
  async start(signal: AbortSignal): Promise<void> {
    const { config, ctx } = this;
    this.mqtt = await ctx.embed("mqtt", { maxPacketSize: `${config.maxMessage}B` });
    await this.mqtt.start(signal);
    this.sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: config.maxMessage,
    });
    if (!ctx.listen) return;
    this.http = createServer(
      {
        headersTimeout: HEADER_TIMEOUT_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
        connectionsCheckingInterval: DEADLINE_CHECK_MS,
      },
      (_request, response) => {
        response.writeHead(426, { connection: "close", upgrade: "websocket" }).end();
      },
    );
    // It looks at the deadlines of requests only once it has heard that it listens, which it never does.
    this.http.emit("listening");
    this.http.on("upgrade", (request, socket, head) => this.handleUpgrade(request, socket, head));
    this.tcp = new TcpPort(ctx, config, {
      alpn: ["http/1.1"],
      onSocket: (socket) => this.handleSocket(socket, NOTHING),
      onRefused: (socket) => this.turnAway(socket),
    });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    const { tcp, http, mqtt } = this;
    this.tcp = this.http = this.mqtt = this.bound = undefined;
    await tcp?.close();
    http?.closeAllConnections();
    http?.close();
    await mqtt?.stop();
  }

  handleSocket(socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    this.http!.emit("connection", socket);
    // Paused while nobody listened.
    if (socket.isPaused()) socket.resume();
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const address = addressOf(socket);
    // A client that goes away in the middle is no event.
    socket.on("error", () => {});
    try {
      if (this.ctx.connections.refusalOf(address) !== undefined) {
        throw noPlace();
      }
      const { origin } = request.headers;
      if (origin !== undefined && !this.allowsOrigin(origin)) throw originRefused();
      const endpoint = endpointOf(request);
      const identity = endpoint.kind === "json" ? this.identify(endpoint, socket) : undefined;
      if (!(identity instanceof Promise)) {
        this.accept(request, socket, head, endpoint, identity);
        return;
      }
      void identity
        .then((known) => this.accept(request, socket, head, endpoint, known))
        .catch((thrown: unknown) => this.refuse(socket, thrown));
    } catch (thrown) {
      this.refuse(socket, thrown);
    }
  }

  private turnAway(socket: Socket): void {
    this.ctx.connections.turnedAway.tell(socket, () => refusalOf(noPlace()));
  }

  private refuse(socket: Duplex, thrown: unknown): void {
    const error = AppError.from(thrown);
    if (error.family === "ours")
      this.ctx.log.error({ code: error.code, stack: error.stack }, "cannot handle a handshake");
    this.ctx.metrics.refused.add(`websocket,${error.code}`);
    refuseHandshake(socket, error);
  }

  private identify({ deviceId, authorization }: Endpoint, socket: Duplex): Identity | Promise<Identity> {
    checkDeviceId(deviceId);
    const credentials = credentialsOf(authorization);
    const who = {
      protocol: "websocket",
      port: this.ctx.port,
      address: addressOf(socket),
      certificate: certificateOf(socket),
      deviceId,
      ...credentials,
    };
    const verdict = this.ctx.admission.connect(who);
    const decide = (v: Awaited<typeof verdict>): Identity => {
      if (v.allow) return v.identity;
      throw new AppError(v.code, `${deviceId} is not let in`);
    };
    return verdict instanceof Promise ? verdict.then(decide) : decide(verdict);
  }

  private accept(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    endpoint: Endpoint,
    identity: Identity | undefined,
  ): void {
    const { sockets } = this;
    if (sockets === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    // The library echoes the first protocol that is offered; the one that is spoken may be another.
    if (endpoint.protocol !== "") request.headers["sec-websocket-protocol"] = endpoint.protocol;
    sockets.handleUpgrade(request, socket, head, (ws) => {
      try {
        this.open(ws, socket, endpoint, identity);
      } catch (thrown) {
        // The handshake is over: its answers in HTTP would be garbage here.
        const { code, stack } = AppError.from(thrown);
        this.ctx.log.error({ code, stack }, "cannot open a WebSocket");
        ws.close(CLOSE.internal);
      }
    });
  }

  private open(ws: WebSocket, socket: Duplex, endpoint: Endpoint, identity: Identity | undefined): void {
    const address = addressOf(socket);
    const { connections, metrics } = this.ctx;
    if (identity !== undefined) {
      const connection = new JsonConnection(this.json, ws, address);
      connections.add(connection);
      connection.open(identity);
      return;
    }
    const stream = new WebSocketStream(ws, socket);
    const onMalformed = (reason: string): void => metrics.malformed.add(`websocket,${reason}`);
    if (endpoint.kind === "mqtt") {
      const secure = "encrypted" in socket;
      stream.serve(this.mqtt!.handleStream!(stream, { address, secure }), onMalformed);
      return;
    }
    const connection = new McpConnection(this.mcp, stream, address);
    stream.closeCode = () => closeCodeOf(connection.ending);
    connections.add(connection);
    stream.serve(connection, onMalformed);
  }
}

function noPlace(): AppError {
  return new AppError("limit.connections", "there are too many connections");
}

function scopeOf(config: WebSocketConfig, ctx: ProtocolContext): ConnectionScope {
  return {
    manager: ctx.connections,
    protocol: Protocol.WEBSOCKET,
    kind: "websocket",
    port: ctx.port,
    limits: {
      maxFrameBytes: config.maxMessage,
      firstPacketMs: HEADER_TIMEOUT_MS,
      idleMs: 0,
      heartbeatMs: config.heartbeat,
      heartbeatMisses: config.heartbeatMisses,
      rate:
        config.ratePerSecond > 0 ? { perSecond: config.ratePerSecond, burst: config.rateBurst } : undefined,
      maxWriteBufferBytes: config.maxWriteBuffer,
    },
  };
}
