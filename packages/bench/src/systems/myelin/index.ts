/** Myelin as `npm start` starts it: the box, with an app over gRPC in its own process. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeMcpFrame } from "@myelin/contract";
import { freePort, freePorts, startNats, startProcess, tempDir } from "@myelin/testkit";
import { siblingProgram } from "../../paths.js";
import { type Controlled, startControlled } from "../../process/controlled.js";
import type { BridgedOptions, ConsumeOptions, HttpTarget, Lane, Running, System } from "../system.js";
import { METERS, metered } from "./metered.js";
import { operable } from "./operable.js";
import { type BoxFile, recoverable } from "./recoverable.js";

const READY_MS = 30_000;
const VARIANTS = ["strict", "balanced"];
/** The command as `npm start` and its users run it. */
const myelin = (): string => fileURLToPath(new URL("../../../../../bin/myelin", import.meta.url));
const bundle = (): string => fileURLToPath(new URL("../../../../cli/dist/bundle/main.mjs", import.meta.url));

export const plugin: System = {
  name: "myelin",
  protocols: ["mqtt", "tcp", "http"],
  variants: VARIANTS,
  services: ["listener", "dispatcher", "ipc-bridge"],
  async lack() {
    if (existsSync(bundle())) return undefined;
    return { what: "the built command line", remedy: "npm run bench builds it; or tsc -b" };
  },
  start: ({ variant = VARIANTS[0]! }) => startBox(variant),
  startBridged: ({ variant = VARIANTS[0]!, ...bridge }) => startBox(variant, bridgeResource(bridge)),
  startCommanded: async () => {
    const running = await startBox(VARIANTS[0]!, PUMPS);
    return { ...running, commander: (...load) => startCommander(running, ...load) };
  },
  startMetered: async () => metered(await startBox(VARIANTS[0]!, METERS)),
  startService,
};

/** One service against a nats-server of its own, which is not counted. */
async function startService(service: string): Promise<Running> {
  const nats = await startNats();
  const dir = await tempDir(`bench-${service}`);
  const [admin, ...ports] = await freePorts(8);
  const port = (): number => ports.pop() as number;
  const config = {
    process: { dataDir: dir.path },
    admin: { port: admin },
    nats: { servers: [nats.url], maxStore: "1GiB" },
    resources: { directory: dir.path },
    ...(service === "ipc-bridge" && { ipcBridge: { grpc: { port: port() } } }),
    ...(service === "listener" && {
      listener: {
        protocols: {
          mqtt: { mqtt: { port: port() } },
          http: { http: { port: port() } },
          tcp: { tcp: { port: port() } },
          udp: { udp: { port: port() } },
          auto: { auto: { port: port() } },
        },
      },
    }),
  };
  const file = dir.join("service.yaml");
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config));
  const child = await startProcess({
    name: service,
    command: myelin(),
    args: [service, "--config", file],
    ready: { url: `http://127.0.0.1:${admin}/readyz` },
    readyMs: READY_MS,
  });
  return {
    version: "alone",
    pids: () => [child.pid],
    async [Symbol.asyncDispose]() {
      await child[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

/** With as much room for what waits as there can be. */
function bridgeResource({ farPort, direction }: Omit<BridgedOptions, "variant">): string {
  return `apiVersion: myelin.dev/v1alpha1
kind: Bridge
metadata: { name: far }
spec:
  remote: { mqtt: { url: "mqtt://127.0.0.1:${farPort}" } }
  topics: [{ filter: "bench/#", direction: ${direction}, qos: 1 }]
  outbox: { maxMessages: 1000000, maxBytes: 1GiB }
`;
}

/** Devices that do at once as they are told. */
const PUMPS = `apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: bench-pump }
spec:
  payloads: [{ topics: ["bench/+"], format: json }]
  points: { speed: { from: { field: speed } } }
  commands:
    set:
      risk: low
      parameters: { speed: { type: number } }
      safety: { parameter: speed, range: { min: 0, max: 1000 } }
      verify: { point: speed, equals: { parameter: speed } }
`;

async function startCommander(
  { httpPort, mqttPort }: Running,
  devices: number,
  ratePerSecond: number,
): Promise<Controlled> {
  return await startControlled({
    name: "commander",
    command: process.execPath,
    args: [
      siblingProgram(import.meta.url, "commander"),
      ...[httpPort, mqttPort, devices, ratePerSecond].map(String),
    ],
    readyMs: 2 * READY_MS,
  });
}

/** @param resource a file of its resources directory */
async function startBox(
  durability: string,
  resource?: string,
): Promise<Running & { readonly adminPort: number }> {
  const dir = await tempDir("bench-myelin");
  if (resource !== undefined) {
    mkdirSync(dir.join("resources"));
    writeFileSync(dir.join("resources", "bench.yaml"), resource);
  }
  const offset = await freeOffset();
  const box = await startProcess({
    name: "myelin",
    command: myelin(),
    args: [
      "up",
      "--json",
      "--data-dir",
      dir.path,
      "--port-offset",
      String(offset),
      "--durability",
      durability,
    ],
    ready: { line: /"startedAt"/ },
    readyMs: READY_MS,
    stopSignal: "SIGTERM",
  });
  const onExit = (): void => {
    box.send("SIGKILL");
    rmSync(dir.path, { recursive: true, force: true });
  };
  process.once("exit", onExit);
  const state = (): BoxFile => JSON.parse(readFileSync(join(dir.path, "run/box.json"), "utf8")) as BoxFile;
  const first = state();
  return {
    version: `${first.version} (nats-server ${first.natsVersion}, ${durability})`,
    mqttPort: first.ports.mqtt,
    httpPort: first.ports.http,
    tcpPort: first.ports.mcpTcp,
    tcpGreeting: {
      hello: encodeMcpFrame({ control: { kind: "hello", version: 1, deviceId: "########" } }),
      ping: encodeMcpFrame({ control: { kind: "ping", nonce: 1 } }),
    },
    httpTarget: (_kind: "single" | "ndjson", lane: Lane): HttpTarget => ({
      path: `/api/v1/devices/d{c}/messages/bench/data?lane=${lane}`,
    }),
    pids: () => Object.values(roles(state())).flat(),
    roles: () => roles(state()),
    consume: (options) => consume(first, options),
    recoverable: recoverable(dir.path, state),
    adminPort: first.ports.admin,
    operable: operable(dir.path, first.ports.admin, myelin()),
    async [Symbol.asyncDispose]() {
      process.off("exit", onExit);
      await box.stop();
      await box[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

function roles(box: BoxFile): Record<string, number[]> {
  const all: Record<string, number[]> = { supervisor: [box.pid] };
  for (const { name, pid } of box.processes) {
    if (pid === undefined) continue;
    const role = name.replace(/-\d+$/, "");
    all[role] = [...(all[role] ?? []), pid];
  }
  return all;
}

async function consume(box: BoxFile, options: ConsumeOptions) {
  return startControlled({
    name: "bench app",
    command: process.execPath,
    args: [
      siblingProgram(import.meta.url, "app"),
      `127.0.0.1:${box.ports.grpc}`,
      "bench/#",
      options.mode,
      options.stamp ? "stamp" : "count",
    ],
  });
}

/**
 * An offset that keeps every port of a box below the range that systems take client ports from. A collision is found by the
 * box, and said so.
 */
async function freeOffset(): Promise<number> {
  return 10_000 + ((await freePort()) % 120) * 100;
}
