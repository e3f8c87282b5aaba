/** The embedded box: nats-server and the services as child processes, supervised. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { type BoxFile, writeBoxFile } from "./box-file.js";
import { Child, type ChildEvents, type ChildSpec } from "./child.js";
import {
  ADMIN_PORT_OF_AGENT,
  ADMIN_PORTS_OF_WORKERS,
  type BoxLayout,
  type BoxPorts,
  MAX_LISTENER_WORKERS,
} from "./layout.js";
import { type Durability, natsConf } from "./nats-conf.js";
import { NatsHealth } from "./nats-health.js";
import { answersAnything, answersOk } from "./probe.js";
import { agentConfig, coreConfig, listenerConfig } from "./service-config.js";

/** Everything a box is started from: plain data, because it is handed from one process image to the next. */
export interface BoxPlan {
  readonly layout: BoxLayout;
  readonly ports: BoxPorts;
  /** Address the device ports listen on; NATS, gRPC and admin stay on loopback. */
  readonly host: string;
  readonly durability: Durability;
  readonly partitions: number;
  readonly workers: number;
  readonly maxStoreBytes: number;
  readonly natsServer: string;
  /** Program and arguments that run this CLI again. */
  readonly self: readonly [string, ...string[]];
  readonly version: string;
  readonly natsVersion: string;
}

/** Told what an operator wants to know; one sentence each. */
export type Report = (line: string) => void;

/** Message of a listener worker about its file descriptors. */
interface LoadMessage {
  readonly type: "load";
  readonly used: number;
  readonly limit: number;
}

/** Message of the core: whether a Bus asks for an agent. */
interface HardwareMessage {
  readonly type: "hardware";
  readonly wanted: boolean;
}

const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
/** A process busy with a burst may answer late; one that does not answer three of these in a row hangs. */
const ALIVE_TIMEOUT_MS = 5_000;
/** Nothing is stored while NATS is not well, so it is asked more often than the others. */
const NATS_ALIVE_EVERY_MS = 2_000;
/** A worker is added when all together have less room than this share of one worker's descriptors, */
const LOW_SHARE = 0.1;
/** or than what will come at the present rate while it starts. */
const START_SECONDS = 0.8;
/** A storm ends as a rule: while there is more room than this share of all, it is no reason for another process. */
const STORM_SHARE = 0.2;
const GROWTH_MS = 250;
/** A small young generation: batches live outside the heap, so a larger one buys no speed, and 10 MB a process. */
const V8_FLAGS = ["--max-semi-space-size=2"];
/**
 * The same for glibc, mallopt(3): by default each thread keeps what it once freed, some 4 MB in each process. Named, the threshold
 * of what is mapped apart stays fixed, so it is set above all batches: those are taken from the heap and given back to it.
 */
const MALLOC = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: String(1024 * 1024),
  MALLOC_MMAP_THRESHOLD_: String(4 * 1024 * 1024),
};

export class Box {
  readonly #plan: BoxPlan;
  readonly #report: Report;
  readonly #workers: Child[] = [];
  readonly #load = new Map<Child, LoadMessage>();
  #nats: Child | undefined;
  #core: Child | undefined;
  #agent: Child | undefined;
  #wantsAgent = false;
  #settlingAgent: Promise<void> = Promise.resolve();
  #startedAt = "";
  #stopping = false;
  #stopped: Promise<void> | undefined;
  #scaling = false;
  #scalingFailure = "";
  #growth = { at: 0, used: 0, perSecond: 0 };
  #writing: Promise<void> = Promise.resolve();

  /** `plan` must have passed `preflight`. */
  constructor(plan: BoxPlan, report: Report) {
    this.#plan = plan;
    this.#report = report;
  }

  /**
   * Starts everything; resolves when all is ready.
   * @throws AppError `setup.*`; what had begun is stopped before
   */
  async start(): Promise<BoxFile> {
    const { ports, workers: count } = this.#plan;
    this.#startedAt = new Date().toISOString();
    try {
      await this.#startNats();
      const core = await coreConfig(this.#plan);
      this.#throwIfStopping();
      this.#core = this.#child("core", ports.admin, core);
      const workers = [];
      for (let i = 0; i < count; i++) workers.push(await this.#addWorker());
      await Promise.all([this.#core.start(), ...workers.map((worker) => worker.start())]);
      return await this.#writeState();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops inputs first, then the core, then NATS. Safe twice and during a start. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#workers.map((worker) => worker.stop()), this.#agent?.stop()]);
    await this.#settlingAgent;
    await this.#core?.stop();
    await this.#nats?.stop();
    await this.#writing;
    const { boxFile, claim } = this.#plan.layout;
    await rm(boxFile, { force: true });
    await rm(claim, { force: true });
  }

  /** Ctrl-C in the middle of a start: what is not yet spawned never is, what is spawned is stopped by `stop`. */
  #throwIfStopping(): void {
    if (this.#stopping) throw new AppError("operation.aborted", "the start was broken off");
  }

  async #startNats(): Promise<void> {
    const { layout, ports, durability, natsServer } = this.#plan;
    const token = (await readFile(layout.natsToken, "utf8")).trim();
    const conf = natsConf({
      port: ports.nats,
      monitorPort: ports.natsMonitor,
      storeDir: layout.jetstream,
      token,
      durability,
    });
    await writeFile(layout.natsConfig, conf, { mode: 0o600 });
    this.#throwIfStopping();
    const health = new NatsHealth(ports.natsMonitor, layout.jetstream, this.#report);
    this.#nats = new Child(
      {
        ...this.#common("nats-server"),
        command: natsServer,
        args: ["-c", layout.natsConfig],
        isReady: () => health.isReady(),
        complaint: () => health.complaint(),
        times: { aliveEveryMs: NATS_ALIVE_EVERY_MS },
        ipc: false,
      },
      this.#events(),
    );
    await this.#nats.start();
  }

  #common(name: string): Pick<ChildSpec, "name" | "logFile" | "readyTimeoutMs" | "stopTimeoutMs"> {
    return {
      name,
      logFile: `${this.#plan.layout.logs}/${name}.log`,
      readyTimeoutMs: READY_TIMEOUT_MS,
      stopTimeoutMs: STOP_TIMEOUT_MS,
    };
  }

  #child(name: string, adminPort: number, args: readonly string[]): Child {
    const [command, ...first] = this.#plan.self;
    return new Child(
      {
        ...this.#common(name),
        command,
        args: [...V8_FLAGS, ...first, ...args],
        environment: MALLOC,
        isReady: () => answersOk(adminPort, "/readyz"),
        complaint: async () =>
          (await answersAnything(adminPort, "/livez", ALIVE_TIMEOUT_MS)) ? undefined : "no sign of life",
        ipc: true,
      },
      this.#events(),
    );
  }

  async #addWorker(): Promise<Child> {
    const index = this.#workers.length;
    const admin = this.#plan.ports.admin + ADMIN_PORTS_OF_WORKERS + index;
    const config = await listenerConfig(this.#plan, index, admin);
    this.#throwIfStopping();
    const worker = this.#child(`listener-${index}`, admin, config);
    this.#workers.push(worker);
    return worker;
  }

  #events(): ChildEvents {
    const report = this.#report;
    return {
      onDown: (child, how) => {
        this.#load.delete(child);
        report(`${child.spec.name} ended (${how}); starting it again. Its log: ${child.spec.logFile}`);
      },
      onFailing: (child, how) => {
        this.#load.delete(child);
        report(`${child.spec.name} ends again and again (${how}); trying on. Its log: ${child.spec.logFile}`);
      },
      onBack: (child, downMs) => {
        report(`${child.spec.name} is back after ${(downMs / 1000).toFixed(1)} s.`);
      },
      onReplaced: () => void this.#tryWriteState(),
      onMessage: (child, message) => this.#onMessage(child, message),
    };
  }

  #onMessage(child: Child, message: unknown): void {
    if (isHardware(message)) {
      this.#wantsAgent = message.wanted;
      this.#settlingAgent = this.#settlingAgent.then(() => this.#settleAgent());
    }
    if (!isLoad(message)) return;
    this.#load.set(child, message);
    let free = 0;
    let used = 0;
    for (const worker of this.#workers) {
      const load = this.#load.get(worker);
      // One that has not said yet is new or restarted: it has room.
      if (load === undefined) return;
      free += load.limit - load.used;
      used += load.used;
    }
    const now = performance.now();
    if (now - this.#growth.at >= GROWTH_MS) {
      const perSecond = ((used - this.#growth.used) / (now - this.#growth.at)) * 1000;
      this.#growth = { at: now, used, perSecond };
    }
    const soon = Math.min(this.#growth.perSecond * START_SECONDS, (used + free) * STORM_SHARE);
    const isFull = free < message.limit * LOW_SHARE || free < soon;
    if (isFull && !this.#scaling && !this.#stopping) void this.#scaleUp();
  }

  /** The agent runs while a Bus asks for it. A start that fails is tried again with the next change of resources. */
  async #settleAgent(): Promise<void> {
    if (this.#stopping || this.#wantsAgent === (this.#agent !== undefined)) return;
    const agent = this.#agent;
    try {
      if (agent !== undefined) {
        this.#agent = undefined;
        await agent.stop();
        this.#report("No Bus is left, so the hardware-agent was stopped.");
      } else {
        const admin = this.#plan.ports.admin + ADMIN_PORT_OF_AGENT;
        const config = await agentConfig(this.#plan, admin);
        this.#throwIfStopping();
        this.#agent = this.#child("hardware-agent", admin, config);
        await this.#agent.start();
        this.#report("There is a Bus, so a hardware-agent was started.");
      }
    } catch (error) {
      if (this.#stopping) return;
      await this.#agent?.stop();
      this.#agent = undefined;
      this.#report(
        `Could not ${agent === undefined ? "start" : "stop"} the hardware-agent: ${inWords(error)}`,
      );
    }
    await this.#tryWriteState();
  }

  async #scaleUp(): Promise<void> {
    if (this.#workers.length >= MAX_LISTENER_WORKERS) return;
    this.#scaling = true;
    let worker: Child | undefined;
    try {
      worker = await this.#addWorker();
      await worker.start();
      this.#scalingFailure = "";
      this.#report(`The listener workers have room for few more connections; ${worker.spec.name} was added.`);
    } catch (error) {
      if (worker !== undefined) await this.#dropWorker(worker);
      this.#reportScaling(`Could not add a listener worker: ${inWords(error)}`);
      return;
    } finally {
      this.#scaling = false;
    }
    await this.#tryWriteState();
  }

  /** Every report of load tries again, so what stays the same is said once; a stop in between is no failure. */
  #reportScaling(failure: string): void {
    if (this.#stopping || failure === this.#scalingFailure) return;
    this.#scalingFailure = failure;
    this.#report(failure);
  }

  async #dropWorker(worker: Child): Promise<void> {
    this.#workers.pop();
    try {
      await worker.stop();
    } catch (error) {
      this.#report(`Could not stop ${worker.spec.name}: ${inWords(error)}`);
    }
  }

  /** For callers that nobody waits for: a full disk must not end the supervisor, whose children run on. */
  async #tryWriteState(): Promise<void> {
    try {
      await this.#writeState();
    } catch (error) {
      this.#report(
        `Could not write ${this.#plan.layout.boxFile}, so other commands see an older state: ${inWords(error)}`,
      );
    }
  }

  /** One writer at a time; the last state wins. */
  #writeState(): Promise<BoxFile> {
    const { layout, ports, version } = this.#plan;
    const children = [this.#nats, this.#core, ...this.#workers, this.#agent].filter(
      (child) => child !== undefined,
    );
    const box: BoxFile = {
      pid: process.pid,
      startedAt: this.#startedAt,
      version,
      ports,
      natsUrl: `nats://127.0.0.1:${ports.nats}`,
      natsTokenFile: layout.natsToken,
      natsVersion: this.#plan.natsVersion,
      appSocket: layout.appSocket,
      processes: children.map((child) => ({
        name: child.spec.name,
        pid: child.pid,
        restarts: child.restarts,
      })),
    };
    const written = this.#writing.then(() => (this.#stopping ? undefined : writeBoxFile(layout, box)));
    // A failed write must not keep later ones; whoever awaits this one sees it.
    this.#writing = written.then(
      () => undefined,
      () => undefined,
    );
    return written.then(() => box);
  }
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isHardware(message: unknown): message is HardwareMessage {
  return (
    typeof message === "object" && message !== null && (message as { type?: unknown }).type === "hardware"
  );
}

function isLoad(message: unknown): message is LoadMessage {
  return typeof message === "object" && message !== null && (message as { type?: unknown }).type === "load";
}
