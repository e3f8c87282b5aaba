/** Listens on a Unix socket for applications of this machine. */
import { chmod, stat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { AppError } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameServer, type FrameServerOptions } from "../frame-stream.js";
import { SocketStream } from "./socket-stream.js";

/** `mode` of the socket file: whoever may write it may be an application. */
export interface UdsServerOptions extends FrameServerOptions {
  readonly path: string;
  readonly mode?: number;
}

const DEFAULT_MODE = 0o600;
const DEFAULT_MAX_STREAMS = 1_000;
/** Linux and macOS hold the path in a fixed array. */
const MAX_PATH_BYTES = 103;

/** Creates the server; nothing is touched before `start`. */
export function createUdsServer(options: UdsServerOptions): FrameServer {
  return new UdsServer(options);
}

class UdsServer implements FrameServer {
  readonly name = "uds-server";
  readonly address: string;
  readonly #options: UdsServerOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: UdsServerOptions) {
    this.#options = options;
    this.address = `unix:${options.path}`;
  }

  get open(): number {
    return this.#sockets.size;
  }

  /** @throws AppError `config.invalid` for a path too long, `setup.port_in_use` when another process listens there, `setup.read_only` */
  async start(): Promise<void> {
    const { path, mode = DEFAULT_MODE } = this.#options;
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
      throw new AppError(
        "config.invalid",
        `the socket path ${path} is over ${MAX_PATH_BYTES} bytes, which the system cannot bind`,
      );
    }
    await removeStale(path);
    const server = createServer({ pauseOnConnect: false }, (socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const code = cause.code === "EADDRINUSE" ? "setup.port_in_use" : "setup.read_only";
        reject(new AppError(code, `cannot listen on the Unix socket ${path}`, { cause }));
      });
      server.listen(path, resolve);
    });
    await chmod(path, mode);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= (this.#options.maxStreams ?? DEFAULT_MAX_STREAMS)) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#options.onStream(
      new SocketStream(socket, "unix", this.#options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES),
    );
  }
}

/** A socket file nobody listens on is left over from a killed process and goes; one that answers is someone's. */
async function removeStale(path: string): Promise<void> {
  try {
    if (!(await stat(path)).isSocket()) {
      throw new AppError("setup.port_in_use", `${path} exists and is no socket`);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (answers) throw new AppError("setup.port_in_use", `another process listens on ${path}`);
  await unlink(path);
}
