/** A listening TCP or TLS socket shared with the other worker processes, for every stream protocol. */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { AppError, sharesPorts } from "@myelin/kernel";
import type { ConnectionManager } from "./connection-manager.js";
import { type TlsSettings, tlsOptions } from "./tls.js";

export interface TcpPortOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Present: TLS. */
  readonly tls?: TlsSettings | undefined;
  /** True: a client that has closed its sending side may still be written to, and is closed by the owner. */
  readonly allowHalfOpen?: boolean;
  readonly connections: ConnectionManager;
  /** Called for each connection that the limits allow; owns the socket from then on. For TLS after the handshake. */
  readonly onSocket: (socket: Socket) => void;
}

const BACKLOG = 4096;

/** Bound on `start`; closes what it accepted on `stop`. */
export class TcpPort {
  private server: Server | undefined;

  constructor(private readonly options: TcpPortOptions) {}

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` */
  async listen(): Promise<{ host: string; port: number }> {
    const { host, port, tls, onSocket, connections, allowHalfOpen = false } = this.options;
    const settings = { allowHalfOpen, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
    const accept = (socket: Socket): void => {
      if (connections.refusalOf(socket.remoteAddress ?? "") !== undefined) {
        socket.destroy();
        return;
      }
      onSocket(socket);
    };
    const server =
      tls === undefined
        ? createServer(settings, accept)
        : createTlsServer({ ...tlsOptions(tls), ...settings }, accept);
    // A client that breaks off its handshake is no event; the socket is closed already.
    if (tls !== undefined) server.on("tlsClientError", ignore);
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => reject(bindError(cause, host, port)));
      server.listen({ host, port, backlog: BACKLOG, reusePort: port !== 0 && sharesPorts() }, resolve);
    });
    server.removeAllListeners("error");
    // Accepting may fail for want of descriptors: the connection waits in the backlog and the loop tries again.
    server.on("error", ignore);
    const address = server.address();
    const bound = typeof address === "object" && address !== null ? address.port : port;
    const reusePort = port !== 0 && sharesPorts();
    connections.doors.add(server, { host, port: bound, backlog: BACKLOG, reusePort });
    return { host, port: bound };
  }

  /** Stops accepting. Open connections are their owners' business. */
  async close(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    if (server === undefined) return;
    this.options.connections.doors.remove(server);
    await new Promise<void>((resolve) => {
      // Resolves only when all connections are gone; the port itself is closed at once.
      server.close(() => resolve());
      resolve();
    });
  }
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
