/** What every server of the testkit can do. */
import type { ManagedProcess, ProcessExit } from "../process/managed-process.js";
import type { TempDir } from "../temp-dir.js";

/** A real server on a port of its own, with its data in a temporary folder that goes with it. */
export interface TestServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** As a client wants it: `nats://…`, `mqtt://…`. */
  readonly url: string;
  readonly dataDir: string;
  readonly process: ManagedProcess;
  /** Ends it with SIGKILL, as a crash would, unless another signal is named; resolves when it is gone. */
  kill(signal?: NodeJS.Signals): Promise<ProcessExit>;
  /** Starts it again on the same port with the same data; a running one is killed first, as by `kill`. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Freezes it: connections stay open, nothing answers. */
  pause(): Promise<void>;
  resume(): void;
  log(): string;
}

/** Disposal ends the process, then removes the folder. */
export function serverOf(process: ManagedProcess, dir: TempDir, scheme: string, port: number): TestServer {
  const host = "127.0.0.1";
  return {
    host,
    port,
    url: `${scheme}://${host}:${port}`,
    dataDir: dir.path,
    process,
    kill: (signal) => process.kill(signal),
    restart: (signal) => process.restart(signal),
    pause: () => process.pause(),
    resume: () => process.resume(),
    log: () => process.log(),
    async [Symbol.asyncDispose]() {
      await process[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}
