/** One HTTP connection as the manager counts it: limits, rate, congestion; the deadlines are the server's own. */
import type { Socket } from "node:net";
import type { Channel } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ClientCertificate, Identity } from "../../core/admission.js";
import {
  Connection,
  type ConnectionScope,
  type DisconnectReason,
  HOLD,
  NOBODY,
} from "../../core/connection.js";
import { type ProtocolFacts, transportBytes } from "../../core/operations-facts.js";
import type { HostCheck } from "../../core/origins.js";
import { addressOf, certificateOf } from "../../core/socket-peer.js";
import type { DirectRequests } from "./direct-requests.js";

/** What the connections of one port share. */
export interface HttpScope extends ConnectionScope {
  readonly checkHost: HostCheck;
}

const CONNECTION = Symbol("connection");

interface ServedSocket extends Socket {
  [CONNECTION]?: HttpConnection;
}

/** Whom admission has let in, and by what. */
interface KnownSender {
  readonly deviceId: string;
  /** Value of Authorization. */
  readonly header: string;
  readonly generation: number;
  readonly identity: Identity;
}

/** The channel of the last request of one reading after the other, and what it was found by. */
interface KnownChannel {
  readonly generation: number;
  readonly identity: Identity;
  readonly path: string;
  readonly lane: number;
  readonly contentType: string;
  readonly channel: Channel;
}

/** The connection of a socket that the port has accepted. */
export function connectionOf(socket: Socket): HttpConnection {
  return (socket as ServedSocket)[CONNECTION]!;
}

export class HttpConnection extends Connection {
  declare readonly scope: HttpScope;
  /** Requests under way. */
  busy = 0;
  /** Reads and answers as long as the requests are plain; after that the library does, for good. */
  direct: DirectRequests | undefined = undefined;
  /** Who spoke last, so that a device that sends request after request is asked for once. */
  known: KnownSender | undefined = undefined;
  /** Most devices post to one path: found by comparison instead of a look-up by all that names a channel. */
  lastChannel: KnownChannel | undefined = undefined;
  private ending: DisconnectReason = "client";
  private waiters: Set<() => void> | undefined = undefined;

  constructor(
    scope: HttpScope,
    private readonly socket: Socket,
  ) {
    super(scope, addressOf(socket));
    (socket as ServedSocket)[CONNECTION] = this;
  }

  /**
   * Resolves when what held the connection up is over, or the connection is. Being too fast ends by itself; congestion may not.
   * @throws AppError `bus.timeout` when it has not ended in `timeoutMs`; `queue.closed` when this process takes nothing any more
   */
  async free(timeoutMs: number): Promise<void> {
    const { clock } = this.scope.manager;
    const deadlineMs = clock.nowMs() + timeoutMs;
    while (this.held !== 0 && !this.gone) {
      if ((this.held & HOLD.drain) !== 0) {
        throw new AppError("queue.closed", "this listener is stopping; send it again");
      }
      const isCongested = (this.held & ~HOLD.rate) !== 0;
      const leftMs = isCongested ? deadlineMs - clock.nowMs() : timeoutMs;
      if (leftMs <= 0) {
        throw new AppError("bus.timeout", `nothing could be taken in ${timeoutMs} ms; send it again later`);
      }
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(() => {
          this.waiters?.delete(wake);
          resolve();
        }, leftMs);
        const wake = (): void => {
          clock.clear(timer);
          resolve();
        };
        this.waiters ??= new Set();
        this.waiters.add(wake);
      });
    }
  }

  /** A request has been answered, or its client is gone. */
  answered(): void {
    this.busy -= 1;
    // Whoever drains waits for the connection, which nobody else ends while the client keeps it.
    if (this.leaving && this.busy === 0) this.socket.destroySoon();
  }

  override disconnect(reason: DisconnectReason): void {
    this.ending = reason;
    // A request under way is answered; its answer closes the connection. One that waits for its turn will not get it.
    this.wake();
    if (this.busy === 0 || reason !== "drain") this.socket.destroy();
  }

  get certificate(): ClientCertificate | undefined {
    return certificateOf(this.socket);
  }

  override facts(): ProtocolFacts {
    return transportBytes(this.socket);
  }

  /** Closes at once, whatever is under way. */
  destroy(): void {
    this.socket.destroy();
  }

  /** The socket is gone, or speaks another protocol from here on. */
  closed(): void {
    if (this.gone) return;
    // The device of the last request has not left: it has no session here.
    this.identity = NOBODY;
    this.scope.manager.remove(this, this.ending);
    this.wake();
  }

  /** Drained while a request was under way. */
  get leaving(): boolean {
    return this.ending === "drain";
  }

  /** The library has deadlines of its own. */
  override onWheel(now: number): number {
    const late = this.direct?.expire(now) ?? 0;
    if (late > 0) return late;
    return this.direct === undefined || this.gone ? 0 : super.onWheel(now);
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
