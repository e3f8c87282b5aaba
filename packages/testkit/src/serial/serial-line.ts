/** Two serial ports with a line between them that is as slow as a real one, and hurts frames when told to. */
import { createServer, type Server, type Socket } from "node:net";
import { AppError } from "@myelin/kernel";
import { findProgram } from "../environment.js";
import { type ManagedProcess, startProcess } from "../process/managed-process.js";
import { type TempDir, tempDir } from "../temp-dir.js";
import { waitFor } from "../wait-for.js";

/** What the line makes of the bytes that one end has sent at once: what the other end gets, in order. */
export type LineFault = (bytes: Buffer, from: "a" | "b") => readonly Buffer[];

/** How fast the line is; without a speed bytes take no time. */
export interface SerialLineOptions {
  readonly bitsPerSecond?: number;
  readonly bitsPerByte?: number;
}

const NO_FAULT: LineFault = (bytes) => [bytes];
// Below this a timer is too coarse; the event loop turns instead.
const SPIN_MS = 2;

/**
 * Starts both ports, made by socat. Guard tests that call it with `requires.program("socat")`.
 * @throws AppError `setup.missing_tool` where socat is missing.
 */
export async function startSerialLine(options: SerialLineOptions = {}): Promise<SerialLine> {
  const command = findProgram("socat");
  if (command === undefined) throw new AppError("setup.missing_tool", "socat is not installed");
  const dir = await tempDir("serial");
  const line = new SerialLine(command, dir, options);
  try {
    await line.start();
    return line;
  } catch (error) {
    await line[Symbol.asyncDispose]();
    throw error;
  }
}

/** Get one from `startSerialLine`. */
export class SerialLine implements AsyncDisposable {
  /** Device files of the two ends. */
  readonly a: string;
  readonly b: string;
  /** What happens to bytes on their way; may be set at any time. */
  fault: LineFault = NO_FAULT;
  readonly #command: string;
  readonly #dir: TempDir;
  readonly #msPerByte: number;
  readonly #ends = new Map<"a" | "b", Socket>();
  readonly #servers: Server[] = [];
  readonly #ports = new Map<"a" | "b", ManagedProcess>();
  readonly #freeAtMs = { a: 0, b: 0 };

  constructor(command: string, dir: TempDir, { bitsPerSecond, bitsPerByte = 10 }: SerialLineOptions) {
    this.#command = command;
    this.#dir = dir;
    this.a = dir.join("a");
    this.b = dir.join("b");
    this.#msPerByte = bitsPerSecond === undefined ? 0 : (1000 * bitsPerByte) / bitsPerSecond;
  }

  /** Called by `startSerialLine`. */
  async start(): Promise<void> {
    for (const end of ["a", "b"] as const) {
      const server = createServer((socket) => this.#attach(end, socket));
      await new Promise<void>((resolve) => server.listen(this.#dir.join(`${end}.sock`), resolve));
      this.#servers.push(server);
      await this.plug(end);
    }
  }

  /** Takes a port away, as when its adapter is pulled. */
  async unplug(end: "a" | "b"): Promise<void> {
    await this.#ports.get(end)?.kill("SIGTERM");
  }

  /** Brings it (back), under the same name. */
  async plug(end: "a" | "b"): Promise<void> {
    const port = this.#ports.get(end);
    if (port !== undefined) await port[Symbol.asyncDispose]();
    this.#ends.delete(end);
    const pty = `pty,raw,echo=0,ignoreeof,link=${this.#dir.join(end)}`;
    const socket = `unix-connect:${this.#dir.join(`${end}.sock`)}`;
    this.#ports.set(
      end,
      await startProcess({ name: `socat ${end}`, command: this.#command, args: ["-b1024", pty, socket] }),
    );
    await waitFor(() => this.#ends.has(end) || undefined, { what: `port ${end} to be there` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const port of this.#ports.values()) await port[Symbol.asyncDispose]();
    for (const socket of this.#ends.values()) socket.destroy();
    for (const server of this.#servers) server.close();
    await this.#dir[Symbol.asyncDispose]();
  }

  #attach(end: "a" | "b", socket: Socket): void {
    this.#ends.set(end, socket);
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      for (const piece of this.fault(bytes, end)) this.#carry(end === "a" ? "b" : "a", piece);
    });
  }

  // All of a piece arrives when its last bit does: what a port hands over in one read.
  #carry(to: "a" | "b", bytes: Buffer): void {
    const startMs = Math.max(performance.now(), this.#freeAtMs[to]);
    const endMs = startMs + bytes.length * this.#msPerByte;
    this.#freeAtMs[to] = endMs;
    at(endMs, () => this.#ends.get(to)?.write(bytes));
  }
}

function at(timeMs: number, action: () => void): void {
  const leftMs = timeMs - performance.now();
  if (leftMs <= 0) action();
  else if (leftMs > SPIN_MS) setTimeout(() => at(timeMs, action), leftMs - SPIN_MS);
  else setImmediate(() => at(timeMs, action));
}
