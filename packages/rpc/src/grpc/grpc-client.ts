/** Connects to a gRPC server. */
import { type Clock, systemClock } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameStream } from "../frame-stream.js";

/** `timeoutMs` limits the connecting alone; idle connections are probed every `keepaliveMs`. */
export interface ConnectGrpcOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly maxFrameBytes?: number;
  readonly keepaliveMs?: number;
  readonly clock?: Clock;
}

/**
 * Resolves when connected; `target` is `host:port`. The library is loaded by the first call.
 * @throws AppError `rpc.unavailable` when nobody listens or the deadline passes, or the signal's reason.
 */
export async function connectGrpc(target: string, options: ConnectGrpcOptions = {}): Promise<FrameStream> {
  const { openGrpc } = await import("./grpc-library-client.js");
  const {
    signal,
    timeoutMs = 5_000,
    maxFrameBytes = DEFAULT_MAX_FRAME_BYTES,
    keepaliveMs = 30_000,
  } = options;
  return await openGrpc({
    target,
    signal,
    timeoutMs,
    maxFrameBytes,
    keepaliveMs,
    clock: options.clock ?? systemClock,
  });
}
