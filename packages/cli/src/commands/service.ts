/** `myelin listener|dispatcher|ipc-bridge|hardware-agent`: one service alone; `myelin core`: what a box runs in one process. */
import { type BusSpec, DEFAULT_EDGE_NODE, type Snapshot } from "@myelin/config";
import { type AnyService, descriptorLimit, openDescriptors, runAndExit } from "@myelin/service-host";
import { releaseStartMemory } from "../release-memory.js";
import type { ServiceName } from "../service-names.js";

/** Sections of all services: what one process does not run, its settings file may still set. */
const SECTIONS: Readonly<Record<Exclude<ServiceName, "core">, string>> = {
  listener: "listener",
  dispatcher: "dispatcher",
  "ipc-bridge": "ipcBridge",
  "hardware-agent": "hardwareAgent",
};

const LOAD_INTERVAL_MS = 250;
/** Descriptors: so many more or fewer since the last collection make another one worth its pause of some 100 ms, */
const LARGE_CHANGE = 2_000;
/** once for two seconds hardly any came or went and the process had little to do. */
const CALM_TICKS = 8;
const CALM_CHANGE = 50;
const CALM_UTILIZATION = 0.2;
/** What a start leaves to do (first heartbeats, books, resources) is done by then. */
const SETTLE_MS = 500;

/** Runs until the process is asked to stop, then ends it with service-host's exit code. */
export async function runService(
  name: ServiceName,
  argv: readonly string[],
  version: string,
): Promise<number> {
  // At once: a supervisor that dies while we still wait for NATS must not leave us behind.
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
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
    ...(name === "core" && { onResources: tellOfHardware }),
    onReady: () => {
      tellSupervisor();
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
    case "hardware-agent":
      return (await import("@myelin/hardware-agent")).hardwareAgentService;
  }
}

/** Under a box: whether there is hardware to drive, so that an agent runs while there is and costs nothing while there is not. */
function tellOfHardware({ resources }: Snapshot): void {
  const wanted = resources.some(
    ({ kind, spec }) => kind === "Bus" && (spec as BusSpec).node === DEFAULT_EDGE_NODE,
  );
  if (process.connected) process.send?.({ type: "hardware", wanted });
}

/** Under a box: says how many file descriptors are in use, so that another worker is added in time. */
function tellSupervisor(): void {
  if (process.send === undefined) return;
  void descriptorLimit().then((limit) => {
    if (limit === undefined) return;
    const quiet = new QuietMoment();
    setInterval(() => void tellLoad(limit, quiet), LOAD_INTERVAL_MS).unref();
  });
}

async function tellLoad(limit: number, quiet: QuietMoment): Promise<void> {
  const used = (await openDescriptors()) ?? limit;
  if (process.connected) process.send?.({ type: "load", used, limit });
  if (quiet.hasComeAfterChange(used)) releaseStartMemory();
}

/** Many connections that came at once leave garbage like a start does; it is collected when they have settled. */
class QuietMoment {
  #released = 0;
  #last = 0;
  #calmTicks = 0;
  #busy = performance.eventLoopUtilization();

  hasComeAfterChange(used: number): boolean {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#busy);
    this.#busy = now;
    const isCalm = Math.abs(used - this.#last) < CALM_CHANGE && utilization < CALM_UTILIZATION;
    this.#last = used;
    this.#calmTicks = isCalm ? this.#calmTicks + 1 : 0;
    if (this.#calmTicks < CALM_TICKS || Math.abs(used - this.#released) < LARGE_CHANGE) return false;
    this.#released = used;
    return true;
  }
}
