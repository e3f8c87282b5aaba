/** Starting one process as a system on a port of its own. */
import { rmSync } from "node:fs";
import { freePort, startProcess, type TempDir, tempDir } from "@myelin/testkit";
import type { Running } from "./system.js";

/** What a plugin decides when its port and folder are known. */
export interface BrokerCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** `protocol` is what the port speaks; `prepare` may write configuration into the folder, which goes with the run. */
export interface BrokerOptions {
  readonly name: string;
  readonly version: string;
  readonly protocol: "mqtt" | "http";
  prepare(port: number, dir: TempDir): Promise<BrokerCommand>;
  readonly extra?: Partial<Running>;
}

const READY_MS = 15_000;

/** Resolves when the port accepts. @throws AppError as `startProcess` of the testkit does. */
export async function startBroker(options: BrokerOptions): Promise<Running> {
  const port = await freePort();
  const dir = await tempDir(`bench-${options.name}`);
  try {
    const { command, args } = await options.prepare(port, dir);
    const broker = await startProcess({
      name: options.name,
      command,
      args,
      ready: { port },
      readyMs: READY_MS,
    });
    // For an interrupted bench: asynchronous clean-up has no more time then.
    const onExit = (): void => {
      broker.send("SIGKILL");
      rmSync(dir.path, { recursive: true, force: true });
    };
    process.once("exit", onExit);
    return {
      version: options.version,
      ...(options.protocol === "mqtt" ? { mqttPort: port } : { httpPort: port }),
      ...options.extra,
      pids: () => [broker.pid],
      async [Symbol.asyncDispose]() {
        process.off("exit", onExit);
        await broker[Symbol.asyncDispose]();
        await dir[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
