/** Frames over a Unix socket. */
import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { AppError, listenError } from "@myelin/kernel";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_MAX_STREAMS,
  type FrameServer,
  type FrameServerOptions,
  SEND_HIGH_WATER_BYTES,
} from "../frame-stream.js";
import { SocketFrameStream } from "./socket-stream.js";

/** `mode` are the permissions of the socket's file: who may write to it may connect. */
export interface UdsServerOptions extends FrameServerOptions {
  readonly path: string;
  readonly mode?: number;
}

// The kernel's limit is 108 bytes with the ending zero; what is longer is cut silently.
const MAX_PATH_BYTES = 107;

// After a restart all apps come at once, and a full Unix socket refuses where TCP would wait. The kernel cuts this to its own limit.
const BACKLOG = 4_096;

/**
 * Listens on a path that is only this process's: a socket left by a dead one is replaced, a live one is not.
 * Nothing is touched before `start`.
 */
export function createUdsServer(options: UdsServerOptions): FrameServer {
  return new UdsServer(options);
}

class UdsServer implements FrameServer {
  readonly name = "unix-socket";
  readonly address: string;
  readonly #options: UdsServerOptions;
  readonly #streams = new Map<Socket, SocketFrameStream>();
  #server: Server | undefined;

  constructor(options: UdsServerOptions) {
    this.address = `unix:${options.path}`;
    this.#options = options;
  }

  get open(): number {
    return this.#streams.size;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden`, `config.invalid` or `lifecycle.start_failed`. */
  async start(): Promise<void> {
    const { path, mode = 0o600, maxStreams = DEFAULT_MAX_STREAMS } = this.#options;
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
      throw new AppError("config.invalid", `the socket path ${path} is longer than ${MAX_PATH_BYTES} bytes`);
    }
    await prepare(path);
    const server = createServer({ highWaterMark: SEND_HIGH_WATER_BYTES, allowHalfOpen: true }, (s) =>
      this.#accept(s),
    );
    server.maxConnections = maxStreams;
    await listen(server, path, mode);
    // Out of descriptors: this connection is lost, the next one may work.
    server.on("error", () => undefined);
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const gone = [...this.#streams.keys()].map(
      (socket) => new Promise((resolve) => socket.once("close", resolve)),
    );
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const stream of this.#streams.values()) stream.close();
    await Promise.all([closed, ...gone]);
  }

  #accept(socket: Socket): void {
    const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, clock } = this.#options;
    const stream = new SocketFrameStream({ socket, peer: "unix", maxFrameBytes, ...(clock && { clock }) });
    this.#streams.set(socket, stream);
    socket.once("close", () => this.#streams.delete(socket));
    this.#options.onStream(stream);
  }
}

async function prepare(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause) => {
    throw listenError(cause, "the Unix socket", path);
  });
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) return;
  const inUse = new AppError(
    "setup.port_in_use",
    `the Unix socket cannot listen on ${path}: it is in use already`,
  );
  // Somebody's file; a wrong path in the settings must not delete it.
  if (!stats.isSocket() || (await answers(path))) throw inUse;
  await unlink(path).catch((cause) => {
    throw listenError(cause, "the Unix socket", path);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Refused means that nobody listens any more; without permission somebody may.
    socket.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  });
}

async function listen(server: Server, path: string, mode: number): Promise<void> {
  // The file is made inside listen(); the mask closes the moment before chmod, when others could connect.
  const mask = process.umask(0o777 & ~mode);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(listenError(cause, "the Unix socket", path)));
      server.listen({ path, backlog: BACKLOG }, resolve);
      process.umask(mask);
    });
  } finally {
    process.umask(mask);
  }
  await chmod(path, mode);
}
