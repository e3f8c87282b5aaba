/** The box as a user starts it: the built command line in a process of its own, on ports and in a folder that nobody else uses. */
import { execFile } from "node:child_process";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "@myelin/kernel";
import { findTool, ManagedProcess, type TempDir, tempDir, waitFor } from "@myelin/testkit";

/** The bundle that `npm start` runs. */
export const MAIN = fileURLToPath(new URL("../../../cli/dist/bundle/main.mjs", import.meta.url));

/** How the box differs from the one that `npm start` starts. */
export interface BoxOptions {
  readonly durability?: "strict" | "balanced";
  readonly workers?: number;
  readonly maxStoreBytes?: number;
  /** Kept by the caller over several boxes; made and removed with the box when left out. */
  readonly dataDir?: string;
  /** Taken from the free ones when left out. */
  readonly portOffset?: number;
  /** On top of this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What the box writes about itself, as far as the stories read it. */
export interface BoxState {
  readonly pid: number;
  readonly ports: Readonly<
    Record<
      "http" | "mqtt" | "grpc" | "mcpTcp" | "mcpUdp" | "lines" | "auto" | "nats" | "natsMonitor" | "admin",
      number
    >
  >;
  readonly natsUrl: string;
  readonly natsTokenFile: string;
  readonly appSocket: string;
  readonly processes: readonly { readonly name: string; readonly pid?: number; readonly restarts: number }[];
}

/** Where devices enter: a box, or a listener alone. */
export interface Doors {
  readonly ports: Pick<BoxState["ports"], "http" | "mqtt" | "mcpTcp" | "mcpUdp">;
  readonly httpUrl: string;
}

/** One hop, lane and target of the books, as `myelin ledger --json` prints it. */
export interface LedgerRow {
  readonly hop: string;
  readonly lane: string;
  readonly target: string;
  readonly received: number;
  readonly forwarded: number;
  readonly stored: number;
  readonly expired: number;
  readonly queued: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly unaccounted: number;
}

export interface Ledger {
  readonly instances: readonly { readonly service: string; readonly instance: string }[];
  readonly rows: readonly LedgerRow[];
  readonly unaccounted: number;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const COMMAND_TIMEOUT_MS = 30_000;
const BACK_DEADLINE_MS = 20_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

// All ports of a box, moved by this much, lie above the privileged ones and below those of outgoing connections.
const FIRST_OFFSET = 10_000;
const OFFSETS = 1_200;
const OFFSET_STEP = 10;
const START_ATTEMPTS = 8;

/** Starts a box and resolves when it is ready. */
export async function launchBox(options: BoxOptions = {}): Promise<Box> {
  const folder = options.dataDir === undefined ? await tempDir("box") : undefined;
  const dataDir = options.dataDir ?? (folder as TempDir).path;
  for (let attempt = 1; ; attempt++) {
    const box = new Box(dataDir, folder, boxArguments(dataDir, options), options.env);
    try {
      await box.process.start();
      await box.readState();
      return box;
    } catch (error) {
      // Whoever else took a port of this offset in the meantime keeps it; another offset does as well.
      const taken = options.portOffset === undefined && box.process.log().includes("setup.port_in_use");
      if (taken && attempt < START_ATTEMPTS) continue;
      await box[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** Arguments of `myelin up` for a box of the stories; device ports on loopback only. */
export function boxArguments(dataDir: string, options: BoxOptions = {}): string[] {
  const offset = options.portOffset ?? randomOffset();
  return [
    MAIN,
    "up",
    "--json",
    "--data-dir",
    dataDir,
    "--port-offset",
    String(offset),
    "--host",
    "127.0.0.1",
    "--durability",
    options.durability ?? "strict",
    ...(options.workers === undefined ? [] : ["--workers", String(options.workers)]),
    ...(options.maxStoreBytes === undefined ? [] : ["--max-store", String(options.maxStoreBytes)]),
  ];
}

function randomOffset(): number {
  return FIRST_OFFSET + OFFSET_STEP * Math.floor(Math.random() * OFFSETS);
}

/** Runs a verb of `myelin` to its end. */
export function myelin(args: readonly string[], cwd?: string): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, cwd };
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** A running box. Get one from `startBox`. */
export class Box implements AsyncDisposable {
  readonly dataDir: string;
  readonly process: ManagedProcess;
  readonly #folder: TempDir | undefined;
  #state: BoxState | undefined;
  #lastLogs: string | undefined;

  constructor(
    dataDir: string,
    folder: TempDir | undefined,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.dataDir = dataDir;
    this.#folder = folder;
    this.process = new ManagedProcess({
      name: "myelin up",
      command: process.execPath,
      args,
      env,
      ready: { line: /"natsUrl"/ },
      readyMs: 40_000,
      stopSignal: "SIGINT",
      stopMs: 25_000,
    });
  }

  /** As read last. */
  get state(): BoxState {
    if (this.#state === undefined) throw new AppError("lifecycle.bad_state", "the box was not started");
    return this.#state;
  }

  get ports(): BoxState["ports"] {
    return this.state.ports;
  }

  /** Where devices post: `devices/<id>/messages/<path>` below it. */
  get httpUrl(): string {
    return `http://127.0.0.1:${this.ports.http}/api/v1`;
  }

  path(...parts: string[]): string {
    return join(this.dataDir, ...parts);
  }

  async readState(): Promise<BoxState> {
    this.#state = JSON.parse(await readFile(this.path("run", "box.json"), "utf8")) as BoxState;
    return this.#state;
  }

  pidOf(name: string): number {
    const pid = this.state.processes.find((one) => one.name === name)?.pid;
    if (pid === undefined) throw new AppError("lifecycle.bad_state", `no process ${name} runs`);
    return pid;
  }

  /** Kills one process of the box as the kernel does when memory runs out; resolves when another one is ready in its place. */
  async kill(name: string): Promise<void> {
    const before = (await this.readState()).processes.find((one) => one.name === name);
    process.kill(this.pidOf(name), "SIGKILL");
    await waitFor(
      async () => {
        const now = (await this.readState()).processes.find((one) => one.name === name);
        return now !== undefined && now.pid !== undefined && now.restarts > (before?.restarts ?? 0);
      },
      { what: `${name} to come back`, deadlineMs: BACK_DEADLINE_MS },
    );
  }

  /** Runs a verb against this box. */
  myelin(verb: string, ...args: string[]): Promise<CommandResult> {
    return myelin([verb, "--data-dir", this.dataDir, ...args]);
  }

  async ledger(): Promise<Ledger> {
    const { stdout } = await this.myelin("ledger", "--json");
    return JSON.parse(stdout) as Ledger;
  }

  /** The books once nothing is on the way any more; throws with the last ones when that does not come. */
  async settledLedger(deadlineMs = 15_000): Promise<Ledger> {
    let last: Ledger | undefined;
    try {
      return await waitFor(
        async () => {
          last = await this.ledger();
          const queued = last.rows.reduce((sum, row) => sum + row.queued, 0);
          return queued === 0 && last.unaccounted === 0 && last.instances.length >= 3 ? last : undefined;
        },
        { what: "books that close", deadlineMs, everyMs: 200 },
      );
    } catch (cause) {
      throw new AppError("operation.timeout", `the books do not close: ${JSON.stringify(last, null, 1)}`, {
        cause,
      });
    }
  }

  /** Writes a resource file as an editor does: a new file put in the place of the old one. */
  async writeResource(name: string, text: string): Promise<void> {
    const file = this.path("resources", name);
    await writeFile(`${file}.tmp`, text);
    await rename(`${file}.tmp`, file);
  }

  /** A page of the core's admin port, as JSON. */
  async adminPage(path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.admin}${path}`, {
      signal: AbortSignal.timeout(5_000),
    });
    return answer.json();
  }

  /** The last lines of every process. */
  async logs(): Promise<string> {
    if (this.#lastLogs !== undefined) return this.#lastLogs;
    const parts = [`--- myelin up\n${tail(this.process.log())}`];
    for (const { name } of this.#state?.processes ?? []) {
      const text = await readFile(this.path("logs", `${name}.log`), "utf8").catch(() => "(no log)");
      parts.push(`--- ${name}\n${tail(text)}`);
    }
    return parts.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    this.#lastLogs = await this.logs();
    await this.#folder?.[Symbol.asyncDispose]();
  }
}

function tail(text: string): string {
  return text.split("\n").slice(-25).join("\n");
}

/** The nats-server beside which single services are started. */
export function natsServerProgram(): string {
  const program = findTool("nats-server");
  if (program === undefined) throw new AppError("setup.missing_tool", "no nats-server here");
  return program;
}
