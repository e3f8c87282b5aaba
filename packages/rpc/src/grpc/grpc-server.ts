/** Frames over gRPC, for any stock client that has the .proto. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { listenError, systemClock } from "@myelin/kernel";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_MAX_STREAMS,
  type FrameServer,
  type FrameServerOptions,
} from "../frame-stream.js";
import type { LibraryServer } from "./grpc-library-server.js";

/** PEM bytes. With `clientCa` clients need a certificate of that authority. */
export interface GrpcTls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly clientCa?: Buffer;
}

/** `port` 0 takes a free one. Silent connections are probed every `keepaliveMs`. Without `tls` it is plain text. */
export interface GrpcServerOptions extends FrameServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: GrpcTls;
  readonly keepaliveMs?: number;
  /** How long `stop` waits for clients to end their side before it breaks the connections off. */
  readonly stopTimeoutMs?: number;
}

/** Serves `myelin.app.v1.AppService/Connect`. Nothing listens before `start`; the library is loaded when the first client comes. */
export function createGrpcServer(options: GrpcServerOptions): FrameServer {
  return new GrpcServer(options);
}

/** Connections that wait for the library; the system keeps those that come meanwhile. */
const BACKLOG = 511;

class GrpcServer implements FrameServer {
  readonly name = "grpc";
  readonly #options: GrpcServerOptions;
  #port: number;
  #listener: Server | undefined;
  #library: Promise<LibraryServer> | undefined;
  #served: LibraryServer | undefined;
  readonly #waiting = new Set<Socket>();

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  get address(): string {
    const { host } = this.#options;
    return host.includes(":") ? `[${host}]:${this.#port}` : `${host}:${this.#port}`;
  }

  get open(): number {
    return this.#served?.streams.size ?? 0;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` or `lifecycle.start_failed`. */
  async start(): Promise<void> {
    const { host } = this.#options;
    // Nothing is read here: the library's sessions read, from the first byte on.
    const listener = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      listener.once("error", (cause) => reject(listenError(cause, "the gRPC port", this.address)));
      listener.listen({ host, port: this.#port, backlog: BACKLOG }, resolve);
    });
    this.#listener = listener;
    this.#port = (listener.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    const closed = new Promise((resolve) => listener.close(resolve));
    for (const socket of this.#waiting) socket.destroy();
    const library = await this.#library?.catch(() => undefined);
    this.#library = undefined;
    this.#served = undefined;
    await library?.stop();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#served !== undefined) {
      this.#served.serve(socket);
      return;
    }
    const onGone = (): void => void this.#waiting.delete(socket);
    this.#waiting.add(socket);
    socket.on("error", onGone).once("close", onGone);
    this.#library ??= this.#load();
    this.#library.then(
      (library) => {
        if (!this.#waiting.delete(socket)) return;
        socket.off("error", onGone).off("close", onGone);
        library.serve(socket);
      },
      () => {
        // The next client has it tried again.
        this.#library = undefined;
        socket.destroy();
      },
    );
  }

  async #load(): Promise<LibraryServer> {
    const { createLibraryServer } = await import("./grpc-library-server.js");
    this.#served = createLibraryServer({
      maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
      maxStreams: DEFAULT_MAX_STREAMS,
      keepaliveMs: 30_000,
      stopTimeoutMs: 2_000,
      clock: systemClock,
      ...this.#options,
    });
    return this.#served;
  }
}
