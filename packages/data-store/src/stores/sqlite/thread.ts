/** One thread of a store: started when it is first asked, started again after it has died. */
import { Worker } from "node:worker_threads";
import { AppError, CallTable, type Clock, isErrorCode } from "@myelin/kernel";
import type { Call, Reply, ThreadOptions } from "./protocol.js";

const MAX_CALLS = 256;

/** Calls are answered in the order in which they are made. */
export class Thread {
  private readonly calls: CallTable<Reply>;
  private worker: Worker | undefined;
  private opening: Promise<unknown> | undefined;

  constructor(
    private readonly options: ThreadOptions,
    clock: Clock,
  ) {
    this.calls = new CallTable({ clock, maxPending: MAX_CALLS, what: options.path });
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
    call: Call,
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
      throw new AppError("store.unavailable", `${this.options.path} did not answer within ${timeoutMs} ms`, {
        cause,
      });
    }
    if ("value" in reply) return reply.value as T;
    const code = isErrorCode(reply.code) ? reply.code : "internal.unexpected";
    throw new AppError(code, `${this.options.path}: ${reply.message}`);
  }

  private start(): Worker {
    // Without the flags of this process, which are made for its main thread.
    const worker = new Worker(threadFile(), { workerData: this.options, execArgv: [] });
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
    this.calls.failAll(new AppError("store.unavailable", `${this.options.path}: ${why}`, { cause }));
  }
}

const CLOSE_MS = 5_000;

/** When built, beside this file; a bundle puts it beside itself. Sources run with the file that was built of them. */
function threadFile(): URL {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const folder = extension === ".ts" ? "../../../dist/stores/sqlite/" : "./";
  return new URL(`${folder}sqlite-thread${extension === ".ts" ? ".js" : extension}`, import.meta.url);
}
