/** A child process that speaks the bench's control protocol: a command a line in, a JSON object a line out. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";

/** One line of the child: `event` is ready, snapshot, reset or done; the other fields belong to its role. */
export interface ControlReport {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** `readyMs` is the time until "ready"; after that every answer has 10 s. */
export interface ControlledOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly readyMs?: number;
}

const ANSWER_MS = 10_000;
// A publisher waits up to 30 s for what is in flight, then as long for a polite end.
const DONE_MS = 75_000;
const KEPT_ERROR_LINES = 20;

/**
 * Starts the child and resolves when it says "ready".
 * @throws AppError `setup.process_failed` when it ends before, with what it wrote; `operation.timeout` when it is late.
 */
export async function startControlled(options: ControlledOptions): Promise<Controlled> {
  const controlled = new Controlled(options);
  try {
    await controlled.report("ready", options.readyMs ?? ANSWER_MS);
    return controlled;
  } catch (error) {
    await controlled[Symbol.asyncDispose]();
    throw error;
  }
}

/** Get one from `startControlled`; disposal ends the process whatever it is doing. */
export class Controlled implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #reports: ControlReport[] = [];
  readonly #errors: string[] = [];
  readonly #ended: Promise<void>;
  #done: ControlReport | undefined;
  #wake = Promise.withResolvers<void>();
  #over = false;

  constructor(options: ControlledOptions) {
    this.#name = options.name;
    this.#child = spawn(options.command, options.args, { stdio: ["pipe", "pipe", "pipe"] });
    // The child may be gone when we write; its end is reported by the answer that does not come.
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#take(line));
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.#errors.push(line);
      if (this.#errors.length > KEPT_ERROR_LINES) this.#errors.shift();
    });
    this.#ended = new Promise((resolve) => {
      const over = (): void => {
        this.#over = true;
        this.#notify();
        resolve();
      };
      this.#child.once("close", over);
      this.#child.once("error", (error) => {
        this.#errors.push(error.message);
        over();
      });
    });
  }

  /** Undefined where the process could not even be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** False once it has ended, by itself or not. */
  get running(): boolean {
    return !this.#over;
  }

  /** What it measured so far. */
  snapshot(): Promise<ControlReport> {
    return this.#ask("snapshot");
  }

  /** Starts its latency histogram anew; counters go on. */
  reset(): Promise<ControlReport> {
    return this.#ask("reset");
  }

  /** Ends its work and resolves with its last report; safe to call twice. */
  async stop(): Promise<ControlReport> {
    if (this.#done === undefined && !this.#over) this.#child.stdin.write("stop\n");
    this.#done ??= await this.report("done", DONE_MS);
    return this.#done;
  }

  /**
   * The next report with that event, skipping others.
   * @throws AppError `setup.process_failed` when the process ends without it, `operation.timeout` after `deadlineMs`.
   */
  async report(event: string, deadlineMs: number): Promise<ControlReport> {
    const late = AbortSignal.timeout(deadlineMs);
    for (;;) {
      for (let next = this.#reports.shift(); next !== undefined; next = this.#reports.shift()) {
        if (next.event === event) return next;
        if (next.event === "done") this.#done = next;
      }
      if (this.#over) {
        throw new AppError("setup.process_failed", `${this.#name} ended without "${event}": ${this.#said()}`);
      }
      if (late.aborted) {
        throw new AppError("operation.timeout", `no "${event}" from ${this.#name} within ${deadlineMs} ms`);
      }
      const wake = this.#wake.promise;
      await Promise.race([wake, delay(deadlineMs, undefined, { signal: late }).catch(() => undefined)]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async #ask(command: string): Promise<ControlReport> {
    this.#child.stdin.write(`${command}\n`);
    return this.report(command, ANSWER_MS);
  }

  #take(line: string): void {
    try {
      this.#reports.push(JSON.parse(line) as ControlReport);
    } catch {
      // Not a report: kept for the message of a failure.
      this.#errors.push(line);
    }
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #said(): string {
    return this.#errors.length === 0 ? "it wrote nothing" : this.#errors.join(" | ");
  }
}
