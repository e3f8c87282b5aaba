/** One port for all: looks at the first bytes, ends TLS where it is spoken, and hands the connection over. */
import type { Socket } from "node:net";
import type { Timer } from "@myelin/kernel";
import type { TransportRefusal } from "../../core/connection-manager.js";
import type { ProtocolContext, ProtocolPort } from "../../core/protocol.js";
import { TcpPort } from "../../core/tcp-port.js";
import { TlsGate } from "../../core/tls-gate.js";
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
  private gate: TlsGate | undefined;

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
    const { tls: settings, ...plain } = config;
    if (settings !== undefined) {
      this.gate = new TlsGate(ctx, {
        settings,
        alpn: ["mqtt", "http/1.1"],
        handshakeTimeoutMs: config.firstPacketTimeout,
        onRefused: (reason) => this.refuse(reason),
      });
      this.gate.start();
    }
    if (!ctx.listen) return;
    this.tcp = new TcpPort(ctx, plain, {
      onSocket: (socket) => this.look(socket),
      onRefused: (socket, refusal) => this.look(socket, { refusal }),
    });
    this.bound = await this.tcp.listen();
  }

  async stop(): Promise<void> {
    await this.tcp?.close();
    this.gate?.stop();
    this.tcp = this.bound = this.gate = undefined;
    for (const undecided of [...this.undecided]) undecided.giveUp("drain");
    await Promise.allSettled([...this.ports.values()].map((port) => port.stop()));
    this.ports.clear();
  }

  handleSocket(socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    this.look(socket);
  }

  private look(socket: Socket, known: Known = {}): void {
    if (this.undecided.size >= this.config.maxUndecided) {
      this.refuse("undecided");
      socket.destroy();
      return;
    }
    this.undecided.add(new Undecided(this, socket, known));
  }

  /** Why a connection is closed before it was anybody's. */
  refuse(reason: string): void {
    this.ctx.metrics.malformed.add(`auto,${reason}`);
  }

  /** The first bytes are there. */
  decided(undecided: Undecided, kind: Kind, head: Buffer): void {
    this.undecided.delete(undecided);
    const { socket, refusal } = undecided;
    const port = this.ports.get(kind)!;
    if (refusal === undefined) port.handleSocket!(socket, head);
    else if (port.refuseSocket === undefined) socket.destroy();
    else port.refuseSocket(socket, head, refusal);
  }

  /** TLS: what is inside is looked at again. Its handshake counts on the same deadline. */
  startTls(undecided: Undecided, head: Buffer): void {
    this.undecided.delete(undecided);
    if (this.gate === undefined) {
      this.refuse("tls_without_certificate");
      undecided.socket.destroy();
      return;
    }
    const { socket, untilMs, refusal } = undecided;
    socket.unshift(head);
    this.gate.secure(socket, (inner) => this.look(inner, { untilMs, refusal }));
  }

  gone(undecided: Undecided): void {
    this.undecided.delete(undecided);
  }
}

/** What is known of a connection before its first bytes. */
interface Known {
  /** When it must have shown what it speaks; left out, it has all the time there is. */
  readonly untilMs?: number;
  /** Set: there is no place for it, and it is to be told so. */
  readonly refusal?: TransportRefusal | undefined;
}

/** A connection that has not shown what it speaks. Keeps MAX_SNIFF_BYTES beyond one chunk at most. */
class Undecided {
  readonly untilMs: number;
  readonly refusal: TransportRefusal | undefined;
  private readonly inner: boolean;
  private head: Buffer = Buffer.alloc(0);
  private readonly timer: Timer;

  constructor(
    private readonly port: AutoPort,
    readonly socket: Socket,
    { untilMs, refusal }: Known,
  ) {
    const { clock } = port.ctx;
    const nowMs = clock.nowMs();
    this.refusal = refusal;
    this.inner = untilMs !== undefined;
    this.untilMs = untilMs ?? nowMs + port.config.firstPacketTimeout;
    this.timer = clock
      .setTimeout(() => this.giveUp("first_packet"), Math.max(0, this.untilMs - nowMs))
      .unref();
    socket.on("data", this.onData);
    socket.on("close", this.onClose);
    socket.on("error", onError);
    // Paused where somebody has looked at it before.
    if (socket.isPaused()) socket.resume();
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

  private letGo(): void {
    this.port.ctx.clock.clear(this.timer);
    this.socket.off("data", this.onData);
    this.socket.off("close", this.onClose);
    this.socket.off("error", onError);
  }
}

// A broken connection is told by `close`, which always follows.
function onError(): void {}
