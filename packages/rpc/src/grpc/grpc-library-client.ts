/** The part of the gRPC client that needs the library; loaded by the first `connectGrpc`. */
import {
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  logVerbosity,
  Metadata,
  type StatusObject,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import { AppError, type Clock, withDeadline } from "@myelin/kernel";
import type { FrameStream } from "../frame-stream.js";
import type { GrpcConnectOptions } from "./grpc-client.js";
import { GrpcFrameStream } from "./grpc-stream.js";
import { CONNECT_PATH, identity } from "./method.js";
import { errorOfStatus } from "./status.js";

/** Complete options. */
type LibraryClientOptions = GrpcConnectOptions &
  Required<Pick<GrpcConnectOptions, "timeoutMs" | "maxFrameBytes" | "keepaliveMs" | "clock">>;

// HTTP/2 starts with 64 KiB per stream, less than one batch; with this a batch never waits for a window update.
const FLOW_CONTROL_WINDOW_BYTES = 16 * 1024 * 1024;

type Call = ClientDuplexStream<Buffer, Buffer>;

/** @throws AppError `rpc.unavailable`, `config.invalid`, or the signal's reason. */
export async function openGrpc(target: string, options: LibraryClientOptions): Promise<FrameStream> {
  const { signal, timeoutMs, clock } = options;
  // It would print to stderr by itself; what matters comes back as errors.
  setLogVerbosity(logVerbosity.NONE);
  const client = createClient(target, options);
  try {
    const timing = { clock, code: "rpc.unavailable", what: `connecting to ${target}` } as const;
    await withDeadline(
      signal,
      timeoutMs,
      () => connected(client, target, clock.wallMs() + timeoutMs),
      timing,
    );
  } catch (error) {
    client.close();
    throw error;
  }
  return openStream(client, target, clock);
}

function createClient(target: string, options: LibraryClientOptions): Client {
  const { ca, clientKey = null, clientCertificate = null, maxFrameBytes, keepaliveMs } = options;
  const secure =
    ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca, clientKey, clientCertificate);
  try {
    return new Client(target, secure, {
      "grpc.max_receive_message_length": maxFrameBytes,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": Math.min(10_000, keepaliveMs),
      "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW_BYTES,
      // Each connect dials for itself: a shared pool would share its back-off too, and ours is the caller's.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.enable_http_proxy": 0,
    });
  } catch (cause) {
    throw new AppError("config.invalid", `${JSON.stringify(target)} is not a gRPC target such as host:port`, {
      cause,
    });
  }
}

function connected(client: Client, target: string, untilMs: number): Promise<void> {
  const channel = client.getChannel();
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) resolve();
      else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) {
        reject(new AppError("rpc.unavailable", `cannot connect to ${target}`));
      } else {
        channel.watchConnectivityState(state, untilMs, (error) => {
          if (error) reject(new AppError("rpc.unavailable", `cannot connect to ${target}`, { cause: error }));
          else look();
        });
      }
    };
    look();
  });
}

function openStream(client: Client, target: string, clock: Clock): FrameStream {
  const call: Call = client.makeBidiStreamRequest(CONNECT_PATH, identity, identity, new Metadata());
  const peer = target;
  const end = { end: () => void call.end(), cancel: () => call.cancel() };
  const stream = new GrpcFrameStream(call, end, peer, clock);
  const finish = (error?: AppError): void => {
    stream.finish(error);
    client.close();
  };
  call.on("error", (error: Partial<StatusObject>) => finish(errorOfStatus(error, peer)));
  // After the last frame has been read: the server ended in order.
  call.on("end", () => {
    call.end();
    finish();
  });
  call.on("status", (ended: StatusObject) => {
    if (ended.code !== status.OK) finish(errorOfStatus(ended, peer));
  });
  return stream;
}
