/** Reads the PROXY protocol of new connections before anybody else reads them. */
import { BlockList, isIPv6, type Socket } from "node:net";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import { isLoopback } from "./addresses.js";
import {
  isProxyHeader,
  mayBeProxyHeader,
  type ProxyFault,
  type ProxyMode,
  readProxyHeader,
} from "./proxy-protocol.js";
import { addressOf, knowPeer, UNIX_PEER } from "./socket-peer.js";

const HEADER_TIMEOUT_MS = 5_000;
/** Connections that have not sent their header; more are closed at once. */
const MAX_PENDING = 10_000;

/** Why a connection is closed before it was anybody's; metric labels. */
export type ProxyRefusal = ProxyFault | "proxy_untrusted" | "proxy_timeout" | "proxy_pending";

export interface ProxiedSocketsOptions {
  readonly mode: Exclude<ProxyMode, "off">;
  /** Addresses, or networks such as `10.0.0.0/8`. Unix sockets are trusted: their file says who may connect. */
  readonly trusted: readonly string[];
  readonly clock: Clock;
  readonly onRefused: (reason: ProxyRefusal) => void;
  /** Gets the connection, unread, with the client's address known. */
  readonly onSocket: (socket: Socket) => void;
}

export class ProxiedSockets {
  private readonly trusted = new BlockList();
  private readonly pending = new Set<PendingHeader>();

  /** @throws AppError `config.invalid` for what is no address or network */
  constructor(readonly options: ProxiedSocketsOptions) {
    for (const text of options.trusted) addNetwork(this.trusted, text);
  }

  stop(): void {
    for (const header of this.pending) header.end();
    this.pending.clear();
  }

  take(socket: Socket): void {
    if (this.pending.size >= MAX_PENDING) {
      this.options.onRefused("proxy_pending");
      socket.destroy();
      return;
    }
    this.pending.add(new PendingHeader(this, socket, this.isTrusted(addressOf(socket))));
  }

  done(header: PendingHeader): void {
    this.pending.delete(header);
  }

  private isTrusted(address: string): boolean {
    if (address === UNIX_PEER) return true;
    return address !== "" && this.trusted.check(address, isIPv6(address) ? "ipv6" : "ipv4");
  }
}

/** Whoever is not trusted is looked at as well: a header of theirs must not be read as something else. */
class PendingHeader {
  private head: Buffer = Buffer.alloc(0);
  private readonly timer: Timer;

  constructor(
    private readonly owner: ProxiedSockets,
    private readonly socket: Socket,
    private readonly isTrusted: boolean,
  ) {
    this.timer = owner.options.clock
      .setTimeout(() => this.refuse("proxy_timeout"), HEADER_TIMEOUT_MS)
      .unref();
    socket.on("data", this.onData);
    socket.on("end", this.onEnd);
    socket.on("close", this.onClose);
    socket.on("error", onError);
  }

  end(): void {
    this.letGo();
    this.socket.destroy();
  }

  private refuse(reason: ProxyRefusal): void {
    this.owner.options.onRefused(reason);
    this.end();
  }

  private readonly onData = (chunk: Buffer): void => {
    this.head = this.head.length === 0 ? chunk : Buffer.concat([this.head, chunk]);
    if (this.isTrusted) this.readTrusted();
    else this.readUntrusted();
  };

  private readTrusted(): void {
    const { head, socket, owner } = this;
    const found = readProxyHeader(head, owner.options.mode);
    if (found === "more") return;
    if (typeof found === "string") {
      this.refuse(found);
      return;
    }
    const own = addressOf(socket);
    const { address = own, commonName } = found;
    // Loopback of another machine is not ours, and nobody from there is trusted as if they were here.
    const isForeign = isLoopback(address) && own !== UNIX_PEER && !isLoopback(own);
    knowPeer(socket, { address: isForeign ? own : address, commonName });
    this.handOver(head.subarray(found.bytes));
  }

  private readUntrusted(): void {
    const { head } = this;
    if (isProxyHeader(head)) this.refuse("proxy_untrusted");
    else if (!mayBeProxyHeader(head)) this.handOver(head);
  }

  private handOver(rest: Buffer): void {
    const { socket } = this;
    this.letGo();
    // Nobody listens between here and the next owner: what comes must wait in the socket.
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    this.owner.options.onSocket(socket);
  }

  private readonly onEnd = (): void => {
    if (this.isTrusted) this.refuse("proxy_missing");
    else this.end();
  };

  private readonly onClose = (): void => this.letGo();

  private letGo(): void {
    this.owner.options.clock.clear(this.timer);
    this.owner.done(this);
    this.socket.off("data", this.onData);
    this.socket.off("end", this.onEnd);
    this.socket.off("close", this.onClose);
    this.socket.off("error", onError);
  }
}

// A broken connection is told by `close`, which always follows.
function onError(): void {}

/** @throws AppError `config.invalid` */
function addNetwork(list: BlockList, text: string): void {
  const [address = "", prefix, more] = text.split("/");
  const family = isIPv6(address) ? "ipv6" : "ipv4";
  try {
    if (more !== undefined || (prefix !== undefined && !/^\d{1,3}$/.test(prefix))) throw new RangeError(text);
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  } catch (cause) {
    throw new AppError(
      "config.invalid",
      `trustedProxies: ${text} is no address or network such as 10.0.0.0/8`,
      { cause },
    );
  }
}
