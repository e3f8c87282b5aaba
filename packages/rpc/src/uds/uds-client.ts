/** Connects to a Unix socket. */
import { connect, type Socket } from "node:net";
import { AppError, type Clock, withDeadline } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameStream, SEND_HIGH_WATER_BYTES } from "../frame-stream.js";
import { SocketFrameStream } from "./socket-stream.js";

/** `timeoutMs` limits the connecting alone. */
export interface ConnectOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly maxFrameBytes?: number;
  readonly clock?: Clock;
}

/**
 * Resolves when connected.
 * @throws AppError `rpc.unavailable` when nobody listens or the deadline passes, or the signal's reason.
 */
export async function connectUds(path: string, options: ConnectOptions = {}): Promise<FrameStream> {
  const { signal, timeoutMs = 5_000, maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, clock } = options;
  const timing = { code: "rpc.unavailable", what: `connecting to ${path}`, ...(clock && { clock }) } as const;
  const open = { path, allowHalfOpen: true, highWaterMark: SEND_HIGH_WATER_BYTES };
  const socket = await withDeadline(signal, timeoutMs, (limit) => opened(connect(open), path, limit), timing);
  return new SocketFrameStream({ socket, peer: "unix", maxFrameBytes, ...(clock && { clock }) });
}

function opened(socket: Socket, path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => void socket.destroy();
    signal.addEventListener("abort", giveUp, { once: true });
    const fail = (cause: Error): void => {
      signal.removeEventListener("abort", giveUp);
      reject(new AppError("rpc.unavailable", `cannot connect to ${path}`, { cause }));
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.removeListener("error", fail);
      signal.removeEventListener("abort", giveUp);
      resolve(socket);
    });
  });
}
