/** Frames over gRPC, for any stock client that has the .proto. */
import { type Clock, systemClock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { DEFAULT_MAX_FRAME_BYTES, type FrameServer, type OnStream } from "../frame-stream.js";
import type { ListeningServer } from "./grpc-library-server.js";

/** `port` 0 takes a free one. Idle connections are probed every `keepaliveMs`. */
export interface GrpcServerOptions {
  readonly host: string;
  readonly port: number;
  readonly onStream: OnStream;
  readonly log: Logger;
  readonly maxFrameBytes?: number;
  readonly maxStreams?: number;
  readonly keepaliveMs?: number;
  /** How long `stop` waits for clients to end their side before it breaks the connections off. */
  readonly stopTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Serves `myelin.app.v1.AppService/Connect`; the library is loaded by `start`. */
export class GrpcFrameServer implements FrameServer {
  readonly name = "grpc";
  readonly #options: GrpcServerOptions;
  #listening: ListeningServer | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
  }

  get address(): string {
    return this.#listening === undefined ? "" : `${this.#options.host}:${this.#listening.port}`;
  }

  /** The port in use; undefined while it does not listen. */
  get port(): number | undefined {
    return this.#listening?.port;
  }

  get streams(): number {
    return this.#listening?.streams.size ?? 0;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` or `lifecycle.start_failed`. */
  async start(): Promise<void> {
    const { listenGrpc } = await import("./grpc-library-server.js");
    this.#listening = await listenGrpc({
      maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
      maxStreams: 1024,
      keepaliveMs: 30_000,
      stopTimeoutMs: 2_000,
      clock: systemClock,
      ...this.#options,
    });
    this.#options.log.info({ host: this.#options.host, port: this.#listening.port }, "gRPC listens");
  }

  async stop(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.stop();
  }
}
