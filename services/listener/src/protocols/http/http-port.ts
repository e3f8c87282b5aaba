/** One HTTP port: server, limits, fastify, and the way of upgrades to WebSocket. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import swagger from "@fastify/swagger";
import { Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { hostCheck, type OriginCheck, originCheck, originRefused } from "../../core/origins.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { TcpPort } from "../../core/tcp-port.js";
import { adminHandlers } from "./admin/handlers.js";
import { ADMIN_ROUTES } from "./admin/routes.js";
import { alarmHandlers } from "./alarms/handlers.js";
import { ALARM_ROUTES } from "./alarms/routes.js";
import { appHandlers } from "./apps/handlers.js";
import { APP_ROUTES } from "./apps/routes.js";
import { NDJSON_TYPES } from "./body-type.js";
import { commandHandlers } from "./commands/handlers.js";
import { COMMAND_ROUTES } from "./commands/routes.js";
import type { HttpConfig } from "./config.js";
import { DeviceMessages } from "./device-messages.js";
import { AcceptedAnswer } from "./direct-answer.js";
import { DirectRequests, type DirectScope } from "./direct-requests.js";
import { flowHandlers } from "./flows/handlers.js";
import { FLOW_ROUTES } from "./flows/routes.js";
import { historyHandlers } from "./history/handlers.js";
import { HISTORY_ROUTES } from "./history/routes.js";
import { connectionOf, HttpConnection, type HttpScope } from "./http-connection.js";
import { postMessages } from "./post-messages.js";
import { errorOf, PROBLEM_TYPE, problemOf } from "./problem.js";
import { registryHandlers } from "./registry/handlers.js";
import { REGISTRY_ROUTES } from "./registry/routes.js";
import { addRoutes, DEVICE_ROUTES } from "./routes.js";
import { shadowHandlers } from "./shadow/handlers.js";
import { SHADOW_ROUTES } from "./shadow/routes.js";

const MAX_PARAM_LENGTH = 4096;

export class HttpPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly scope: HttpScope;
  private readonly direct: DirectScope;
  private readonly allowsOrigin: OriginCheck;
  private readonly messages: DeviceMessages;
  private tcp: TcpPort | undefined;
  /** Gets its sockets from us and listens to nothing itself. */
  private server: Server | undefined;
  private app: FastifyInstance | undefined;
  private webSocket: ProtocolPort | undefined;

  constructor(
    private readonly config: HttpConfig,
    private readonly ctx: ProtocolContext,
  ) {
    this.name = `http/${ctx.port}`;
    this.scope = scopeOf(config, ctx);
    const answer = new AcceptedAnswer(config.keepAliveTimeout);
    this.direct = { config, ctx, answer, pass: (...taken) => this.pass(...taken) };
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
    this.tcp = new TcpPort(ctx, config, {
      alpn: ["http/1.1"],
      // A client may close its sending side and still wait for the answer.
      allowHalfOpen: true,
      onSocket: (socket) => this.handleSocket(socket),
      onRefused: (socket) => this.refuseSocket(socket),
    });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    this.messages.stop();
    const { server, app, webSocket, tcp, scope } = this;
    this.server = this.app = this.webSocket = this.bound = this.tcp = undefined;
    await tcp?.close();
    for (const connection of [...this.ctx.connections.connections()]) {
      if (connection.scope === scope) (connection as HttpConnection).destroy();
    }
    server?.closeAllConnections();
    server?.close();
    await app?.close();
    await webSocket?.stop();
  }

  handleSocket(socket: Socket, head?: Buffer): void {
    const connection = new HttpConnection(this.scope, socket);
    this.ctx.connections.add(connection);
    connection.direct = new DirectRequests(this.direct, connection, socket);
    connection.direct.serve(head);
  }

  /** The first bytes are as good as the whole request: the answer is the same. */
  refuseSocket(socket: Socket, head?: Buffer): void {
    const error = new AppError("limit.connections", "there are too many connections");
    const answer = this.direct.answer.problem(problemOf(error), this.ctx.clock.wallMs(), false);
    this.ctx.connections.turnedAway.tell(socket, () => Buffer.from(answer), head);
  }

  /** What is no plain request is the library's, and so is all that comes after it. */
  private pass(connection: HttpConnection, socket: Socket, rest: Buffer): void {
    socket.once("close", () => connection.closed());
    if (socket.readableEnded) {
      // Nothing can be put back any more: the library is told as the socket would have told it.
      this.server!.emit("connection", socket);
      socket.emit("data", rest);
      socket.emit("end");
      return;
    }
    socket.unshift(rest);
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
      addRoutes(app, ADMIN_ROUTES, adminHandlers(ctx));
      addRoutes(app, ALARM_ROUTES, alarmHandlers(ctx));
      addRoutes(app, APP_ROUTES, appHandlers(ctx));
      addRoutes(app, COMMAND_ROUTES, commandHandlers(ctx));
      addRoutes(app, FLOW_ROUTES, flowHandlers(ctx));
      addRoutes(app, HISTORY_ROUTES, historyHandlers(ctx));
      void app.register(async (scope) => {
        scope.addContentTypeParser("text/csv", (_request, payload, done) => done(null, payload));
        addRoutes(scope, REGISTRY_ROUTES, registryHandlers(ctx));
      });
      addRoutes(app, SHADOW_ROUTES, shadowHandlers(ctx));
      addRoutes(app, DEVICE_ROUTES, {
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
      // Refused by us, in our terms.
      requireHostHeader: false,
    };
    const onRequest: RequestListener = (request, response) => {
      const connection = connectionOf(request.socket);
      connection.busy += 1;
      if (connection.leaving) response.setHeader("connection", "close");
      response.on("close", () => connection.answered());
      const { origin } = request.headers;
      if (!namesOneHost(request)) this.refuseHost(response);
      else if (origin === undefined || this.allowsOrigin(origin)) handler(request, response);
      else this.refusePage(response);
    };
    const server = createServer(options, onRequest);
    server.setTimeout(config.keepAliveTimeout);
    // Whoever has closed its sending side still gets its answers; the library's types do not know this old switch.
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    // It looks at the deadlines of requests only once it has heard that it listens, which it never does.
    server.emit("listening");
    server.on("upgrade", (request, socket, head) => this.upgrade(request, socket, head));
    server.on("connect", (_request, socket) => this.refuseProxying(socket));
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.clientError(error, socket));
    return server;
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
    this.refuseAtOnce(response, error);
  }

  private refuseHost(response: ServerResponse): void {
    this.ctx.metrics.malformed.add("http,host");
    this.refuseAtOnce(response, new AppError("protocol.malformed", "a request names one host"));
  }

  private refuseAtOnce(response: ServerResponse, error: AppError): void {
    const { status, body } = problemOf(error);
    response.writeHead(status, { "content-type": PROBLEM_TYPE, connection: "close" }).end(body);
  }

  private refuseProxying(socket: Duplex): void {
    const error = new AppError("protocol.unsupported", "CONNECT is not spoken here");
    this.ctx.metrics.malformed.add("http,method");
    socket.end(this.direct.answer.problem(problemOf(error, 405), this.ctx.clock.wallMs(), false));
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
    socket.end(this.direct.answer.problem(problemOf(problem, status), this.ctx.clock.wallMs(), false));
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
    this.send(reply, problemOf(error, declared, extensionsOf(error)));
  }

  private send(reply: FastifyReply, problem: ReturnType<typeof problemOf>): void {
    void reply.code(problem.status).headers(problem.headers).type(PROBLEM_TYPE).send(problem.body);
  }
}

/** Further members of a problem: the field that is wrong, and what a handler has added. */
function extensionsOf(error: AppError): Readonly<Record<string, unknown>> {
  const { extensions } = error as { readonly extensions?: Readonly<Record<string, unknown>> };
  const path = error.details?.path;
  return { ...(typeof path === "string" && { path }), ...extensions };
}

/** RFC 9112, 3.2: with two of them, a proxy before us and we could see two different hosts. */
function namesOneHost({ rawHeaders, httpVersionMinor }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === "host") hosts += 1;
  return hosts === 1 || (hosts === 0 && httpVersionMinor === 0);
}

function scopeOf(config: HttpConfig, ctx: ProtocolContext): HttpScope {
  return {
    checkHost: hostCheck(config.origins),
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
