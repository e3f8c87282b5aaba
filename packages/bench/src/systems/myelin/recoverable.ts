/** What the recovery scenario does to a box: edit its routes, kill its processes, ask whether they are ready. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lane, Recoverable } from "../system.js";

/** What the box keeps for other commands: `run/box.json` of its data directory. */
export interface BoxFile {
  readonly version: string;
  readonly pid: number;
  readonly natsVersion: string;
  readonly ports: Readonly<Record<"http" | "mqtt" | "grpc" | "mcpTcp" | "admin" | "natsMonitor", number>>;
  readonly processes: readonly { readonly name: string; readonly pid?: number }[];
}

const DEVICE = "recovery";
const ASK_MS = 500;

/** `state` reads what the box says of itself now. */
export function recoverable(dataDir: string, state: () => BoxFile): Recoverable {
  const { ports } = state();
  const folder = join(dataDir, "resources");
  const pidOf = (name: string): number | undefined => state().processes.find((one) => one.name === name)?.pid;
  return {
    appTarget: `127.0.0.1:${ports.grpc}`,
    postUrl: (lane: Lane) =>
      `http://127.0.0.1:${ports.http}/api/v1/devices/${DEVICE}/messages/recovery/data?lane=${lane}`,
    async writeRoute(app) {
      await mkdir(folder, { recursive: true });
      const partial = join(dataDir, "recovery.yaml.partial");
      await writeFile(partial, route(app));
      await rename(partial, join(folder, "recovery.yaml"));
    },
    pidOf,
    async isReady(name) {
      if (pidOf(name) === undefined) return false;
      try {
        const answer = await fetch(readyUrl(name, ports), { signal: AbortSignal.timeout(ASK_MS) });
        await answer.body?.cancel();
        return answer.ok;
      } catch {
        // Nobody listens there yet.
        return false;
      }
    },
  };
}

function route(app: string): string {
  return `apiVersion: myelin.dev/v1alpha1
kind: Route
metadata: { name: recovery }
spec:
  match: { topics: ["recovery/#"] }
  targets: [{ app: ${app} }]
  stop: true
`;
}

/** Where the box itself asks: core answers on the first admin port, listener worker n on the nth behind it. */
function readyUrl(name: string, ports: BoxFile["ports"]): string {
  if (name === "nats-server") return `http://127.0.0.1:${ports.natsMonitor}/healthz`;
  const worker = /^listener-(\d+)$/.exec(name)?.[1];
  return `http://127.0.0.1:${ports.admin + (worker === undefined ? 0 : 1 + Number(worker))}/readyz`;
}
