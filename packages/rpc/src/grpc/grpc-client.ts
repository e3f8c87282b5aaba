/** Connects an application to the bridge over gRPC. */
import { Client, credentials } from "@grpc/grpc-js";
import { AppError } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameStream } from "../frame-stream.js";
import type { ConnectOptions } from "../uds/uds-client.js";
import { GrpcStream } from "./grpc-stream.js";
import { CONNECT_METHOD, channelOptions } from "./method.js";

export interface GrpcConnectOptions extends ConnectOptions {
  /** PEM bytes of the authority that signed the bridge's certificate; plain text when absent. */
  readonly ca?: Buffer;
  readonly clientKey?: Buffer;
  readonly clientCertificate?: Buffer;
  /** How long to wait for the connection. */
  readonly timeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** @param target `host:port`. @throws AppError `rpc.unavailable` when nobody answers in time, `operation.aborted` */
export async function connectGrpc(target: string, options: GrpcConnectOptions = {}): Promise<FrameStream> {
  const { signal, maxFrameBytes = DEFAULT_MAX_FRAME_BYTES } = options;
  const secure =
    options.ca === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(options.ca, options.clientKey ?? null, options.clientCertificate ?? null);
  const client = new Client(target, secure, {
    ...channelOptions(maxFrameBytes),
    // One connection per stream: reconnecting is the caller's, with its own back-off.
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    await ready(client, target, signal, options.timeoutMs ?? CONNECT_TIMEOUT_MS);
  } catch (error) {
    client.close();
    throw error;
  }
  const call = client.makeBidiStreamRequest(
    CONNECT_METHOD.path,
    CONNECT_METHOD.requestSerialize,
    CONNECT_METHOD.responseDeserialize,
  );
  call.once("status", () => client.close());
  return new GrpcStream(call, target);
}

function ready(
  client: Client,
  target: string,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void =>
      reject(new AppError("operation.aborted", `connecting to ${target} was called off`));
    if (signal?.aborted === true) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    client.waitForReady(Date.now() + timeoutMs, (cause) => {
      signal?.removeEventListener("abort", abort);
      if (cause === undefined) resolve();
      else
        reject(
          new AppError("rpc.unavailable", `no bridge answers at ${target} within ${timeoutMs} ms`, { cause }),
        );
    });
  });
}
