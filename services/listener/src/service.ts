/** The wiring: what a listener is made of, in the order it starts. */
import {
  AlarmClient,
  AppClient,
  type Bus,
  createHeartbeat,
  createLiveness,
  createNamedLeases,
  DeviceCommandClient,
  DeviceRegistryClient,
  type EventSender,
  FlowClient,
  LedgerKeeper,
  openKeyValue,
  ShadowClient,
  type TelemetrySender,
} from "@myelin/bus";
import { BUCKETS, Lane } from "@myelin/contract";
import { AppError, type Clock, type Component, ComponentHost, Supervised } from "@myelin/kernel";
import type { Logger, MetricsRegistry, Tracing } from "@myelin/observability";
import { type AdmissionPlugin, admissions } from "./admission/registry.js";
import type { BridgePlugin } from "./bridges/bridge.js";
import { Bridges } from "./bridges/bridges.js";
import { bridges as bridgeKinds } from "./bridges/registry.js";
import type { ListenerConfig } from "./config.js";
import type { Admission } from "./core/admission.js";
import { BarredAdmission } from "./core/barred-admission.js";
import { CongestionWatch } from "./core/congestion.js";
import { ConnectionManager } from "./core/connection-manager.js";
import { Deliveries } from "./core/deliveries.js";
import { DeviceBars } from "./core/device-bars.js";
import { DeviceRates } from "./core/device-rates.js";
import { DownlinkServer } from "./core/downlink.js";
import { DownlinkClient } from "./core/downlink-client.js";
import { HistoryClient } from "./core/history-client.js";
import { Ingress } from "./core/ingress.js";
import { InputDrain } from "./core/input-drain.js";
import { Interest } from "./core/interest.js";
import { ingressAccount, LedgerBook } from "./core/ledger.js";
import { McpSessions } from "./core/mcp/mcp-sessions.js";
import { ListenerMetrics } from "./core/metrics.js";
import { NewChannels } from "./core/new-channels.js";
import { OperationsClient } from "./core/operations-client.js";
import { OperationsServer } from "./core/operations-server.js";
import { TraceHub } from "./core/operations-trace.js";
import { PortSlot, type SharedContext } from "./core/port-slot.js";
import { Presence } from "./core/presence.js";
import type { AnyProtocolPlugin } from "./core/protocol.js";
import { RetainedClient } from "./core/retained.js";
import { Revocation } from "./core/revocation.js";
import { SessionDirectory } from "./core/session-directory.js";
import { SessionHomeClient } from "./core/session-homes.js";
import { SharedHandback } from "./core/shared-handback.js";
import { SubscriptionTable } from "./core/subscription-table.js";
import { SysTopics } from "./core/sys-topics.js";
import { Takeover } from "./core/takeover.js";
import { WillAdoption } from "./core/will-adoption.js";
import { WillKeeper } from "./core/will-keeper.js";
import { publishWill } from "./core/will-publisher.js";
import { foldMetrics, listenerMetricsList } from "./metrics.js";
import { protocols } from "./protocols/registry.js";
import { ProvisioningAdmission } from "./provisioning/provisioning-admission.js";
import { sysFigures } from "./sys-figures.js";

/** What a listener needs of its process. The senders are started and stopped here, the bus is not. */
export interface ListenerDependencies {
  readonly bus: Bus;
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly partitions: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly version: string;
  /** Most sockets the ports may hold together; absent: no bound but those of the configuration. */
  readonly maxSockets?: number | undefined;
  /** Asks the process to stop, so that it is started anew; absent: what needs it refuses messages in the end. */
  readonly requestStop?: ((reason: string) => void) | undefined;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Absent: nobody reads metrics. */
  readonly metrics?: MetricsRegistry | undefined;
}

/** A listener as a component, and what tests and tools look at. */
export interface Listener extends Component {
  readonly connections: ConnectionManager;
  /** Ports by name: where each is bound once it is open. */
  readonly ports: ReadonlyMap<string, PortSlot>;
  readonly ledger: LedgerKeeper;
  readonly bridges: Bridges;
  readonly provisioning: Pick<ProvisioningAdmission, "apply">;
}

/**
 * Puts a listener together; nothing is opened before `start`.
 * @throws AppError `config.invalid` when two ports have one name, `config.unknown_kind`
 */
export async function createListener(config: ListenerConfig, deps: ListenerDependencies): Promise<Listener> {
  const { bus, telemetry, events, clock, log, partitions } = deps;
  const bars: DeviceBars = new DeviceBars({
    ...{ bus, clock, log, partitions },
    connections: { connections: () => connections.connections() },
  });
  const registry = new DeviceRegistryClient(bus, partitions);
  const provisioning = new ProvisioningAdmission(await createAdmission(config, deps), {
    registry,
    clock,
    log,
  });
  const admission = new BarredAdmission(provisioning, bars);
  const ingress = new Ingress({
    telemetry,
    events,
    admission,
    partitions,
    numbers: newChannels(config, deps),
    limits: {
      channelsPerConnection: config.channelsPerConnection,
      sharedChannels: config.sharedChannels,
    },
    tracing: deps.tracing,
  });
  const { deviceRatePerSecond: perSecond, deviceRateBurst: burst } = config;
  const deviceRates = perSecond > 0 ? new DeviceRates({ perSecond, burst }) : undefined;
  const books = {
    telemetry: new LedgerBook("deliver", Lane.TELEMETRY),
    event: new LedgerBook("deliver", Lane.EVENT),
  };
  const delivered = (): number => books.telemetry.received + books.event.received;
  const { maxSockets } = deps;
  const limits = { ...config, ...(maxSockets !== undefined && { maxSockets }) };
  const connections = new ConnectionManager(clock, limits, () => ingress.congested, deviceRates, delivered);
  const sessions = new SessionDirectory(partitions, clock);
  const wills = new WillKeeper(clock, (owner, will) => publishWill(ingress, clock, owner, will));
  const presence = new Presence(bus, clock, sessions, partitions, wills);
  const takeover = new Takeover(bus, clock, sessions, wills, log);
  sessions.addListener(presence);
  sessions.addListener(takeover);
  sessions.addListener(bars);
  const interest = new Interest(bus, clock);
  const metrics = new ListenerMetrics();
  const table: SubscriptionTable = new SubscriptionTable({
    wanted: (key) => interest.wanted(key),
    unwanted: (key) => interest.unwanted(key),
    shared: (key, members) => {
      interest.shared(key, members);
      handback.shared(key, members);
    },
    settled: () => interest.settled(),
    handBack: (key, message) => handback.take(key, message),
  });
  interest.attach(table);
  const handback: SharedHandback = new SharedHandback({
    ...{ bus, clock, log, groups: table },
    onLost: (messages) => metrics.undelivered.add("mqtt,disconnected", messages),
  });
  const downlinkBook = new LedgerBook("downlink", Lane.COMMAND);
  const ledger = new LedgerKeeper({
    service: "listener",
    bus,
    clock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => [
      ingressAccount(Lane.TELEMETRY, telemetry.counters, ingress.refusals[0]),
      ingressAccount(Lane.EVENT, events.counters, ingress.refusals[1]),
      books.telemetry.account(),
      books.event.account(),
      downlinkBook.account(),
    ],
    onWriteFailed: (err) => log.warn({ err }, "the books cannot be written, will retry"),
  });
  const sessionHomes = new SessionHomeClient({ bus, clock, log, partitions });
  const operations = new OperationsClient(bus, clock);
  const history = new HistoryClient(bus);
  const listeners = createLiveness(bus, { service: "listener", clock });
  const dispatchers = createLiveness(bus, { service: "dispatcher", clock });
  const bridges = new Bridges({
    bus,
    clock,
    log,
    admission,
    connections,
    ingress,
    subscriptions: table,
    sessionHomes,
    operations,
    leases: createNamedLeases(bus, { prefix: "bridge", liveness: listeners }),
    find: findBridge,
  });
  const congestion = new CongestionWatch([telemetry, events], clock, () => connections.congestionEnded());
  if (deps.metrics !== undefined) {
    foldMetrics(deps.metrics.register(listenerMetricsList), {
      connections,
      protocols: metrics,
      ingress,
      telemetry: telemetry.counters,
      events: events.counters,
      sessions,
      subscriptions: table,
      unconfirmedSubscribes: () => interest.unconfirmed,
      congestionMs: () => congestion.ms,
      bridges,
    });
  }
  const mcpSessions = new McpSessions(bus, clock, log, metrics, config.mcpSessions);
  const traces = new TraceHub(bus, clock);
  const retained: RetainedClient = new RetainedClient({ bus, clock, log, partitions, sys: () => sysTopics });
  const sysTopics = new SysTopics({
    bus,
    clock,
    table,
    version: deps.version,
    intervalMs: config.sysInterval,
    count: () =>
      sysFigures({ connections, protocols: metrics, ingress, telemetry, events, subscriptions: table }),
    retained: () => retained.count,
  });
  const apps = new AppClient(bus, clock);
  const ports = createPorts(config, {
    clock,
    log,
    admission,
    connections,
    ingress,
    sessions,
    subscriptions: table,
    downlinks: new DownlinkClient(bus, partitions),
    mcpSessions,
    retained,
    wills,
    sessionHomes,
    operations,
    history,
    alarms: new AlarmClient(bus, partitions),
    apps,
    commands: new DeviceCommandClient(bus, partitions, clock),
    flows: new FlowClient(bus, partitions, clock),
    registry,
    shadows: new ShadowClient(bus, partitions, clock),
    traces,
    metrics,
    portConfig: (kind, name) => config.protocols[kind]?.[name],
  });
  const heartbeat = createHeartbeat(bus, { service: "listener", version: deps.version, clock });
  const host = new ComponentHost(
    [
      // Stopped last: what the senders still send or give up belongs into the books.
      ledger,
      telemetry,
      events,
      congestion,
      admission,
      bars,
      presence,
      takeover,
      interest,
      handback,
      mcpSessions,
      wills,
      new WillAdoption(bus, wills, sessions, presence, log),
      retained,
      sysTopics,
      sessionHomes,
      new Revocation(admission, connections, table),
      new Deliveries({ bus, clock, log, table, books }),
      new DownlinkServer(bus, sessions, downlinkBook, config.maxWaitingDownlinks),
      heartbeat,
      apps,
      traces,
      listeners,
      dispatchers,
      // Homes of sessions answer too.
      new OperationsServer({
        bus,
        clock,
        connections,
        table,
        live: { listener: listeners, dispatcher: dispatchers },
      }),
      new InputDrain(connections, events.counters, clock, config.drainTimeout, () =>
        heartbeat.setDraining(true),
      ),
      // Stopped before the connections are sent away, or it would open new ones.
      bridges,
      ...[...ports].map(([name, slot]) => supervise(name, slot, config, deps)),
    ],
    { name: "listener", clock, stopTimeoutMs: config.drainTimeout * 2 + STOP_MARGIN_MS },
  );
  return Object.assign(host, { connections, ports, ledger, bridges, provisioning });
}

const STOP_MARGIN_MS = 2_000;

function newChannels(
  { newTopicsPerSecond: perSecond, newTopicBurst: burst }: ListenerConfig,
  { clock, requestStop }: ListenerDependencies,
): NewChannels {
  return new NewChannels({
    clock,
    rate: perSecond > 0 ? { perSecond, burst } : undefined,
    onScarce: () => requestStop?.("the listener has used up nearly all channel numbers of this start"),
  });
}

function createPorts(config: ListenerConfig, shared: SharedContext): Map<string, PortSlot> {
  const slots = new Map<string, PortSlot>();
  for (const [kind, named] of Object.entries(config.protocols)) {
    for (const [name, portConfig] of Object.entries(named)) {
      if (slots.has(name)) {
        throw new AppError(
          "config.invalid",
          `the port name ${name} is used twice; names are unique over protocols`,
        );
      }
      slots.set(name, new PortSlot(kind, name, portConfig, shared, findProtocol));
    }
  }
  return slots;
}

function supervise(
  name: string,
  slot: PortSlot,
  config: ListenerConfig,
  { clock, log }: ListenerDependencies,
): Component {
  return new Supervised({
    name: slot.name,
    // A slot makes its port anew with every start, so it may be started again after a failure.
    create: () => slot,
    clock,
    onStartError: config.onStartError,
    onStartFailed: (error, attempt) => {
      if (attempt === 1) {
        log.error({ port: name, code: error.code, problem: error.message }, "a port cannot be opened");
      }
    },
    onRecovered: (attempts) => log.info({ port: name, attempts }, "a port could be opened after all"),
  });
}

/** @throws AppError `config.unknown_kind` */
export async function findProtocol(kind: string): Promise<AnyProtocolPlugin> {
  if (!Object.hasOwn(protocols, kind)) {
    throw new AppError(
      "config.unknown_kind",
      `there is no protocol ${kind}; known are ${Object.keys(protocols).join(", ")}`,
    );
  }
  return (await protocols[kind as keyof typeof protocols]()).plugin;
}

/** @throws AppError `config.unknown_kind` */
async function findBridge(kind: string): Promise<BridgePlugin> {
  if (!Object.hasOwn(bridgeKinds, kind)) {
    throw new AppError(
      "config.unknown_kind",
      `there is no bridge of the kind ${kind}; known are ${Object.keys(bridgeKinds).join(", ")}`,
    );
  }
  return (await bridgeKinds[kind as keyof typeof bridgeKinds]()).plugin;
}

async function createAdmission(
  config: ListenerConfig,
  { log, clock }: ListenerDependencies,
): Promise<Admission & Component> {
  const [kind = "static-file", settings] = Object.entries(config.admission)[0] ?? [];
  const { plugin }: { plugin: AdmissionPlugin } = await admissions[kind as keyof typeof admissions]();
  return await plugin.create(settings, { log: log.child({ component: "admission" }), clock });
}
