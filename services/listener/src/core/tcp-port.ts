/**
 * A listening socket for every stream protocol, shared with the other worker processes. Between it and the protocol lie, where they are set: the
 * PROXY protocol, then TLS.
 */
import { createServer, type Server, type Socket } from "node:net";
import { AppError, sharesPorts } from "@myelin/kernel";
import type { TransportRefusal } from "./connection-manager.js";
import type { ProtocolContext } from "./protocol.js";
import { ProxiedSockets } from "./proxied-sockets.js";
import { addressOf, knowPeer, UNIX_PEER } from "./socket-peer.js";
import { TlsGate } from "./tls-gate.js";
import type { TransportSettings } from "./transport.js";
import { UnixDoor } from "./unix-door.js";

export interface TcpPortOptions {
  /** True: a client that has closed its sending side may still be written to, and is closed by the owner. */
  readonly allowHalfOpen?: boolean;
  /** Names for TLS's negotiation of the protocol inside, best first; left out, nothing is negotiated. */
  readonly alpn?: readonly string[];
  /**
   * Called for each connection that the limits allow; owns the socket from then on. With TLS after the handshake. The socket may be
   * paused, with bytes in it: `serveSocket` resumes it. Ask `addressOf` for the client's address.
   */
  readonly onSocket: (socket: Socket) => void;
  /**
   * Called as `onSocket` for connections that the limits do not allow, so many at a time as `TurnedAway` takes; tells them so by it. Left out,
   * they are closed.
   */
  readonly onRefused?: (socket: Socket, refusal: TransportRefusal) => void;
}

const BACKLOG = 4096;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Bound on `listen`; what it accepted lives on after `close`. */
export class TcpPort {
  private server: Server | undefined;
  private unix: UnixDoor | undefined;
  private proxied: ProxiedSockets | undefined;
  private gate: TlsGate | undefined;

  constructor(
    private readonly ctx: ProtocolContext,
    private readonly settings: TransportSettings,
    private readonly options: TcpPortOptions,
  ) {}

  /**
   * @throws AppError `setup.port_in_use`, `setup.port_forbidden`; `config.invalid` for a certificate that cannot be served, or proxies that are
   * no addresses
   */
  async listen(): Promise<{ host: string; port: number }> {
    const { settings, options, ctx } = this;
    const { host, port, path = "", mode = "0660", proxyProtocol = "off", tls } = settings;
    if (path !== "" && tls !== undefined) {
      throw new AppError("config.invalid", `the Unix socket ${path} speaks plain text, leave tls out`);
    }
    const { clock, log, connections } = ctx;
    const onRefused = (reason: string): void => connections.noteRefused(reason);
    if (proxyProtocol !== "off") {
      const trusted = settings.trustedProxies ?? [];
      const onSocket = (socket: Socket): void => this.admit(socket);
      this.proxied = new ProxiedSockets({ mode: proxyProtocol, trusted, clock, onRefused, onSocket });
    }
    if (tls !== undefined) {
      const { alpn = [] } = options;
      this.gate = new TlsGate(ctx, {
        settings: tls,
        alpn,
        handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
        onRefused,
      });
      this.gate.start();
    }
    const server = createServer(
      {
        allowHalfOpen: options.allowHalfOpen ?? false,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 60_000,
      },
      (socket) => this.accept(socket),
    );
    this.server = server;
    if (path !== "") {
      connections.doors.count(server);
      this.unix = new UnixDoor(server, { path, mode, backlog: BACKLOG, clock, log });
      await this.unix.open();
      server.on("error", ignore);
      return { host: path, port: 0 };
    }
    const bound = await listenOn(server, host, port);
    const reusePort = port !== 0 && sharesPorts();
    connections.doors.add(server, { host, port: bound, backlog: BACKLOG, reusePort });
    return { host, port: bound };
  }

  /** Stops accepting. Open connections are their owners' business, but for those that are nobody's yet. */
  async close(): Promise<void> {
    const { server, unix, proxied, gate } = this;
    this.server = this.unix = this.proxied = this.gate = undefined;
    proxied?.stop();
    gate?.stop();
    if (server === undefined) return;
    if (unix !== undefined) {
      await unix.close();
      return;
    }
    this.ctx.connections.doors.remove(server);
    // Calls back only when all connections are gone; the port itself is closed at once.
    server.close();
  }

  private accept(socket: Socket): void {
    if (this.unix !== undefined) knowPeer(socket, { address: UNIX_PEER });
    if (this.proxied === undefined) this.admit(socket);
    else this.proxied.take(socket);
  }

  private admit(socket: Socket): void {
    const refusal = this.ctx.connections.refusalOf(addressOf(socket));
    if (refusal !== undefined) this.turnAway(socket, refusal, this.gate);
    else if (this.gate === undefined) this.options.onSocket(socket);
    else this.gate.secure(socket, (secured) => this.onSecured(secured));
  }

  /** Many may have come in while hands were shaken. */
  private onSecured(socket: Socket): void {
    const refusal = this.ctx.connections.refusalOf(addressOf(socket));
    if (refusal !== undefined) this.turnAway(socket, refusal, undefined);
    else this.options.onSocket(socket);
  }

  private turnAway(socket: Socket, refusal: TransportRefusal, gate: TlsGate | undefined): void {
    const { onRefused } = this.options;
    if (onRefused === undefined || !this.ctx.connections.turnedAway.admit(socket)) socket.destroy();
    else if (gate === undefined) onRefused(socket, refusal);
    else gate.secure(socket, (secured) => onRefused(secured, refusal));
  }
}

async function listenOn(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(bindError(cause, host, port)));
    server.listen({ host, port, backlog: BACKLOG, reusePort: port !== 0 && sharesPorts() }, resolve);
  });
  server.removeAllListeners("error");
  // Accepting may fail for want of descriptors: the connection waits in the backlog and the loop tries again.
  server.on("error", ignore);
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

function ignore(): void {}

function bindError(cause: NodeJS.ErrnoException, host: string, port: number): AppError {
  if (cause.code === "EACCES") {
    return new AppError("setup.port_forbidden", `may not listen on ${host}:${port}`, { cause });
  }
  return new AppError(
    "setup.port_in_use",
    `cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`,
    {
      cause,
    },
  );
}
