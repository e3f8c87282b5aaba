/** The part of the gRPC server that needs the library; loaded when the first client comes. */
import type { Socket } from "node:net";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import { reflect, reflectionPaths } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { FrameStream } from "../frame-stream.js";
import type { GrpcTls } from "./grpc-server.js";
import { GrpcFrameStream } from "./grpc-stream.js";
import { CONNECT_PATH, identity } from "./method.js";
import { errorOfStatus, statusOfError } from "./status.js";

/** Complete options; see `GrpcServerOptions`. */
export interface LibraryServerOptions {
  readonly onStream: (stream: FrameStream) => void;
  readonly tls?: GrpcTls;
  readonly maxFrameBytes: number;
  readonly maxStreams: number;
  readonly keepaliveMs: number;
  readonly stopTimeoutMs: number;
  readonly clock: Clock;
}

/** A server of connections that others have accepted. */
export interface LibraryServer {
  readonly streams: ReadonlySet<GrpcFrameStream>;
  /** Serves a connection from which nothing was read. */
  serve(socket: Socket): void;
  /** Waits for clients to end their side, at most `stopTimeoutMs`. */
  stop(): Promise<void>;
}

/** Streams on which clients ask what is served. */
const MAX_REFLECTING = 64;

type Call = ServerDuplexStream<Buffer, Buffer>;

/** A server without a port. */
export function createLibraryServer(options: LibraryServerOptions): LibraryServer {
  const { maxFrameBytes, keepaliveMs, clock } = options;
  // It would print to stderr by itself; what matters comes back as errors.
  setLogVerbosity(logVerbosity.NONE);
  const streams = new Set<GrpcFrameStream>();
  const server = new Server({
    "grpc.max_receive_message_length": maxFrameBytes,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.keepalive_timeout_ms": Math.min(10_000, keepaliveMs),
    "grpc.max_concurrent_streams": 1024,
  });
  server.addService(
    { connect: streamOfBytes(CONNECT_PATH) },
    { connect: (call: Call) => accept(call, streams, options) },
  );
  const reflecting = new Set<Call>();
  for (const path of reflectionPaths) {
    server.addService({ info: streamOfBytes(path) }, { info: (call: Call) => answer(call, reflecting) });
  }
  const connections = server.createConnectionInjector(credentialsOf(options.tls));
  return {
    streams,
    serve(socket) {
      connections.injectConnection(socket);
      socket.resume();
    },
    async stop() {
      for (const stream of streams) stream.close();
      const done = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      const limit = clock.setTimeout(() => server.forceShutdown(), options.stopTimeoutMs);
      await done;
      clock.clear(limit);
    },
  };
}

function streamOfBytes(path: string) {
  return {
    path,
    requestStream: true as const,
    responseStream: true as const,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

function answer(call: Call, reflecting: Set<Call>): void {
  call.on("error", () => undefined);
  const refuse = (code: number, details: string): void => void call.emit("error", { code, details });
  if (reflecting.size >= MAX_REFLECTING) {
    refuse(status.RESOURCE_EXHAUSTED, `no more than ${MAX_REFLECTING} reflection streams`);
    return;
  }
  reflecting.add(call);
  call.on("close", () => reflecting.delete(call));
  call.on("cancelled", () => reflecting.delete(call));
  call.on("data", (request: Buffer) => {
    let response: Buffer;
    try {
      response = reflect(request);
    } catch {
      refuse(status.INVALID_ARGUMENT, "not a ServerReflectionRequest");
      return;
    }
    // Whoever does not read its answers gets no more of them.
    if (!call.write(response)) {
      call.pause();
      call.once("drain", () => call.resume());
    }
  });
  call.on("end", () => call.end());
}

function credentialsOf(tls: GrpcTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.certificate };
  return ServerCredentials.createSsl(tls.clientCa ?? null, [pair], tls.clientCa !== undefined);
}

function accept(call: Call, streams: Set<GrpcFrameStream>, options: LibraryServerOptions): void {
  // Whatever happens to the call, it must not become an uncaught error; how it ended comes by other events.
  call.on("error", () => undefined);
  if (streams.size >= options.maxStreams) {
    call.emit(
      "error",
      statusOfError(new AppError("limit.connections", `no more than ${options.maxStreams} streams`)),
    );
    return;
  }
  const peer = call.getPeer();
  const end = {
    end: (error?: AppError) =>
      error === undefined ? call.end() : void call.emit("error", statusOfError(error)),
    // A server call has no cancel; an error emitted on it is how the library sends a status.
    cancel: () => void call.emit("error", { code: status.UNAVAILABLE, details: "closed by the server" }),
  };
  const stream = new GrpcFrameStream(call, end, peer, options.clock);
  streams.add(stream);
  const finish = (error?: AppError): void => {
    if (streams.delete(stream)) stream.finish(error);
  };
  call.on("cancelled", () =>
    finish(errorOfStatus({ code: status.CANCELLED, details: "the client is gone" }, peer)),
  );
  call.on("end", () => {
    call.end();
    finish();
  });
  // A call that this side ended with an error closes without the client's end.
  call.on("close", () => finish());
  options.onStream(stream);
}
