/** The command line as a user runs it, and a box of it on ports and in a folder of its own. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { isPortFree, ManagedProcess, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import type { BoxFile } from "../../src/box/box-file.js";
import { BOX_PORTS } from "../../src/box/layout.js";

/** The bundle that `npm start` runs. */
export const MAIN = fileURLToPath(new URL("../../dist/bundle/main.mjs", import.meta.url));

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const RUN_TIMEOUT_MS = 30_000;

/** Runs a verb to its end. */
export function myelin(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
  return run(process.execPath, [MAIN, ...args], env);
}

/** Runs a program to its end. */
export function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: RUN_TIMEOUT_MS, env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** How far to move the ports of a box so that none of them is taken. */
export async function freeOffset(): Promise<number> {
  for (;;) {
    const offset = 22_500 + 20 * Math.floor(Math.random() * 40);
    // Each once: MCP has the same for TCP and UDP, and two who look at a port at a time find each other there.
    const ports = new Set(Object.values(BOX_PORTS));
    const free = await Promise.all([...ports].map((port) => isPortFree(port + offset)));
    if (free.every(Boolean)) return offset;
  }
}

export interface TestBox extends AsyncDisposable {
  readonly dataDir: string;
  readonly process: ManagedProcess;
  /** As the box file says now. */
  state(): Promise<BoxFile>;
}

const START_TRIES = 5;

/** Starts a box with `--json`, on ports that nobody has. `shell` is put before it, such as `ulimit -n 300;`. */
export async function startBox(args: readonly string[] = [], shell = ""): Promise<TestBox> {
  const dir: TempDir = await tempDir("cli");
  const dataDir = dir.join("data");
  for (let tried = 1; ; tried++) {
    const ports = ["--port-offset", String(await freeOffset())];
    const command = [MAIN, "up", "--json", "--data-dir", dataDir, "--host", "127.0.0.1", ...ports, ...args];
    const box = new ManagedProcess({
      name: "box",
      command: "sh",
      args: ["-c", `${shell} exec "$@"`, "sh", process.execPath, ...command],
      ready: { line: /"natsUrl"/ },
      readyMs: 30_000,
    });
    try {
      await box.start();
    } catch (error) {
      await box[Symbol.asyncDispose]();
      // Another test was faster; a box that cannot have its ports has written nothing yet.
      if (tried < START_TRIES && box.log().includes("setup.port_in_use")) continue;
      await dir[Symbol.asyncDispose]();
      throw error;
    }
    return {
      dataDir,
      process: box,
      state: async () => JSON.parse(await readFile(`${dataDir}/run/box.json`, "utf8")) as BoxFile,
      async [Symbol.asyncDispose]() {
        await box[Symbol.asyncDispose]();
        await dir[Symbol.asyncDispose]();
      },
    };
  }
}

/** Waits until the named process runs with another id than `before`, and is ready. */
export function isBack(box: TestBox, name: string, before: number | undefined): Promise<unknown> {
  const changed = async (): Promise<boolean> => {
    const child = (await box.state()).processes.find((each) => each.name === name);
    return child?.pid !== undefined && child.pid !== before;
  };
  return waitFor(changed, { what: `${name} to be back`, deadlineMs: 20_000 });
}
