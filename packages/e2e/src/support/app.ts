/** An application of the stories: a process that can be killed, and what it has received so far. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type ManagedProcess, startProcess, waitFor } from "@myelin/testkit";
import type { Box } from "./box.js";

const PROGRAM = fileURLToPath(new URL("./app-process.ts", import.meta.url));

export interface AppOptions {
  readonly app: string;
  readonly filters: readonly string[];
  readonly instance?: string;
  /** gRPC unless told otherwise. */
  readonly over?: "grpc" | "socket";
  /** In the place of the box's own bridge. */
  readonly target?: string;
  readonly answer?: boolean;
  readonly asleep?: boolean;
  readonly credit?: { readonly messages?: number; readonly bytes?: number };
  /** Where the lines go, to be shared by the instances of an app; `apps/<app>.ndjson` of the box otherwise. */
  readonly file?: string;
}

/** One message as the application saw it; `text` is cut to 200 characters. */
export interface Received {
  readonly device: string;
  readonly path: string;
  readonly protocol: string;
  readonly lane: "telemetry" | "event";
  readonly redelivered: boolean;
  readonly text: string;
}

export class App implements AsyncDisposable {
  readonly process: ManagedProcess;
  readonly #file: string;

  constructor(process: ManagedProcess, file: string) {
    this.process = process;
    this.#file = file;
  }

  /** Everything received by all runs, in the order of arrival. */
  async received(): Promise<Received[]> {
    const lines = (await readFile(this.#file, "utf8")).split("\n");
    // What follows the last line break is being written.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as Received);
  }

  /** Resolves with everything received when at least `count` different texts are there. */
  receivedTexts(count: number, deadlineMs = 20_000): Promise<Received[]> {
    return waitFor(
      async () => {
        const all = await this.received();
        return new Set(all.map(({ text }) => text)).size >= count ? all : undefined;
      },
      { what: `${count} messages at ${this.process.name}`, deadlineMs, everyMs: 50 },
    );
  }

  wake(): void {
    this.process.send("SIGUSR2");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process[Symbol.asyncDispose]();
  }
}

/** Starts an application and resolves when it is connected. */
export async function startApp(box: Pick<Box, "dataDir"> & Partial<Box>, options: AppOptions): Promise<App> {
  const { over = "grpc", file = `${box.dataDir}/${options.app}.ndjson`, target, ...rest } = options;
  const own = over === "grpc" ? `127.0.0.1:${box.ports?.grpc}` : `unix:${box.state?.appSocket}`;
  const process = await startProcess({
    name: `app ${options.app}`,
    command: globalThis.process.execPath,
    args: [PROGRAM, JSON.stringify({ ...rest, target: target ?? own, file })],
    ready: { line: /^ready$/ },
  });
  return new App(process, file);
}
