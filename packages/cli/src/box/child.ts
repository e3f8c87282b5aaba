/** One process of the box: started, watched, started again when it ends or hangs, stopped within a deadline. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { environmentWith } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { LastWords } from "./last-words.js";
import { LogFile } from "./log-file.js";

export interface ChildSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Variables that it gets beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Standard output and error go there, appended. */
  readonly logFile: string;
  /** True once the process is usable; asked every 50 ms after the spawn. */
  readonly isReady: () => Promise<boolean>;
  /**
   * What is wrong with a ready process that another start would mend, in a few words; undefined while it is well. Asked
   * again and again, one question at a time.
   */
  readonly complaint: () => Promise<string | undefined>;
  readonly readyTimeoutMs: number;
  readonly stopTimeoutMs: number;
  /** Opens an IPC channel; messages arrive at `onMessage`. */
  readonly ipc: boolean;
  readonly times?: Partial<ChildTimes>;
}

/** The rhythm of the supervision; tests shorten it. */
export interface ChildTimes {
  readonly aliveEveryMs: number;
  /** Complaints in a row before the process is killed and started again. */
  readonly aliveMisses: number;
  /** A process that lived that long was well: its next restart comes at once. */
  readonly livedLongMs: number;
  readonly firstRestartMs: number;
  readonly maxRestartMs: number;
}

/** State changes, each told once: `onDown`, then maybe `onFailing`, then `onBack`. */
export interface ChildEvents {
  /** The process ended though nobody asked; it is being started again. */
  readonly onDown: (child: Child, how: string) => void;
  /** It ended again, or did not start: from here on it is tried again and again in silence. */
  readonly onFailing: (child: Child, how: string) => void;
  /** It is ready again; after `onFailing` only when it has stayed so. */
  readonly onBack: (child: Child, downMs: number) => void;
  /** A new process runs in the place of one that ended, whatever is thought of it: its id has changed. */
  readonly onReplaced: (child: Child) => void;
  readonly onMessage: (child: Child, message: unknown) => void;
}

const READY_POLL_MS = 50;
/** What a process has written last arrives after its end, unless a child of its own keeps the pipe. */
const LAST_OUTPUT_MS = 200;
const DEFAULT_TIMES: ChildTimes = {
  aliveEveryMs: 5_000,
  aliveMisses: 3,
  livedLongMs: 10_000,
  firstRestartMs: 50,
  maxRestartMs: 1_000,
};

/** Restarts come at once after a long life, then with doubled pauses up to a second: always back within two. */
export class Child {
  readonly spec: ChildSpec;
  readonly #events: ChildEvents;
  readonly #times: ChildTimes;
  readonly #log: LogFile;
  #process: ChildProcess | undefined;
  #stopping = false;
  #state: "up" | "down" | "failing" = "up";
  #startedAt = 0;
  #downSince = 0;
  #restartMs: number;
  #restarting: Promise<void> | undefined;
  #watch: NodeJS.Timeout | undefined;
  #hung: string | undefined;
  restarts = 0;
  ready = false;

  constructor(spec: ChildSpec, events: ChildEvents) {
    this.spec = spec;
    this.#events = events;
    this.#times = { ...DEFAULT_TIMES, ...spec.times };
    this.#restartMs = this.#times.firstRestartMs;
    this.#log = new LogFile(spec.logFile);
  }

  get pid(): number | undefined {
    return this.#process?.exitCode === null && this.#process.signalCode === null
      ? this.#process.pid
      : undefined;
  }

  /**
   * Spawns and waits until it is ready.
   * @throws AppError `setup.process_failed` when it ends first or is not ready in time; the log file says more.
   * `operation.aborted` after `stop`
   */
  async start(): Promise<void> {
    if (this.#stopping) throw new AppError("operation.aborted", `${this.spec.name} was asked to stop`);
    this.#log.open();
    const child = spawn(this.spec.command, [...this.spec.args], {
      env: environmentWith(this.spec.environment ?? {}),
      stdio: this.spec.ipc ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    this.#startedAt = performance.now();
    this.#hung = undefined;
    let words: LastWords | undefined = new LastWords();
    const onOutput = (chunk: Buffer): void => {
      this.#log.write(chunk);
      words?.add(chunk);
    };
    child.stdout?.on("data", onOutput);
    child.stderr?.on("data", onOutput);
    child.on("message", (message) => this.#events.onMessage(this, message));
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) =>
        resolve(this.#hung ?? (signal === null ? `exit code ${code}` : `signal ${signal}`)),
      );
    });
    const outputEnded = new Promise((resolve) => child.once("close", resolve));
    const how = await this.#untilReady(ended);
    if (how !== undefined) {
      await Promise.race([outputEnded, sleep(LAST_OUTPUT_MS, undefined, { ref: false })]);
      const complaint = words.complaint();
      const why = complaint === undefined ? how : `${complaint} (${how})`;
      throw new AppError(
        "setup.process_failed",
        `${this.spec.name} did not start: ${why}; see ${this.spec.logFile}`,
        { details: { name: this.spec.name, how } },
      );
    }
    words = undefined;
    this.ready = true;
    this.#watchLife(child);
    void ended.then((reason) => this.#onEnd(reason));
  }

  /** Asks it to end, waits, then kills it. Safe twice, and while it is being started. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#watch);
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const late = sleep(this.spec.stopTimeoutMs, "late", { ref: false });
      if ((await Promise.race([gone, late])) === "late") {
        child.kill("SIGKILL");
        await gone;
      }
    }
    await this.#restarting;
    this.ready = false;
    this.#log.close();
  }

  /** Undefined once ready, else how it ended. */
  async #untilReady(ended: Promise<string>): Promise<string | undefined> {
    const deadline = performance.now() + this.spec.readyTimeoutMs;
    let how: string | undefined;
    void ended.then((reason) => {
      how = reason;
    });
    while (how === undefined) {
      if (await this.spec.isReady()) return how;
      if (performance.now() > deadline) {
        this.#process?.kill("SIGKILL");
        return `not ready within ${this.spec.readyTimeoutMs} ms`;
      }
      await Promise.race([sleep(READY_POLL_MS), ended]);
    }
    return how;
  }

  /** A process whose event loop stands still holds its connections and serves none of them; only an end helps. */
  #watchLife(child: ChildProcess, misses = 0): void {
    const { aliveEveryMs, aliveMisses } = this.#times;
    this.#watch = setTimeout(async () => {
      const complaint = await this.spec.complaint();
      const missed = complaint === undefined ? 0 : misses + 1;
      if (this.#stopping || this.#process !== child || !this.ready) return;
      if (missed >= aliveMisses) {
        this.#hung = `${complaint}, for ${Math.round((aliveEveryMs * aliveMisses) / 1000)} s`;
        child.kill("SIGKILL");
      } else this.#watchLife(child, missed);
    }, aliveEveryMs).unref();
  }

  #onEnd(how: string): void {
    this.ready = false;
    clearTimeout(this.#watch);
    if (this.#stopping) return;
    const now = performance.now();
    const livedLong = now - this.#startedAt > this.#times.livedLongMs;
    if (livedLong) this.#restartMs = this.#times.firstRestartMs;
    if (this.#state === "up") this.#downSince = now;
    this.#fell(how, livedLong || this.restarts === 0);
    this.#restarting = this.#restart().finally(() => {
      this.#restarting = undefined;
    });
  }

  /** `first`: it was well before. */
  #fell(how: string, first: boolean): void {
    if (this.#state === "failing") return;
    this.#state = first ? "down" : "failing";
    if (first) this.#events.onDown(this, how);
    else this.#events.onFailing(this, how);
  }

  async #restart(): Promise<void> {
    while (!this.#stopping) {
      await sleep(this.#restartMs);
      this.#restartMs = Math.min(this.#times.maxRestartMs, this.#restartMs * 2);
      if (this.#stopping) return;
      this.restarts += 1;
      try {
        await this.start();
        this.#events.onReplaced(this);
        this.#recovered();
        return;
      } catch (error) {
        // Trying again is the supervisor's whole duty; the reason is in its log and in this event.
        if (!this.#stopping) this.#fell(AppError.is(error) ? error.message : String(error), false);
      }
    }
  }

  #recovered(): void {
    const back = (): void => {
      this.#state = "up";
      this.#events.onBack(this, performance.now() - this.#downSince);
    };
    if (this.#state === "down") {
      back();
      return;
    }
    const started = this.#process;
    setTimeout(() => {
      if (this.ready && this.#process === started && !this.#stopping) back();
    }, this.#times.livedLongMs).unref();
  }
}
