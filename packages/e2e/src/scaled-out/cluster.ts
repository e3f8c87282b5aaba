/** Services started alone, each in its process with its settings file, against one nats-server. */
import { mkdir, writeFile } from "node:fs/promises";
import {
  freePort,
  type ManagedProcess,
  type NatsServer,
  startNats,
  startProcess,
  type TempDir,
  tempDir,
  waitFor,
} from "@myelin/testkit";
import { onTestFailed } from "vitest";
import { type Doors, type Ledger, MAIN, myelin } from "../support/index.js";

const PARTITIONS = 8;

export interface Listener extends Doors {
  readonly process: ManagedProcess;
}

export class Cluster implements AsyncDisposable {
  readonly listeners: Listener[] = [];
  readonly dispatchers: ManagedProcess[] = [];
  readonly #dispatcherMetrics: string[] = [];
  readonly #folder: TempDir;
  readonly #nats: NatsServer;
  readonly #stack = new AsyncDisposableStack();
  /** Where the one bridge takes applications. */
  appTarget = "";

  constructor(folder: TempDir, nats: NatsServer) {
    this.#folder = folder;
    this.#nats = nats;
    this.#stack.use(folder);
    this.#stack.use(nats);
  }

  get dataDir(): string {
    return this.#folder.path;
  }

  async addListener(): Promise<void> {
    const [http, mqtt, mcpTcp, mcpUdp] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const host = "127.0.0.1";
    const protocols = {
      http: { http: { host, port: http } },
      mqtt: { mqtt: { host, port: mqtt } },
      tcp: { tcp: { host, port: mcpTcp } },
      udp: { udp: { host, port: mcpUdp } },
      websocket: {},
      auto: {},
    };
    const process = await this.#service("listener", `listener-${this.listeners.length}`, {
      listener: { protocols },
    });
    const httpUrl = `http://${host}:${http}/api/v1`;
    this.listeners.push({ process, ports: { http, mqtt, mcpTcp, mcpUdp }, httpUrl });
  }

  async addDispatcher(): Promise<void> {
    const name = `dispatcher-${this.dispatchers.length}`;
    const port = await freePort();
    this.dispatchers.push(await this.#service("dispatcher", name, { dispatcher: {} }, port));
    this.#dispatcherMetrics.push(`http://127.0.0.1:${port}/metrics`);
  }

  async addBridge(): Promise<void> {
    const port = await freePort();
    await this.#service("ipc-bridge", "bridge-0", {
      ipcBridge: {
        grpc: { host: "127.0.0.1", port },
        socket: { path: this.#folder.join("apps.sock") },
      },
    });
    this.appTarget = `127.0.0.1:${port}`;
  }

  /** Resolves when each dispatcher owns its share of the partitions. */
  async balanced(): Promise<void> {
    const share = PARTITIONS / this.dispatchers.length;
    await waitFor(
      async () => (await this.figures("myelin_dispatcher_partitions")).every((owned) => owned === share),
      { what: "partitions to be shared out", deadlineMs: 30_000, everyMs: 200 },
    );
  }

  /** What a metric without labels is in each dispatcher. */
  figures(metric: string): Promise<number[]> {
    const line = new RegExp(`^${metric} (\\d+)$`, "m");
    return Promise.all(
      this.#dispatcherMetrics.map(async (url) => {
        const response = await fetch(url);
        return Number(line.exec(await response.text())?.[1]);
      }),
    );
  }

  /** The books of all services that answer, once nothing is on the way. */
  settledLedger(): Promise<Ledger> {
    return waitFor(
      async () => {
        const { stdout } = await myelin(["ledger", "--json", "--nats", this.#nats.url]);
        const ledger = JSON.parse(stdout) as Ledger;
        const queued = ledger.rows.reduce((sum, row) => sum + row.queued, 0);
        return queued === 0 && ledger.unaccounted === 0 ? ledger : undefined;
      },
      { what: "books that close", deadlineMs: 15_000, everyMs: 200 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #service(
    verb: string,
    instance: string,
    sections: Readonly<Record<string, unknown>>,
    adminPort?: number,
  ): Promise<ManagedProcess> {
    const admin = adminPort ?? (await freePort());
    const file = this.#folder.join(`${instance}.yaml`);
    const config = {
      process: { instance, dataDir: this.#folder.join("output") },
      admin: { host: "127.0.0.1", port: admin },
      nats: { servers: [this.#nats.url], partitions: PARTITIONS, maxStore: "512MiB" },
      resources: { directory: this.#folder.join("resources") },
      ...sections,
    };
    // JSON is YAML.
    await writeFile(file, JSON.stringify(config, null, 2));
    const service = await startProcess({
      name: instance,
      command: process.execPath,
      args: [MAIN, verb, "--config", file],
      ready: { url: `http://127.0.0.1:${admin}/readyz` },
      readyMs: 30_000,
    });
    this.#stack.use(service);
    onTestFailed(() => {
      process.stderr.write(`--- ${instance}\n${service.log().split("\n").slice(-15).join("\n")}\n`);
    });
    return service;
  }
}

/** Two listeners, two dispatchers, one bridge. */
export async function startCluster(): Promise<Cluster> {
  const folder = await tempDir("cluster");
  await mkdir(folder.join("resources"));
  const cluster = new Cluster(folder, await startNats());
  try {
    await Promise.all([cluster.addBridge(), cluster.addListener(), cluster.addDispatcher()]);
    await Promise.all([cluster.addListener(), cluster.addDispatcher()]);
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}
