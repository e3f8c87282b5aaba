/** A thread that answers calls: started when it is first asked, started again after it has died. */
import { Worker } from "node:worker_threads";
import { AppError, CallTable, type Clock, isErrorCode } from "@myelin/kernel";
import type { Reply, ThreadCall } from "./serve-calls.js";

/** What a thread runs. */
export interface CallThreadOptions {
  /** What its calls are about, for messages: a path. */
  readonly name: string;
  /** Calls `serveCalls`. */
  readonly file: URL;
  /** Its `workerData`. */
  readonly data: unknown;
}

const MAX_CALLS = 256;
const CLOSE_MS = 5_000;

/** Calls are answered in the order in which they are made. The thread is asked `open` before anything else, and `close` at the end. */
export class CallThread<Call extends ThreadCall> {
  private readonly calls: CallTable<Reply>;
  private worker: Worker | undefined;
  private opening: Promise<unknown> | undefined;

  constructor(
    private readonly options: CallThreadOptions,
    clock: Clock,
  ) {
    this.calls = new CallTable({ clock, maxPending: MAX_CALLS, what: options.name });
  }

  /** False: it was not asked yet, or has died since. */
  get isRunning(): boolean {
    return this.worker !== undefined;
  }

  /** @throws AppError what the thread answers, or `store.unavailable` when it does not in time */
  async call<T>(call: Call, timeoutMs: number, transfer: ArrayBuffer[] = []): Promise<T> {
    this.worker ??= this.start();
    const { worker } = this;
    this.opening ??= this.ask(worker, { op: "open" }, timeoutMs);
    try {
      await this.opening;
    } catch (thrown) {
      // The next call tries again.
      this.opening = undefined;
      throw thrown;
    }
    return await this.ask(worker, call, timeoutMs, transfer);
  }

  /** Whatever is not answered yet fails. */
  async stop(): Promise<void> {
    const { worker } = this;
    if (worker === undefined) return;
    await this.ask(worker, { op: "close" }, CLOSE_MS).catch(() => undefined);
    this.forget(worker, "it was closed");
    await worker.terminate();
  }

  private async ask<T>(
    worker: Worker,
    call: ThreadCall,
    timeoutMs: number,
    transfer: ArrayBuffer[] = [],
  ): Promise<T> {
    let reply: Reply;
    try {
      reply = await this.calls.call(timeoutMs, (id) => worker.postMessage({ id, call }, transfer));
    } catch (cause) {
      const error = AppError.from(cause);
      if (error.code !== "request.timeout") throw error;
      // It may hang in a disk that does not answer: what it was asked is void, and the next call gets another thread.
      this.forget(worker, "it does not answer");
      void worker.terminate();
      throw new AppError("store.unavailable", `${this.options.name} did not answer within ${timeoutMs} ms`, {
        cause,
      });
    }
    if ("value" in reply) return reply.value as T;
    const code = isErrorCode(reply.code) ? reply.code : "internal.unexpected";
    throw new AppError(code, `${this.options.name}: ${reply.message}`);
  }

  private start(): Worker {
    const { file, data } = this.options;
    // Without the flags of this process, which are made for its main thread.
    const worker = new Worker(file, { workerData: data, execArgv: [] });
    worker.on("message", (reply: Reply) => this.calls.answer(reply.id, reply));
    worker.on("error", (cause) => this.forget(worker, "its thread failed", cause));
    worker.on("exit", () => this.forget(worker, "its thread ended"));
    worker.unref();
    return worker;
  }

  private forget(worker: Worker, why: string, cause?: unknown): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    this.opening = undefined;
    this.calls.failAll(new AppError("store.unavailable", `${this.options.name}: ${why}`, { cause }));
  }
}

/**
 * The file of a thread, named without its extension. When built it is beside the file that asks; a bundle puts it beside itself. Sources run with
 * the file that was built of them.
 * @param from `import.meta.url` of the file that asks
 * @param built the folder of the built file as seen from the source that asks
 */
export function threadFile(from: string, built: string, name: string): URL {
  const extension = from.slice(from.lastIndexOf("."));
  const isSource = extension === ".ts";
  return new URL(`${isSource ? built : "./"}${name}${isSource ? ".js" : extension}`, from);
}
