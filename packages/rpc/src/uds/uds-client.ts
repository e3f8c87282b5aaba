/** Connects an application to the bridge's Unix socket. */
import { connect } from "node:net";
import { AppError } from "@myelin/kernel";
import { DEFAULT_MAX_FRAME_BYTES, type FrameStream } from "../frame-stream.js";
import { SocketStream } from "./socket-stream.js";

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  readonly maxFrameBytes?: number;
}

/** @throws AppError `rpc.unavailable` when nobody listens, `operation.aborted` */
export function connectUds(path: string, options: ConnectOptions = {}): Promise<FrameStream> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const fail = (cause: Error): void => {
      const code = options.signal?.aborted === true ? "operation.aborted" : "rpc.unavailable";
      reject(new AppError(code, `cannot connect to the Unix socket ${path}`, { cause }));
    };
    const abort = (): void => void socket.destroy(new Error("aborted"));
    if (options.signal?.aborted === true) abort();
    options.signal?.addEventListener("abort", abort, { once: true });
    socket.once("error", fail);
    socket.once("connect", () => {
      options.signal?.removeEventListener("abort", abort);
      socket.off("error", fail);
      resolve(new SocketStream(socket, "unix", options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES));
    });
  });
}
