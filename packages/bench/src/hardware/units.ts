/** Modbus TCP units with holding registers whose values change at each read. */
import { createServer, type Server, type Socket } from "node:net";

const HEADER = 6;
/** Header, unit, function, address, quantity. */
const REQUEST = 12;
const READ_HOLDING = 3;
const MOST_REGISTERS = 125;
/** So many reads later a register has a value that it had before. */
const VALUES = 30_000;

/** Register values 0, 1, 2, … as they stand in frames; a reply is a part of it. */
const VALUES_BYTES = Buffer.alloc(2 * (2 ** 16 + VALUES));
for (let i = 0; i < VALUES_BYTES.length / 2; i++) VALUES_BYTES.writeUInt16BE(i & 0xffff, 2 * i);

/**
 * The replies to the whole requests at the head of `bytes`, and how many bytes those are. A register's value is its address
 * plus `tick`. Anything but a read of 1 to 125 holding registers gets an exception; units in `silent` say nothing.
 */
export function answersTo(
  bytes: Buffer,
  tick: number,
  silent: ReadonlySet<number>,
): { readonly replies: readonly Buffer[]; readonly taken: number } {
  const replies: Buffer[] = [];
  let taken = 0;
  while (bytes.length - taken >= HEADER) {
    const end = taken + HEADER + bytes.readUInt16BE(taken + 4);
    if (bytes.length < end) break;
    const request = bytes.subarray(taken, end);
    taken = end;
    if (request.length > HEADER && !silent.has(request[HEADER] as number))
      replies.push(...replyTo(request, tick));
  }
  return { replies, taken };
}

function replyTo(request: Buffer, tick: number): readonly Buffer[] {
  const fn = request[7] ?? 0;
  const count = request.length === REQUEST ? request.readUInt16BE(10) : 0;
  const isRead = fn === READ_HOLDING && count >= 1 && count <= MOST_REGISTERS;
  const head = Buffer.alloc(9);
  request.copy(head, 0, 0, 4);
  head[6] = request[HEADER] as number;
  head[7] = isRead ? fn : fn | 0x80;
  head[8] = isRead ? 2 * count : fn === READ_HOLDING ? 3 : 1;
  head.writeUInt16BE(3 + (isRead ? 2 * count : 0), 4);
  if (!isRead) return [head];
  const from = 2 * (request.readUInt16BE(8) + (tick % VALUES));
  return [head, VALUES_BYTES.subarray(from, from + 2 * count)];
}

/** Any number of units on one port: each connection reaches all of them. */
export class Units implements AsyncDisposable {
  /** These say nothing, as if they had lost their power. */
  readonly silent = new Set<number>();
  /** How long they take to answer. */
  latencyMs = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #ticks = 0;

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** On a free port of loopback. */
  static async listen(): Promise<Units> {
    const units = new Units();
    const listening = Promise.withResolvers<void>();
    units.#server.once("error", listening.reject);
    units.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return units;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    // Who asks may be gone at any time; it asks again if it wants to know.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const { replies, taken } = answersTo(bytes, this.#ticks++, this.silent);
      rest = bytes.subarray(taken);
      if (replies.length === 0) return;
      const reply = replies.length === 1 ? replies[0]! : Buffer.concat(replies);
      if (this.latencyMs === 0) socket.write(reply);
      else setTimeout(() => socket.write(reply), this.latencyMs);
    });
  }
}
