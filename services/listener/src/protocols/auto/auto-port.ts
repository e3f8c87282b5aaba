/** One port for all: looks at the first bytes, ends TLS where it is spoken, and hands the connection over. */
import type { Socket } from "node:net";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { Timer } from "@myelin/kernel";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { TcpPort } from "../../core/tcp-port.js";
import { tlsOptions } from "../../core/tls.js";
import type { AutoConfig } from "./config.js";
import { MAX_SNIFF_BYTES, sniff } from "./sniff.js";

type Kind = "http" | "mqtt" | "mcp";

/** Kinds of ports that serve what is found. */
const PORT_OF = { http: "http", mqtt: "mqtt", mcp: "tcp" } as const satisfies Record<Kind, string>;
/** What a port that is imitated cannot say here: TLS is ended before, and what was found in the first bytes is MCP. */
const OWN = { tls: undefined, framing: "mcp" } as const;

export class AutoPort implements ProtocolPort {
  readonly name: string;
  bound: { readonly host: string; readonly port: number } | undefined;
  private readonly ports = new Map<Kind, ProtocolPort>();
  private readonly undecided = new Set<Undecided>();
  private tcp: TcpPort | undefined;
  private secure: SecureContext | undefined;

  constructor(
    readonly config: AutoConfig,
    readonly ctx: ProtocolContext,
  ) {
    this.name = `auto/${ctx.port}`;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` */
  async start(signal: AbortSignal): Promise<void> {
    const { config, ctx } = this;
    for (const kind of ["http", "mqtt", "mcp"] as const) {
      const protocol = PORT_OF[kind];
      const like = config.like[protocol];
      const port = await (like === "" ? ctx.embed(protocol) : ctx.embedLike(protocol, like, OWN));
      await port.start(signal);
      this.ports.set(kind, port);
    }
    if (config.tls !== undefined) this.secure = createSecureContext(tlsOptions(config.tls));
    if (!ctx.listen) return;
    this.tcp = new TcpPort({
      host: config.host,
      port: config.port,
      connections: ctx.connections,
      onSocket: (socket) => this.look(socket),
    });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    await this.tcp?.close();
    this.tcp = this.bound = undefined;
    for (const undecided of [...this.undecided]) undecided.giveUp("drain");
    await Promise.allSettled([...this.ports.values()].map((port) => port.stop()));
    this.ports.clear();
  }

  handleSocket(socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    this.look(socket);
  }

  private look(socket: Socket): void {
    if (this.undecided.size >= this.config.maxUndecided) {
      this.refuse("undecided");
      socket.destroy();
      return;
    }
    this.undecided.add(new Undecided(this, socket, false));
  }

  /** Why a connection is closed before it was anybody's. */
  refuse(reason: string): void {
    this.ctx.metrics.malformed.add(`auto,${reason}`);
  }

  /** The first bytes are there. */
  decided(undecided: Undecided, kind: Kind, head: Buffer): void {
    this.undecided.delete(undecided);
    this.ports.get(kind)!.handleSocket!(undecided.socket, head);
  }

  /** TLS: what is inside is looked at again. Its handshake counts on the same deadline. */
  startTls(undecided: Undecided, head: Buffer): void {
    this.undecided.delete(undecided);
    if (this.secure === undefined) {
      this.refuse("tls_without_certificate");
      undecided.socket.destroy();
      return;
    }
    const { socket } = undecided;
    socket.unshift(head);
    const { requestCert, rejectUnauthorized } = tlsOptions(this.config.tls!);
    const inner = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.secure,
      requestCert: requestCert ?? false,
      rejectUnauthorized: rejectUnauthorized ?? false,
    });
    // A client that its certificate does not let in must not be read: the library leaves that to the owner of the socket.
    inner.once("secure", () => {
      if (rejectUnauthorized !== true || inner.authorized) return;
      this.refuse("certificate");
      inner.destroy();
    });
    this.undecided.add(new Undecided(this, inner, true));
  }

  gone(undecided: Undecided): void {
    this.undecided.delete(undecided);
  }
}

/** A connection that has not shown what it speaks. Keeps MAX_SNIFF_BYTES beyond one chunk at most. */
class Undecided {
  private head: Buffer = Buffer.alloc(0);
  private readonly timer: Timer;

  constructor(
    private readonly port: AutoPort,
    readonly socket: Socket,
    private readonly inner: boolean,
  ) {
    const { clock } = port.ctx;
    this.timer = clock.setTimeout(() => this.giveUp("first_packet"), port.config.firstPacketTimeout).unref();
    socket.on("data", this.onData);
    socket.on("close", this.onClose);
    socket.on("error", this.onError);
  }

  giveUp(reason: string): void {
    this.port.refuse(reason);
    this.letGo();
    this.port.gone(this);
    this.socket.destroy();
  }

  private readonly onData = (chunk: Buffer): void => {
    this.head = this.head.length === 0 ? chunk : Buffer.concat([this.head, chunk]);
    const found = sniff(this.head.subarray(0, MAX_SNIFF_BYTES));
    if (found === "more") return;
    if (found === "unknown" || (found === "tls" && this.inner)) {
      this.giveUp("unknown");
      return;
    }
    const { head } = this;
    this.letGo();
    // Nobody listens between here and the next owner: what comes must wait in the socket.
    this.socket.pause();
    if (found === "tls") this.port.startTls(this, head);
    else this.port.decided(this, found, head);
  };

  private readonly onClose = (): void => {
    this.letGo();
    this.port.gone(this);
  };

  // A broken connection is told by `close`, which always follows.
  private readonly onError = (): void => {
    if (this.inner) this.port.refuse("tls_handshake");
  };

  private letGo(): void {
    this.port.ctx.clock.clear(this.timer);
    this.socket.off("data", this.onData);
    this.socket.off("close", this.onClose);
    this.socket.off("error", this.onError);
  }
}
