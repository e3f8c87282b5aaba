/** One HTTP connection as the manager counts it: limits, rate, congestion; the deadlines are the server's own. */
import type { Socket } from "node:net";
import type { Identity } from "../../core/admission.js";
import { Connection, type ConnectionScope, type DisconnectReason } from "../../core/connection.js";

const CONNECTION = Symbol("connection");

interface ServedSocket extends Socket {
  [CONNECTION]?: HttpConnection;
}

/** The connection of a socket that the port has accepted. */
export function connectionOf(socket: Socket): HttpConnection {
  return (socket as ServedSocket)[CONNECTION]!;
}

export class HttpConnection extends Connection {
  /** Requests under way. */
  busy = 0;
  /** Who spoke last, so that a device that sends request after request is asked for once. */
  known: { readonly key: string; readonly generation: number; readonly identity: Identity } | undefined =
    undefined;
  private ending: DisconnectReason = "client";
  private waiters: (() => void)[] | undefined = undefined;

  constructor(
    scope: ConnectionScope,
    private readonly socket: Socket,
  ) {
    super(scope, socket.remoteAddress ?? "");
    (socket as ServedSocket)[CONNECTION] = this;
  }

  /** Resolves when what held the connection up is over, or the connection is. */
  async free(): Promise<void> {
    if (this.held === 0 || this.gone) return;
    await new Promise<void>((resolve) => {
      this.waiters ??= [];
      this.waiters.push(resolve);
    });
  }

  override disconnect(reason: DisconnectReason): void {
    this.ending = reason;
    // A request under way is answered; its answer closes the connection.
    if (this.busy === 0 || reason !== "drain") this.socket.destroy();
  }

  /** The socket is gone, or speaks another protocol from here on. */
  closed(): void {
    if (this.gone) return;
    this.scope.manager.remove(this, this.ending);
    this.wake();
  }

  /** Drained while a request was under way. */
  get leaving(): boolean {
    return this.ending === "drain";
  }

  override onWheel(): number {
    return 0;
  }

  // Reading stops because the handler does not ask for more, see `free`.
  protected pauseReading(): void {}

  protected resumeReading(): void {
    this.wake();
  }

  private wake(): void {
    const { waiters } = this;
    this.waiters = undefined;
    for (const resolve of waiters ?? []) resolve();
  }
}
