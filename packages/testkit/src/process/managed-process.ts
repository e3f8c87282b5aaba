/** A child process a test starts, watches, hurts and cleans up. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import { environmentWith } from "../environment.js";
import { waitFor } from "../wait-for.js";
import { LineLog, readLines } from "./line-log.js";
import { isReady, type ReadyCheck } from "./ready.js";
import { forget, watch } from "./reaper.js";

/** How a process ended: an exit code, or the signal that killed it. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `env` comes on top of this process's environment; `name` stands in messages. */
export interface ProcessOptions {
  readonly command: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly name?: string;
  readonly ready?: ReadyCheck;
  readonly readyMs?: number;
  /** Sent by `stop` and at disposal; SIGKILL follows after `stopMs`. */
  readonly stopSignal?: NodeJS.Signals;
  readonly stopMs?: number;
}

const DEFAULT_READY_MS = 15_000;
const DEFAULT_STOP_MS = 10_000;
const EXIT_MS = 10_000;
// After a process has ended, its last lines may still be in the pipe; a grandchild that inherited the pipe may keep it open for good.
const DRAIN_MS = 200;

/**
 * Starts a process in a group of its own and resolves when it is ready. The group is killed at disposal, and also
 * when the test process dies without getting that far.
 * @throws AppError `setup.missing_tool` when the command does not exist, `lifecycle.start_failed` when it ends before it
 * is ready, `lifecycle.start_timeout` when it is not ready in time (it is killed then); the last two show its log.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const managed = new ManagedProcess(options);
  await managed.start();
  return managed;
}

/** One command that may run several times in turn, with the same arguments. Get one from `startProcess`. */
export class ManagedProcess implements AsyncDisposable {
  readonly name: string;
  readonly #options: ProcessOptions;
  readonly #log = new LineLog();
  #runLog = new LineLog();
  #stdout = new LineLog();
  readonly #groups = new Set<number>();
  #child: ChildProcess | undefined;
  #exit: Promise<ProcessExit> = Promise.resolve({ code: null, signal: null });
  #running = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.name = options.name ?? options.command;
  }

  /** The process id of the current or, when none runs, the last run. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new AppError("lifecycle.bad_state", `${this.name} was never started`);
    return pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Resolves when the current run ends, whoever ended it. */
  get exited(): Promise<ProcessExit> {
    return this.#exit;
  }

  /** The newest lines of stdout of the current run. */
  get stdout(): readonly string[] {
    return this.#stdout.lines();
  }

  /** The newest lines of stdout and stderr of all runs, in the order they arrived. */
  log(): string {
    return this.#log.lines().join("\n");
  }

  async start(): Promise<void> {
    if (this.#running) throw new AppError("lifecycle.bad_state", `${this.name} runs already`);
    await this.#spawn();
    const { ready, readyMs = DEFAULT_READY_MS } = this.#options;
    if (ready === undefined) return;
    const ended = new AbortController();
    void this.#exit.then((exit) => ended.abort(this.#endedEarly(exit)));
    try {
      await waitFor(() => isReady(ready, this.#runLog.lines()), {
        what: `${this.name} to be ready`,
        deadlineMs: readyMs,
        signal: ended.signal,
      });
    } catch (cause) {
      if (ended.signal.aborted) throw ended.signal.reason;
      await this.kill("SIGKILL");
      const text = `${this.name} was not ready within ${readyMs} ms${this.#logTail()}`;
      throw new AppError("lifecycle.start_timeout", text, { cause });
    }
  }

  /**
   * Sends a signal that ends the process (SIGKILL unless told otherwise) and waits for the end.
   * @throws AppError `lifecycle.stop_timeout` when it is still there after 10 s.
   */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<ProcessExit> {
    this.send(signal);
    const exit = await Promise.race([this.#exit, delay(EXIT_MS, undefined, { ref: false })]);
    if (exit !== undefined) return exit;
    throw new AppError("lifecycle.stop_timeout", `${this.name} outlived ${signal} by ${EXIT_MS} ms`);
  }

  /** Asks politely, then kills. The result tells which of the two it took. */
  async stop(): Promise<ProcessExit> {
    const { stopSignal = "SIGTERM", stopMs = DEFAULT_STOP_MS } = this.#options;
    this.send(stopSignal);
    // A paused process would only see the signal when it goes on.
    this.send("SIGCONT");
    const exit = await Promise.race([this.#exit, delay(stopMs, undefined, { ref: false })]);
    return exit ?? (await this.kill("SIGKILL"));
  }

  /** Ends the current run with `signal`, where there is one, and starts the same command again. */
  async restart(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#running) await this.kill(signal);
    await this.start();
  }

  /** Freezes the process (SIGSTOP): its sockets stay open and nothing answers. Resolves when it stands still. */
  async pause(): Promise<void> {
    this.send("SIGSTOP");
    await waitFor(() => isStopped(this.pid), { what: `${this.name} to stand still` });
  }

  resume(): void {
    this.send("SIGCONT");
  }

  /** Sends a signal and waits for nothing; a process that has ended is left in peace. */
  send(signal: NodeJS.Signals): void {
    if (this.#running) this.#child?.kill(signal);
  }

  /**
   * The first line of stdout, of the current run, that matches: one already written or one to come.
   * @throws AppError `operation.timeout` after `deadlineMs` (5 s unless told otherwise).
   */
  waitForLine(pattern: RegExp, options: { readonly deadlineMs?: number } = {}): Promise<RegExpExecArray> {
    const firstMatch = (): RegExpExecArray | undefined => {
      for (const line of this.#stdout.lines()) {
        const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).exec(line);
        if (match !== null) return match;
      }
      return undefined;
    };
    return waitFor(firstMatch, { what: `a line of ${this.name} like ${pattern}`, ...options });
  }

  /** Ends the process and everything in its group, also what an earlier, killed run left behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) await this.stop();
    for (const group of this.#groups) {
      killGroup(group);
      forget(group);
    }
    this.#groups.clear();
  }

  #spawn(): Promise<void> {
    const { command, args = [], cwd, env = {} } = this.#options;
    // New ones, not emptied ones: late lines of the run before must not be taken for lines of this one.
    this.#runLog = new LineLog();
    this.#stdout = new LineLog();
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env: environmentWith(env),
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#child = child;
    readLines(child.stdout, [this.#log, this.#runLog, this.#stdout]);
    readLines(child.stderr, [this.#log, this.#runLog]);
    this.#exit = new Promise((resolve) => {
      child.once("exit", async (code, signal) => {
        this.#running = false;
        const closed = new Promise<void>((done) => child.once("close", done));
        await Promise.race([closed, delay(DRAIN_MS, undefined, { ref: false })]);
        resolve({ code, signal });
      });
    });
    return new Promise((resolve, reject) => {
      child.once("spawn", () => {
        this.#running = true;
        this.#groups.add(this.pid);
        watch(this.pid);
        resolve();
      });
      child.once("error", (cause) => {
        reject(new AppError("setup.missing_tool", `cannot run ${command} for ${this.name}`, { cause }));
      });
    });
  }

  #endedEarly(exit: ProcessExit): AppError {
    const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`;
    return new AppError(
      "lifecycle.start_failed",
      `${this.name} ended ${how} before it was ready${this.#logTail()}`,
    );
  }

  #logTail(): string {
    const tail = this.#runLog.lines().slice(-20);
    return tail.length === 0 ? "; it wrote nothing" : `; its log ends:\n  ${tail.join("\n  ")}`;
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // ESRCH: nobody of the group is left, which is what we want.
  }
}

async function isStopped(pid: number): Promise<boolean> {
  if (process.platform !== "linux") return true;
  // Third field of proc(5) stat, after the name in brackets: T is stopped.
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
