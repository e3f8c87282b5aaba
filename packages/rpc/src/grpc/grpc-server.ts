/** Frames over gRPC, for any stock client that has the .proto. */
import { systemClock } from "@myelin/kernel";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_MAX_STREAMS,
  type FrameServer,
  type FrameServerOptions,
} from "../frame-stream.js";
import type { ListeningServer } from "./grpc-library-server.js";

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

/** Serves `myelin.app.v1.AppService/Connect`. Nothing listens, and the library is not loaded, before `start`. */
export function createGrpcServer(options: GrpcServerOptions): FrameServer {
  return new GrpcServer(options);
}

class GrpcServer implements FrameServer {
  readonly name = "grpc";
  readonly #options: GrpcServerOptions;
  #port: number;
  #listening: ListeningServer | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  get address(): string {
    const { host } = this.#options;
    return host.includes(":") ? `[${host}]:${this.#port}` : `${host}:${this.#port}`;
  }

  get open(): number {
    return this.#listening?.streams.size ?? 0;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` or `lifecycle.start_failed`. */
  async start(): Promise<void> {
    const { listenGrpc } = await import("./grpc-library-server.js");
    this.#listening = await listenGrpc({
      maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
      maxStreams: DEFAULT_MAX_STREAMS,
      keepaliveMs: 30_000,
      stopTimeoutMs: 2_000,
      clock: systemClock,
      ...this.#options,
    });
    this.#port = this.#listening.port;
  }

  async stop(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.stop();
  }
}
