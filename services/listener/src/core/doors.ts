/** The listening sockets of the process: closed while it is full, so that the other workers on the same ports take what comes. */
import { type ListenOptions, Server, type Socket } from "node:net";
import type { Clock, Timer } from "@myelin/kernel";

const REOPEN_MS = 1_000;
/** So much must be free again, lest one connection that comes and goes makes all ports open and close. */
const SLACK = 0.02;

/** Counts the sockets of all servers together; `maxSockets` comes from the process's limit of file descriptors. */
export class Doors {
  /** How often the process has been full. */
  closings = 0;
  private readonly servers = new Map<Server, ListenOptions>();
  private sockets = 0;
  private shut = false;
  private timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly maxSockets: number,
  ) {}

  /** From here on the server's sockets count, and it is closed and opened with the others; `options` are those it listens with. */
  add(server: Server, options: ListenOptions): void {
    this.servers.set(server, options);
    server.on("connection", this.onConnection);
    if (this.shut) stopListening(server);
  }

  /** The server's sockets count, but it stays open: what only processes of this machine reach, one of which may be needed to see what is wrong. */
  count(server: Server): void {
    server.on("connection", this.onConnection);
  }

  /** To be called before the server is closed for good. */
  remove(server: Server): void {
    this.servers.delete(server);
  }

  private readonly onConnection = (socket: Socket): void => {
    this.sockets++;
    socket.on("close", this.onClose);
    if (this.sockets >= this.maxSockets && !this.shut) this.close();
  };

  private readonly onClose = (): void => {
    this.sockets--;
    if (this.shut && this.sockets <= this.maxSockets - Math.max(1, this.maxSockets * SLACK)) this.open();
  };

  private close(): void {
    this.shut = true;
    this.closings++;
    // After this turn, in which the system's queue of accepted connections is emptied: what is left in it is reset.
    setImmediate(() => {
      if (!this.shut) return;
      for (const server of this.servers.keys()) stopListening(server);
    });
  }

  private open(): void {
    this.shut = false;
    let missing = false;
    for (const [server, options] of this.servers) {
      if (server.listening) continue;
      server.listen(options);
      missing = true;
    }
    // Whether they do listen shows later; somebody else may have taken the port meanwhile.
    if (!missing || this.timer !== undefined) return;
    this.timer = this.clock.setTimeout(() => {
      this.timer = undefined;
      if (!this.shut) this.open();
    }, REOPEN_MS);
    this.timer.unref();
  }
}

/** Not `server.close()`: that of an HTTP server ends connections that are idle between two requests. */
function stopListening(server: Server): void {
  Server.prototype.close.call(server);
}
