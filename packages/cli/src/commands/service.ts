/** `myelin listener|dispatcher|ipc-bridge`: one service alone; `myelin core`: what a box runs in one process. */
import { readdir, readFile } from "node:fs/promises";
import { type AnyService, runAndExit } from "@myelin/service-host";
import { releaseStartMemory } from "../release-memory.js";
import type { ServiceName } from "../service-names.js";

/** Sections of all services: what one process does not run, its settings file may still set. */
const SECTIONS: Readonly<Record<Exclude<ServiceName, "core">, string>> = {
  listener: "listener",
  dispatcher: "dispatcher",
  "ipc-bridge": "ipcBridge",
};

const LOAD_INTERVAL_MS = 1_000;
/** What a start leaves to do (first heartbeats, books, resources) is done by then. */
const SETTLE_MS = 500;

/** Runs until the process is asked to stop, then ends it with service-host's exit code. */
export async function runService(
  name: ServiceName,
  argv: readonly string[],
  version: string,
): Promise<number> {
  const names = name === "core" ? (["dispatcher", "ipc-bridge"] as const) : [name];
  const services: AnyService[] = [];
  for (const each of names) services.push(await load(each));
  const own = new Set(services.map((service) => service.section));
  return runAndExit({
    name,
    version,
    services,
    argv,
    foreignSections: Object.values(SECTIONS).filter((section) => !own.has(section)),
    onReady: () => {
      obeySupervisor();
      setTimeout(releaseStartMemory, SETTLE_MS).unref();
    },
  });
}

async function load(name: Exclude<ServiceName, "core">): Promise<AnyService> {
  switch (name) {
    case "listener":
      return (await import("@myelin/listener")).listenerService();
    case "dispatcher":
      return (await import("@myelin/dispatcher")).dispatcherService;
    case "ipc-bridge":
      return (await import("@myelin/ipc-bridge")).ipcBridgeService;
  }
}

/** Under a box: says how many file descriptors are in use, and ends when the supervisor is gone. */
function obeySupervisor(): void {
  if (process.send === undefined) return;
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  void descriptorLimit().then((limit) => {
    if (limit === undefined) return;
    setInterval(() => void tellLoad(limit), LOAD_INTERVAL_MS).unref();
  });
}

async function tellLoad(limit: number): Promise<void> {
  try {
    const used = (await readdir("/proc/self/fd")).length;
    if (process.connected) process.send?.({ type: "load", used, limit });
  } catch {
    // Out of descriptors even for this look: that is a full worker.
    if (process.connected) process.send?.({ type: "load", used: limit, limit });
  }
}

/** Undefined where the system does not tell, as outside Linux: the number of workers is fixed there. */
async function descriptorLimit(): Promise<number | undefined> {
  try {
    const found = /Max open files\s+(\d+)/.exec(await readFile("/proc/self/limits", "utf8"))?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}
