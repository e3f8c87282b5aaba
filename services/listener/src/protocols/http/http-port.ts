/** One HTTP port: server, limits, fastify, and the way of upgrades to WebSocket. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import swagger from "@fastify/swagger";
import { Protocol } from "@myelin/contract";
import { AppError, listenError } from "@myelin/kernel";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import type { ConnectionScope } from "../../core/connection.js";
import { type OriginCheck, originCheck, originRefused } from "../../core/origins.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { tlsOptions } from "../../core/tls.js";
import type { HttpConfig } from "./config.js";
import { DeviceMessages } from "./device-messages.js";
import { connectionOf, HttpConnection } from "./http-connection.js";
import { NDJSON_TYPES, postMessages } from "./post-messages.js";
import { errorOf, PROBLEM_TYPE, problemOf, rawProblem } from "./problem.js";
import { addRoutes } from "./routes.js";

const BACKLOG = 4096;
const MAX_PARAM_LENGTH = 4096;

export class HttpPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly scope: ConnectionScope;
  private readonly allowsOrigin: OriginCheck;
  private readonly messages: DeviceMessages;
  private server: Server | undefined;
  private app: FastifyInstance | undefined;
  private webSocket: ProtocolPort | undefined;

  constructor(
    private readonly config: HttpConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `http/${ctx.port}`;
    this.scope = scopeOf(config, ctx);
    this.allowsOrigin = originCheck(config.origins);
    this.messages = new DeviceMessages(config, ctx);
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` */
  async start(signal: AbortSignal): Promise<void> {
    const { config, ctx } = this;
    this.webSocket = await ctx.embed("websocket", {
      maxMessage: `${config.maxBody}B`,
      origins: config.origins,
    });
    await this.webSocket.start(signal);
    this.app = await this.createApp();
    await this.app.ready();
    if (!ctx.listen) return;
    const server = this.server!;
    const { host, port } = config;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) =>
        reject(listenError(cause, "HTTP", `${host}:${port}`)),
      );
      server.listen({ host, port, backlog: BACKLOG, reusePort: port !== 0 }, resolve);
    });
    server.removeAllListeners("error");
    // Accepting may fail for want of descriptors: the connection waits in the backlog and the loop tries again.
    server.on("error", () => {});
    const address = server.address();
    this.bound = { host, port: typeof address === "object" && address !== null ? address.port : port };
    ctx.connections.doors.add(server, { ...this.bound, backlog: BACKLOG, reusePort: port !== 0 });
  }

  async stop(): Promise<void> {
    this.messages.stop();
    const { server, app, webSocket } = this;
    this.server = this.app = this.webSocket = this.bound = undefined;
    if (server !== undefined) this.ctx.connections.doors.remove(server);
    server?.close();
    server?.closeAllConnections();
    await app?.close();
    await webSocket?.stop();
  }

  handleSocket(socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    this.server!.emit("connection", socket);
    // Paused while nobody listened.
    socket.resume();
  }

  private async createApp(): Promise<FastifyInstance> {
    const { config, ctx } = this;
    const app = Fastify({
      bodyLimit: config.maxBody,
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
      exposeHeadRoutes: false,
      serverFactory: (handler) => {
        this.server = this.createServer(handler);
        return this.server;
      },
      frameworkErrors: (error, _request, reply) => void this.fail(error, reply as never),
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser([...NDJSON_TYPES], (_request, payload, done) => done(null, payload));
    app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    // The handlers check what they read; schemas are there for the document.
    app.setValidatorCompiler(() => () => true);
    app.setSerializerCompiler(() => (data) => JSON.stringify(data));
    app.setErrorHandler((error, _request, reply) => this.fail(error, reply));
    app.setNotFoundHandler((request, reply) => {
      const error = new AppError("route.not_found", `there is nothing at ${request.url}`);
      this.send(reply, problemOf(error, 404));
    });
    await app.register(swagger, {
      openapi: {
        openapi: "3.1.0",
        info: { title: "Myelin device API", version: "1" },
        components: {
          securitySchemes: {
            basic: { type: "http", scheme: "basic" },
            bearer: { type: "http", scheme: "bearer" },
          },
        },
        security: [{ basic: [] }, { bearer: [] }, {}],
      },
      hideUntagged: false,
    });
    app.after(() => {
      addRoutes(app, {
        postMessages: postMessages(config, ctx) as never,
        pollMessages: this.messages.poll as never,
        streamMessages: this.messages.stream as never,
        postCommand: this.messages.command as never,
      });
      app.get("/api/v1/openapi.json", { schema: { hide: true } as never }, (_request, reply) =>
        reply.type("application/json").send(JSON.stringify(app.swagger())),
      );
    });
    return app;
  }

  private createServer(handler: RequestListener): Server {
    const { config } = this;
    const options = {
      maxHeaderSize: config.maxHeader,
      headersTimeout: config.headerTimeout,
      requestTimeout: config.requestTimeout,
      keepAliveTimeout: config.keepAliveTimeout,
      connectionsCheckingInterval: Math.min(1_000, config.headerTimeout),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    };
    const onRequest: RequestListener = (request, response) => {
      const connection = connectionOf(request.socket);
      connection.busy += 1;
      if (connection.leaving) response.setHeader("connection", "close");
      response.on("close", () => connection.answered());
      const { origin } = request.headers;
      if (origin === undefined || this.allowsOrigin(origin)) handler(request, response);
      else this.refusePage(response);
    };
    const server =
      config.tls === undefined
        ? createServer(options, onRequest)
        : createTlsServer({ ...options, ...tlsOptions(config.tls) }, onRequest);
    server.setTimeout(config.keepAliveTimeout);
    server.prependListener(config.tls === undefined ? "connection" : "secureConnection", (socket: Socket) =>
      this.accept(socket),
    );
    if (config.tls !== undefined) server.on("tlsClientError", () => {});
    server.on("upgrade", (request, socket, head) => this.upgrade(request, socket, head));
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.clientError(error, socket));
    return server as Server;
  }

  private accept(socket: Socket): void {
    const { connections } = this.ctx;
    if (connections.refusalOf(socket.remoteAddress ?? "") !== undefined) {
      socket.destroy();
      return;
    }
    const connection = new HttpConnection(this.scope, socket);
    connections.add(connection);
    socket.once("close", () => connection.closed());
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Counted anew by the protocol that takes it.
    connectionOf(request.socket).closed();
    (socket as Socket).setTimeout(0);
    this.webSocket!.handleUpgrade!(request, socket, head);
  }

  /** A web page that may not act as a device; closed, as nobody reads the body. */
  private refusePage(response: ServerResponse): void {
    const error = originRefused();
    this.ctx.metrics.refused.add(`http,${error.code}`);
    const { status, body } = problemOf(error);
    response.writeHead(status, { "content-type": PROBLEM_TYPE, connection: "close" }).end(body);
  }

  /** The request cannot be parsed, or does not come: answered by hand, and closed. */
  private clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const { code } = error;
    if (code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const [status, reason, problem] =
      code === "HPE_HEADER_OVERFLOW"
        ? [431, "header_too_large", new AppError("limit.frame_too_large", "the headers are too large")]
        : code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? [408, "timeout", new AppError("protocol.timeout", "the request did not arrive in time")]
          : [400, "syntax", new AppError("protocol.malformed", "the bytes are no HTTP request")];
    this.ctx.metrics.malformed.add(`http,${reason}`);
    socket.end(rawProblem(problem, status));
  }

  private fail(thrown: unknown, reply: FastifyReply): void {
    const { error, status } = errorOf(thrown);
    const declared = AppError.is(thrown) ? (thrown as { statusCode?: number }).statusCode : status;
    if (error.family === "ours") {
      this.ctx.log.error(
        { code: error.code, stack: error.stack, cause: error.cause },
        "cannot handle a request",
      );
    } else if (error.family === "caller") {
      this.ctx.metrics.malformed.add(`http,${error.code}`);
    }
    // The rest of a body that nobody reads must not be taken for the next request.
    if (!reply.request.raw.complete) reply.header("connection", "close");
    this.send(reply, problemOf(error, declared));
  }

  private send(reply: FastifyReply, problem: ReturnType<typeof problemOf>): void {
    if (problem.retryAfterSeconds !== undefined) reply.header("retry-after", problem.retryAfterSeconds);
    if (problem.status === 401) reply.header("www-authenticate", 'Basic realm="myelin", charset="UTF-8"');
    void reply.code(problem.status).type(PROBLEM_TYPE).send(problem.body);
  }
}

function scopeOf(config: HttpConfig, ctx: ProtocolContext): ConnectionScope {
  return {
    manager: ctx.connections,
    protocol: Protocol.HTTP,
    kind: "http",
    port: ctx.port,
    limits: {
      maxFrameBytes: config.maxBody,
      firstPacketMs: config.headerTimeout,
      idleMs: config.keepAliveTimeout,
      heartbeatMs: 0,
      heartbeatMisses: 0,
      rate:
        config.ratePerSecond > 0 ? { perSecond: config.ratePerSecond, burst: config.rateBurst } : undefined,
      maxWriteBufferBytes: config.maxBody,
    },
  };
}
