/** Connections over a limit of the process: told so in the terms of what they speak, then closed. */
import type { Socket } from "node:net";
import type { Clock, Timer } from "@myelin/kernel";

/** From the connection to its end: the handshake of TLS, what the client says first, the answer, and the client's own close. */
const DEADLINE_MS = 2_000;
const MAX_AT_A_TIME = 256;
const MAX_HEAD_BYTES = 16 * 1024;

/**
 * Finds the answer in what a client has said so far. `more`: it cannot be told yet; undefined: there is no answer to this, and the connection
 * is closed.
 */
export type Refusing = (head: Buffer) => Uint8Array | "more" | undefined;

/** One per process. They hold no place among the connections; so many at a time bound what they cost, the rest is closed unheard. */
export class TurnedAway {
  private readonly sockets = new Map<Socket, Timer>();

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.sockets.size;
  }

  /** False: too many are being told already. True: it is closed when its time is over, whatever becomes of it until then. */
  admit(socket: Socket): boolean {
    if (this.sockets.size >= MAX_AT_A_TIME || socket.destroyed) return false;
    this.sockets.set(socket, this.clock.setTimeout(() => socket.destroy(), DEADLINE_MS).unref());
    socket.on("error", onError);
    socket.once("close", () => {
      this.clock.clear(this.sockets.get(socket));
      this.sockets.delete(socket);
    });
    return true;
  }

  /** Of one that was admitted, or what TLS has found in it. `head` was read of it already. */
  tell(socket: Socket, refusing: Refusing, head: Buffer = Buffer.alloc(0)): void {
    let said = head;
    let answered = false;
    const answer = (): void => {
      const found = refusing(said);
      if (found === "more" && said.length < MAX_HEAD_BYTES) return;
      answered = true;
      // The client's own close is awaited: unread bytes would make ours a reset, which takes the answer with it.
      if (found instanceof Uint8Array) socket.end(found);
      else socket.destroy();
    };
    socket.on("error", onError);
    socket.on("data", (chunk: Buffer) => {
      if (answered) return;
      said = said.length === 0 ? chunk : Buffer.concat([said, chunk]);
      answer();
    });
    socket.on("end", () => {
      if (!answered) socket.destroy();
    });
    if (head.length > 0) answer();
    if (socket.isPaused()) socket.resume();
  }

  stop(): void {
    for (const socket of this.sockets.keys()) socket.destroy();
  }
}

// A broken connection is told by `close`, which always follows.
function onError(): void {}
