/** Where a box keeps what: folders and ports, all derived from the data directory and the port offset. */
import path from "node:path";

/** Default ports of a box; `--port-offset` moves all of them. TCP unless the name says otherwise. */
export const BOX_PORTS = {
  http: 8080,
  mqtt: 1883,
  grpc: 9090,
  mcpTcp: 7400,
  mcpUdp: 7400,
  lines: 7401,
  auto: 7443,
  nats: 4222,
  natsMonitor: 8222,
  admin: 9400,
} as const;

export type BoxPort = keyof typeof BOX_PORTS;
export type BoxPorts = Readonly<Record<BoxPort, number>>;

/** Listener workers get the admin ports behind this offset from `admin`; the core process has `admin` itself. */
export const ADMIN_PORTS_OF_WORKERS = 1;

/** Highest number of listener workers of a box. */
export const MAX_LISTENER_WORKERS = 16;

/** The hardware-agent, where there is hardware, has the one behind those of the workers. */
export const ADMIN_PORT_OF_AGENT = ADMIN_PORTS_OF_WORKERS + MAX_LISTENER_WORKERS;

/** What each port is for, in the words of the user. */
export const PORT_PURPOSE: Readonly<Record<BoxPort, string>> = {
  http: "HTTP and WebSocket",
  mqtt: "MQTT",
  grpc: "gRPC for applications",
  mcpTcp: "MCP over TCP",
  mcpUdp: "MCP and JSON over UDP",
  lines: "newline text over TCP",
  auto: "TLS, HTTP, WebSocket, MQTT or MCP, told apart by the first bytes",
  nats: "NATS",
  natsMonitor: "NATS monitoring",
  admin: "health and metrics",
};

/** Offsets that leave every port, those of added workers included, between 1 and 65535. */
export const PORT_OFFSETS = {
  lowest: 1 - Math.min(...Object.values(BOX_PORTS)),
  highest: 65_535 - Math.max(...Object.values(BOX_PORTS), BOX_PORTS.admin + ADMIN_PORT_OF_AGENT),
} as const;

/** Where a box keeps its data unless told otherwise, below the folder it is started in. */
export const DEFAULT_DATA_DIR = ".myelin";

/** Ports moved by `offset`. */
export function boxPorts(offset: number): BoxPorts {
  return Object.fromEntries(Object.entries(BOX_PORTS).map(([name, port]) => [name, port + offset])) as Record<
    BoxPort,
    number
  >;
}

/** Folders and files below the data directory. */
export interface BoxLayout {
  readonly root: string;
  readonly run: string;
  readonly secrets: string;
  readonly jetstream: string;
  readonly resources: string;
  readonly output: string;
  readonly hardware: string;
  readonly cache: string;
  readonly logs: string;
  readonly claim: string;
  readonly supervision: string;
  readonly boxFile: string;
  readonly natsConfig: string;
  readonly natsToken: string;
  readonly appSocket: string;
}

/** The layout below `dataDir`; touches nothing. */
export function boxLayout(dataDir: string): BoxLayout {
  const root = path.resolve(dataDir);
  const run = path.join(root, "run");
  const secrets = path.join(root, "secrets");
  return {
    root,
    run,
    secrets,
    jetstream: path.join(root, "jetstream"),
    resources: path.join(root, "resources"),
    output: path.join(root, "output"),
    hardware: path.join(root, "hardware"),
    cache: path.join(root, "cache"),
    logs: path.join(root, "logs"),
    claim: path.join(run, "claim"),
    supervision: path.join(run, "supervision.json"),
    boxFile: path.join(run, "box.json"),
    natsConfig: path.join(run, "nats.conf"),
    natsToken: path.join(secrets, "nats.token"),
    appSocket: path.join(run, "apps.sock"),
  };
}
