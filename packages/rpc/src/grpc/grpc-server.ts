/** Takes applications over gRPC. */
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { AppError } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameServer, type FrameServerOptions } from "../frame-stream.js";
import { GrpcStream } from "./grpc-stream.js";
import { CONNECT_METHOD, channelOptions } from "./method.js";

/** PEM bytes; both, or plain text. */
export interface GrpcTls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Asks clients for a certificate of this authority. */
  readonly clientCa?: Buffer;
}

export interface GrpcServerOptions extends FrameServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: GrpcTls;
}

const DEFAULT_MAX_STREAMS = 1_000;
const SHUTDOWN_MS = 2_000;

/** Creates the server; nothing listens before `start`. */
export function createGrpcServer(options: GrpcServerOptions): FrameServer {
  return new GrpcFrameServer(options);
}

class GrpcFrameServer implements FrameServer {
  readonly name = "grpc-server";
  address: string;
  readonly #options: GrpcServerOptions;
  readonly #streams = new Set<GrpcStream>();
  #server: Server | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.address = `${options.host}:${options.port}`;
  }

  get open(): number {
    return this.#streams.size;
  }

  /** @throws AppError `setup.port_in_use` */
  async start(): Promise<void> {
    const { host, tls, maxFrameBytes = DEFAULT_MAX_FRAME_BYTES } = this.#options;
    const server = new Server(channelOptions(maxFrameBytes));
    server.addService(
      { Connect: CONNECT_METHOD },
      { Connect: (call: ServerDuplexStream<Buffer, Buffer>) => this.#accept(call) },
    );
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(
            tls.clientCa ?? null,
            [{ private_key: tls.key, cert_chain: tls.certificate }],
            tls.clientCa !== undefined,
          );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(this.address, credentials, (cause, bound) => {
        if (cause === null) resolve(bound);
        else reject(new AppError("setup.port_in_use", `gRPC cannot listen on ${this.address}`, { cause }));
      });
    });
    this.address = `${host}:${port}`;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    for (const stream of this.#streams) stream.close();
    const late = setTimeout(() => server.forceShutdown(), SHUTDOWN_MS);
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    clearTimeout(late);
  }

  #accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const stream = new GrpcStream(call, call.getPeer());
    if (this.#streams.size >= (this.#options.maxStreams ?? DEFAULT_MAX_STREAMS)) {
      stream.destroy();
      return;
    }
    this.#streams.add(stream);
    call.once("close", () => this.#streams.delete(stream));
    this.#options.onStream(stream);
  }
}
