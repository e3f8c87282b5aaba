/** The wiring: what an ipc-bridge is made of, in the order it starts. */
import { readFile } from "node:fs/promises";
import {
  type Bus,
  createHeartbeat,
  type EventSender,
  LedgerKeeper,
  openKeyValue,
  type TelemetrySender,
} from "@myelin/bus";
import { BUCKETS, MAX_CHANNEL_NUMBER } from "@myelin/contract";
import { AppError, type Clock, type Component, ComponentHost } from "@myelin/kernel";
import type { Logger, MetricsRegistry, Tracing } from "@myelin/observability";
import { createGrpcServer, createUdsServer, type FrameServer, type GrpcTls } from "@myelin/rpc";
import { TokenFileAdmission } from "./admission/token-file.js";
import { type BridgeConfig, settingsOf } from "./config.js";
import type { AppAdmission } from "./core/admission.js";
import type { ChannelNumbers } from "./core/app-channels.js";
import { BridgeCore } from "./core/bridge-core.js";
import { httpProbe } from "./core/http-probe.js";
import { foldMetrics } from "./metrics.js";
import { createPlatformMethods } from "./platform/methods.js";

/** What a bridge needs of its process. The senders are started and stopped here, the bus is not. */
export interface BridgeDependencies {
  readonly bus: Bus;
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly partitions: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly version: string;
  /** Absent: nobody reads metrics. */
  readonly metrics?: MetricsRegistry | undefined;
  /** Given when something else in this process produces under the same incarnation; numbers are never used twice. */
  readonly channels?: ChannelNumbers | undefined;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** In place of the token file. */
  readonly admission?: AppAdmission | undefined;
}

/** A bridge as a component, and what tests and tools look at. */
export interface Bridge extends Component {
  readonly core: BridgeCore;
  readonly ledger: LedgerKeeper;
  /** Where apps connect, once started: `host:port`, and `unix:/path` where there is a socket. */
  addresses(): readonly string[];
}

/**
 * Puts a bridge together; nothing is opened before `start`.
 * @throws AppError `config.unreadable` when a TLS file cannot be read
 */
export async function createBridge(config: BridgeConfig, deps: BridgeDependencies): Promise<Bridge> {
  const { bus, telemetry, events, partitions, log, clock, version } = deps;
  const { tokenFile, local } = config.auth;
  const metrics = deps.metrics === undefined ? undefined : foldMetrics(deps.metrics);
  const core = new BridgeCore({
    bus,
    telemetry,
    events,
    partitions,
    clock,
    log,
    version,
    tracing: deps.tracing,
    settings: settingsOf(config),
    channels: deps.channels ?? countingNumbers(),
    admission:
      deps.admission ??
      new TokenFileAdmission({
        file: tokenFile === "" ? undefined : tokenFile,
        trustLocal: local === "trusted",
      }),
    probe: httpProbe,
    platform: createPlatformMethods,
    onRefused: (error) => metrics?.refused(error),
  });
  metrics?.attach(core);
  const servers = await createServers(config, core);
  const ledger = new LedgerKeeper({
    service: "ipc-bridge",
    bus,
    clock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => core.ledger(),
    onWriteFailed: (err) => log.warn({ err }, "the books cannot be written, will retry"),
  });
  // Stopped first of all: apps are drained while the servers still hold their streams.
  const heartbeat = createHeartbeat(bus, { service: "ipc-bridge", version, clock });
  const drain: Component = {
    name: "drain",
    start: async () => undefined,
    stop: async () => {
      heartbeat.setDraining(true);
      await core.drain();
    },
  };
  const host = new ComponentHost([telemetry, events, ledger, core, heartbeat, ...servers, drain], {
    name: "ipc-bridge",
    clock,
    stopTimeoutMs: config.drainTimeout + STOP_MARGIN_MS,
  });
  return Object.assign(host, { core, ledger, addresses: () => servers.map((server) => server.address) });
}

const STOP_MARGIN_MS = 5_000;

async function createServers(config: BridgeConfig, core: BridgeCore): Promise<FrameServer[]> {
  const { grpc, socket, maxFrame: maxFrameBytes, maxSessions } = config;
  // A few more than sessions: the core refuses with a reason, the server without a word.
  const common = { onStream: core.accept.bind(core), maxFrameBytes, maxStreams: maxSessions + 64 };
  const tls = grpc.tls === undefined ? {} : { tls: await readTls(grpc.tls) };
  const servers = [createGrpcServer({ host: grpc.host, port: grpc.port, ...tls, ...common })];
  if (socket.path !== "") {
    servers.push(createUdsServer({ path: socket.path, mode: Number.parseInt(socket.mode, 8), ...common }));
  }
  return servers;
}

async function readTls(files: NonNullable<BridgeConfig["grpc"]["tls"]>): Promise<GrpcTls> {
  const read = (file: string): Promise<Buffer> =>
    readFile(file).catch((cause: unknown) => {
      throw new AppError("config.unreadable", `the TLS file ${file} cannot be read`, { cause });
    });
  const [certificate, key] = [await read(files.certificate), await read(files.key)];
  return files.clientCa === undefined
    ? { certificate, key }
    : { certificate, key, clientCa: await read(files.clientCa) };
}

/** Numbers from 1; a process does not live long enough to use them up, and stops publishing new heads if it does. */
function countingNumbers(): ChannelNumbers {
  let last = 0;
  return {
    next: () => {
      if (last === MAX_CHANNEL_NUMBER)
        throw new AppError("queue.full", "this process has used up its channel numbers");
      last += 1;
      return last;
    },
  };
}
