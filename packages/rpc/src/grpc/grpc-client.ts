/** Connects to a gRPC server. */
import { systemClock } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameStream } from "../frame-stream.js";
import type { ConnectOptions } from "../uds/uds-client.js";

/**
 * `timeoutMs` limits the connecting alone; silent connections are probed every `keepaliveMs`. PEM bytes: `ca` is the
 * authority that signed the server's certificate, without it the connection is plain text.
 */
export interface GrpcConnectOptions extends ConnectOptions {
  readonly ca?: Buffer;
  readonly clientKey?: Buffer;
  readonly clientCertificate?: Buffer;
  readonly keepaliveMs?: number;
}

/**
 * Resolves when connected; `target` is `host:port`. The library is loaded by the first call.
 * @throws AppError `rpc.unavailable` when nobody listens or the deadline passes, `config.invalid` for a target that
 *   cannot be parsed, or the signal's reason.
 */
export async function connectGrpc(target: string, options: GrpcConnectOptions = {}): Promise<FrameStream> {
  const { openGrpc } = await import("./grpc-library-client.js");
  return await openGrpc(target, {
    timeoutMs: 5_000,
    maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
    keepaliveMs: 30_000,
    clock: systemClock,
    ...options,
  });
}
