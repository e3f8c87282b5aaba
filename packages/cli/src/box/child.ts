/** One process of the box: started, watched, started again when it ends, stopped within a deadline. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "@myelin/kernel";

export interface ChildSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error go there, appended. */
  readonly logFile: string;
  /** True once the process is usable; asked every 50 ms after the spawn. */
  readonly isReady: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  /** Opens an IPC channel; messages arrive at `onMessage`. */
  readonly ipc: boolean;
}

export interface ChildEvents {
  /** The process ended though nobody asked. */
  readonly onCrash: (child: Child, how: string) => void;
  readonly onRestarted: (child: Child, downMs: number) => void;
  readonly onMessage: (child: Child, message: unknown) => void;
}

const READY_POLL_MS = 50;
const LIVED_LONG_MS = 10_000;
const FIRST_RESTART_MS = 50;
const MAX_RESTART_MS = 1_000;

/** Restarts come at once after a long life, then with doubled pauses up to a second: always back within two. */
export class Child {
  readonly spec: ChildSpec;
  readonly #events: ChildEvents;
  #process: ChildProcess | undefined;
  #log: WriteStream | undefined;
  #stopping = false;
  #startedAt = 0;
  #restartMs = FIRST_RESTART_MS;
  #restarting: Promise<void> | undefined;
  restarts = 0;
  ready = false;

  constructor(spec: ChildSpec, events: ChildEvents) {
    this.spec = spec;
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#process?.exitCode === null && this.#process.signalCode === null
      ? this.#process.pid
      : undefined;
  }

  /**
   * Spawns and waits until it is ready.
   * @throws AppError `setup.process_failed` when it ends first or is not ready in time; the log file says more
   */
  async start(): Promise<void> {
    this.#log ??= createWriteStream(this.spec.logFile, { flags: "a", mode: 0o600 });
    const child = spawn(this.spec.command, [...this.spec.args], {
      stdio: this.spec.ipc ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"],
      ...(this.spec.env === undefined ? {} : { env: { ...this.spec.env } }),
    });
    this.#process = child;
    this.#startedAt = performance.now();
    this.ready = false;
    child.stdout?.pipe(this.#log, { end: false });
    child.stderr?.pipe(this.#log, { end: false });
    child.on("message", (message) => this.#events.onMessage(this, message));
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
      );
    });
    const how = await this.#untilReady(ended);
    if (how !== undefined) {
      throw new AppError(
        "setup.process_failed",
        `${this.spec.name} did not start: ${how}; see ${this.spec.logFile}`,
        { details: { name: this.spec.name, how } },
      );
    }
    this.ready = true;
    void ended.then((reason) => this.#onEnd(reason));
  }

  /** Asks it to end, waits, then kills it. Safe twice, and while it is being restarted. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#restarting;
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill(this.spec.stopSignal);
      const late = sleep(this.spec.stopTimeoutMs, "late", { ref: false });
      if ((await Promise.race([gone, late])) === "late") {
        child.kill("SIGKILL");
        await gone;
      }
    }
    this.ready = false;
    await new Promise((resolve) => (this.#log === undefined ? resolve(undefined) : this.#log.end(resolve)));
    this.#log = undefined;
  }

  /** Undefined once ready, else how it ended. */
  async #untilReady(ended: Promise<string>): Promise<string | undefined> {
    const deadline = performance.now() + this.spec.readyTimeoutMs;
    let how: string | undefined;
    void ended.then((reason) => {
      how = reason;
    });
    while (how === undefined) {
      if (await this.spec.isReady()) return undefined;
      if (performance.now() > deadline) {
        this.#process?.kill("SIGKILL");
        return `not ready within ${this.spec.readyTimeoutMs} ms`;
      }
      await Promise.race([sleep(READY_POLL_MS), ended]);
    }
    return how;
  }

  #onEnd(how: string): void {
    this.ready = false;
    if (this.#stopping) return;
    this.#events.onCrash(this, how);
    this.#restarting = this.#restart().finally(() => {
      this.#restarting = undefined;
    });
  }

  async #restart(): Promise<void> {
    const downSince = performance.now();
    if (downSince - this.#startedAt > LIVED_LONG_MS) this.#restartMs = FIRST_RESTART_MS;
    while (!this.#stopping) {
      await sleep(this.#restartMs);
      this.#restartMs = Math.min(MAX_RESTART_MS, this.#restartMs * 2);
      if (this.#stopping) return;
      this.restarts += 1;
      try {
        await this.start();
        this.#events.onRestarted(this, performance.now() - downSince);
        return;
      } catch (error) {
        // Trying again is the supervisor's whole duty; the reason is in the log and in this event.
        this.#events.onCrash(this, AppError.is(error) ? error.message : String(error));
      }
    }
  }
}
