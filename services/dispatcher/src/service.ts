/** The wiring: what a dispatcher is made of, in the order it starts. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Bus,
  createBus,
  createEventSender,
  createHeartbeat,
  createLiveness,
  createPartitionOwner,
  createTelemetrySender,
  DeviceRegistryClient,
  LedgerKeeper,
  openKeyValue,
  type PartitionOwner,
  SENDING_HOPS,
  sentAccounts,
} from "@myelin/bus";
import { type Resource, resourcesOf, type Snapshot } from "@myelin/config";
import { type BatchView, BUCKETS, STREAMS, subjects } from "@myelin/contract";
import { type Clock, type Component, ComponentHost } from "@myelin/kernel";
import type { Logger, MetricsRegistry, Tracing } from "@myelin/observability";
import type { ResourceCondition, ResourceFigures, ResourceRefusal } from "@myelin/service-host";
import { AppServices } from "./app-services.js";
import { AuditLog } from "./audit/audit-log.js";
import { createBusPorts, createDoorPorts, createJournals } from "./bus-ports.js";
import { CommandModule } from "./commands/command-module.js";
import type { DispatcherConfig } from "./config.js";
import { AppStore } from "./core/app-store.js";
import { Dispatcher } from "./core/dispatcher.js";
import { EventDoor } from "./core/event-door.js";
import type { CoreLog, DispatcherPorts } from "./core/ports.js";
import { DeviceDesk } from "./devices/device-desk.js";
import { DeviceProfiles } from "./devices/device-profiles.js";
import type { DevicePublisher } from "./devices/module.js";
import { LanePublisher } from "./devices/publisher.js";
import { rawMessageRefusal } from "./devices/raw-messages.js";
import { FlowModule } from "./flows/flow-module.js";
import { FlowTable } from "./flows/flow-table.js";
import { loadSteps } from "./flows/step-plugins.js";
import { History } from "./history/history.js";
import { Sinks } from "./history/sinks.js";
import type { JournalPort } from "./journal/journal.js";
import { foldMetrics } from "./metrics.js";
import { ProfileTable } from "./profiles.js";
import { createDeviceStore } from "./registry/create-store.js";
import { DeviceRegistry } from "./registry/device-registry.js";
import { RetainedKeeper } from "./retained/keeper.js";
import { createKeeperPorts } from "./retained/ports.js";
import { RouteCompiler } from "./routes.js";
import { createRules } from "./rules/create.js";
import { foldRuleMetrics } from "./rules/metrics.js";
import type { Rules } from "./rules/rules.js";
import type { QueueLimits } from "./sessions/session.js";
import { Sessions } from "./sessions/sessions.js";
import { createShadows } from "./shadow/create.js";
import type { Shadows } from "./shadow/shadows.js";
import { TargetPlugins } from "./targets/plugins.js";

/** What a dispatcher needs of its process. The bus is started by the caller, and its streams exist. */
export interface DispatcherDependencies {
  readonly bus: Bus;
  readonly partitions: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly version: string;
  /** Files of targets lie below it; undefined: there are no file targets. */
  readonly dataDir: string | undefined;
  /** Files named by transformations lie below it. */
  readonly resourcesDir: string;
  /** Absent: nobody reads metrics. */
  readonly metrics?: MetricsRegistry | undefined;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
}

/** A dispatcher as a component, and what tests and tools look at. */
export interface DispatcherService extends Component {
  readonly core: Dispatcher;
  readonly owner: PartitionOwner;
  readonly ledger: LedgerKeeper;
  readonly door: EventDoor;
  readonly sessions: Sessions;
  readonly sinks: Sinks;
  /** Where modules are added before the start, and how they publish. */
  readonly devices: {
    readonly desk: DeviceDesk;
    readonly publisher: DevicePublisher;
    readonly registry: DeviceRegistry;
  };
  readonly shadows: Shadows;
  readonly rules: Rules;
  /** Puts the routes of a snapshot in force; one that cannot be compiled leaves its last good version in force. */
  applyResources(snapshot: Snapshot): Promise<void>;
  /** What can be told of routes and device profiles. */
  readonly resources: {
    conditions(): readonly ResourceCondition[];
    figures(): readonly ResourceFigures[];
    check(resources: readonly Resource[]): Promise<readonly ResourceRefusal[]>;
  };
}

/** Share of what may be in hand at which lagging targets are moved: the consumer asks for more while a quarter is free. */
const RELIEF_SHARE = 0.7;

/** Puts a dispatcher together; nothing is opened before `start`. */
export async function createDispatcher(
  config: DispatcherConfig,
  deps: DispatcherDependencies,
): Promise<DispatcherService> {
  const { bus, clock, version, partitions, dataDir, resourcesDir } = deps;
  const log: CoreLog = deps.log;
  const plugins = await TargetPlugins.load();
  const { inHandBatches: maxPending, inHandBytes: maxPendingBytes } = config.events;
  const door = new EventDoor({ ports: createDoorPorts(bus), clock, log });
  const ports = createBusPorts({
    bus,
    partitions,
    clock,
    log,
    maxPending,
    maxPendingBytes,
    onStored: (stream, bytes) => door.stored(stream, bytes),
  });
  const apps = new AppStore(
    () => core.apps,
    log,
    (ms) => clock.sleep(ms),
  );
  let sessions: Sessions | undefined;
  const liveness = createLiveness(bus, { service: "dispatcher", clock });
  const { messages, memory: memoryBytes } = config.retained;
  const ofEvents = {
    routed: (): number => {
      let sum = 0;
      for (const partition of core.partitions.values()) sum += partition.routed;
      return sum;
    },
    areAllRouted: async (): Promise<boolean> => {
      const all = [...core.partitions.values()].map((partition) => partition.hasRoutedAll());
      return (await Promise.all(all)).every(Boolean);
    },
  };
  const retained = new RetainedKeeper(
    createKeeperPorts({ bus, liveness, partitions, clock, log, events: ofEvents }),
    {
      messages,
      memoryBytes,
    },
  );
  const sinks = new Sinks({ dataDir, clock, log });
  const registry = new DeviceRegistry({
    store: createDeviceStore(bus, config.registry.store, clock),
    clock,
    log,
    directory: join(dataDir ?? tmpdir(), `registry-${bus.instance}`),
    memoryBytes: config.registry.memory,
    keepDeletedMs: config.registry.keepDeleted,
    offlineAfterMs: config.registry.offlineAfter,
    isConnected: (partition, key) => core.partitions.get(partition)?.devices.has(key) ?? false,
    openPresence: createJournals(bus, STREAMS.presence.name, subjects.presenceJournal),
    partitions,
    publish: (subject, data) => bus.publish(subject, data),
    serve: (subject, handler) => bus.serve(subject, handler),
  });
  const profiles = new ProfileTable(log, clock);
  const deviceProfiles = new DeviceProfiles(registry, profiles, () => core.replan());
  const desk = new DeviceDesk({
    clock,
    log,
    profiles: deviceProfiles,
    recordsOf: (partition) => registry.loaded(partition),
  });
  const core: Dispatcher = new Dispatcher({
    ports,
    limits: {
      telemetryBytes: config.queues.telemetry,
      eventBytes: config.queues.events,
      awayGraceMs: config.queues.awayGrace,
    },
    plans: { maxPages: config.plans.pages },
    maxPending: Math.floor(maxPending * RELIEF_SHARE),
    maxPendingBytes: Math.floor(maxPendingBytes * RELIEF_SHARE),
    willBytes: config.wills.memory,
    handoverMs: config.handover,
    createTarget: (kind, _name, spec, owner) =>
      plugins.of(kind).create(spec as never, {
        ports,
        links: owner.links,
        apps: owner.apps,
        listeners: owner.listeners,
        homes: { epochOf: (partition) => sessions?.directory.epochOf(partition) ?? 0 },
        onChange: (subject, listener) => owner.watch(subject, listener),
        dataDir,
        retained,
        sinks,
        desk,
        profileOf: (tenant, device) => deviceProfiles.of(tenant, device),
      }),
    specOf: (kind, name) => plugins.of(kind).specOf?.(name),
    keepApp: (record) => apps.keep(record),
    onTraced: tracedBy(deps.tracing),
    refuseMessage: (tenant, device) => rawMessageRefusal(deviceProfiles, tenant, device),
    onDevice: (partition, key, change) => {
      registry.told(partition, key, change);
      if (change === undefined) return;
      commands.online(partition, change.tenant, change.deviceId);
      shadows.online(change.tenant, change.deviceId);
    },
    createSessions: (dispatcher) => {
      const openJournal = createJournals(bus, STREAMS.sessions.name, subjects.sessionJournal);
      sessions = createSessions(dispatcher, ports, openJournal, config.sessions);
      return sessions;
    },
  });
  const sender = SENDING_HOPS.dispatcher.senderOf(bus.instance);
  const telemetry = createTelemetrySender(bus, { partitions, clock, sender });
  const events = createEventSender(bus, { partitions, clock, sender });
  const openAudit = createJournals(bus, STREAMS.audit.name, subjects.auditLog);
  const publisher = new LanePublisher(telemetry, events, partitions);
  const commands = new CommandModule({
    clock,
    log,
    publisher,
    openJournal: createJournals(bus, STREAMS.commands.name, subjects.commandJournal),
    openAudit: ({ partition, epoch }, onFenced) =>
      AuditLog.open({ port: openAudit(partition), epoch, clock, log, onFenced }),
    serve: (subject, handler) => bus.serve(subject, handler),
    partitionOf: (partition) => core.partitions.get(partition),
    profileOf: (tenant, device) => deviceProfiles.of(tenant, device),
    metrics: deps.metrics,
  });
  desk.add(commands);
  const shadows = createShadows(config.shadows, {
    bus,
    partitions,
    clock,
    log,
    core,
    desk,
    publisher,
    deviceProfiles,
    hub:
      config.hub &&
      createBus({ ...hubOptions(config.hub), instance: `${bus.instance}-edge`, logger: deps.log, clock }),
  });
  desk.add(shadows);
  const flows = new FlowTable(log, clock);
  const flowModule = new FlowModule({
    clock,
    log,
    partitions,
    flows,
    actions: await loadSteps(bus, partitions, clock),
    registry: new DeviceRegistryClient(bus, partitions),
    openJournal: createJournals(bus, STREAMS.flows.name, subjects.flowJournal),
    serve: (subject, handler) => bus.serve(subject, handler),
    onInterest: () => core.replan(),
  });
  desk.add(flowModule);
  const { rules, table: ruleTable } = await createRules(config.rules, {
    bus,
    clock,
    log,
    partitions,
    publisher,
    sinks,
    registry,
    shadows,
    deviceProfiles,
    profile: (name) => profiles.get(name)?.spec,
    onMoved: () => core.replan(),
  });
  desk.add(rules);
  const ledger = new LedgerKeeper({
    service: "dispatcher",
    bus,
    clock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => [
      ...core.ledger.snapshot(),
      ...sentAccounts(SENDING_HOPS.dispatcher.hop, telemetry, events),
    ],
    onWriteFailed: (err) => log.warn({ err }, "the books cannot be written, will retry"),
  });
  core.keepRetained();
  core.attendDevices((head) => desk.interest(head));
  const counted = { core, door, retained, sinks, desk, shadows, flows: flowModule };
  if (deps.metrics !== undefined) {
    foldMetrics(deps.metrics, counted);
    foldRuleMetrics(deps.metrics, rules, ruleTable);
  }
  const owner = createPartitionOwner(bus, { partitions, liveness });
  owner.onChange({
    acquired: async (ownership) => {
      retained.acquire(ownership);
      registry.acquire(ownership);
      desk.acquire(ownership);
      await core.acquire(ownership);
    },
    released: async ({ partition }, reason) => {
      const settle = reason !== "lost";
      if (!settle) void registry.release(partition);
      const left = settle ? undefined : retained.release(partition, settle);
      const leftDesk = settle ? undefined : desk.release(partition, settle);
      await core.release(partition, settle);
      await (leftDesk ?? desk.release(partition, settle));
      await registry.release(partition);
      await (left ?? retained.release(partition, settle));
    },
  });
  const appServices = new AppServices((name) => core.apps.instances(name), clock);
  const host = new ComponentHost(
    [
      ledger,
      door,
      registry,
      retained,
      sinks,
      new History(bus, sinks),
      telemetry,
      events,
      coreComponent(bus, core, apps),
      appServices,
      rules,
      ...(shadows.hubLink === undefined ? [] : [shadows.hubLink]),
      liveness,
      createHeartbeat(bus, { service: "dispatcher", version, clock }),
      owner,
    ],
    { name: "dispatcher", clock, stopTimeoutMs: config.handover + STOP_MARGIN_MS },
  );
  const codecs = { resourcesDir, profile: (name: string) => profiles.get(name) };
  const routes = new RouteCompiler(core, plugins, codecs, log, clock);
  const applyResources = async (snapshot: Snapshot): Promise<void> => {
    // First: routes name them.
    sinks.apply(resourcesOf(snapshot, "Sink"));
    profiles.apply(resourcesOf(snapshot, "DeviceProfile"));
    appServices.apply(resourcesOf(snapshot, "AppService"));
    flows.apply(resourcesOf(snapshot, "Flow"));
    rules.apply(resourcesOf(snapshot, "Rule"));
    await routes.apply(resourcesOf(snapshot, "Route"));
  };
  const resources: DispatcherService["resources"] = {
    conditions: () => [
      ...appServices.conditions(),
      ...profiles.conditions(),
      ...routes.conditions(),
      ...flows.conditions(),
      ...ruleTable.conditions(),
      ...sinks.conditions(),
    ],
    figures: () => ruleTable.figures(),
    async check(all) {
      const isProfile = (r: Resource): r is Resource<"DeviceProfile"> => r.kind === "DeviceProfile";
      const { profile, refusals } = profiles.check(all.filter(isProfile));
      const ofRoutes = all.filter((r): r is Resource<"Route"> => r.kind === "Route");
      const ofFlows = flows.check(all.filter((r): r is Resource<"Flow"> => r.kind === "Flow"));
      const ofRules = all.filter((r): r is Resource<"Rule"> => r.kind === "Rule");
      return [
        ...refusals,
        ...ofFlows,
        ...ruleTable.check(ofRules, (name) => profile(name)?.spec),
        ...(await routes.check(ofRoutes, profile)),
      ];
    },
  };
  return Object.assign(host, {
    core,
    sessions: sessions!,
    sinks,
    devices: { desk, publisher, registry },
    shadows,
    rules,
    owner,
    ledger,
    door,
    applyResources,
    resources,
  });
}

const STOP_MARGIN_MS = 6_000;

function hubOptions({ servers, user, password, token }: NonNullable<DispatcherConfig["hub"]>) {
  const credentials =
    token !== undefined
      ? { token: token.reveal() }
      : user !== undefined && { user, password: password?.reveal() ?? "" };
  return { servers, service: "dispatcher", ...(credentials !== false && { credentials }) };
}

function queueLimits({
  maxQueuedMessages: maxMessages,
  maxQueuedBytes: maxBytes,
  whenFull,
}: DispatcherConfig["sessions"]["labels"][string]): QueueLimits {
  return { maxMessages, maxBytes, whenFull };
}

function createSessions(
  dispatcher: Dispatcher,
  ports: DispatcherPorts,
  openJournal: (partition: number) => JournalPort,
  { window, memory, maxSessions, maxFilters, labels, ...queue }: DispatcherConfig["sessions"],
): Sessions {
  return new Sessions({
    ports,
    ledger: dispatcher.ledger,
    limits: {
      ...queueLimits(queue),
      byLabel: new Map(Object.entries(labels).map(([label, own]) => [label, queueLimits(own)])),
      window,
      maxPartitionBytes: memory,
      maxSessions,
      maxFilters,
    },
    openJournal,
    incarnationOf: (listener) => dispatcher.listeners.incarnationOf(listener),
    wanted: (partition, key) => dispatcher.sessionsWant(partition, key),
    unwanted: (partition, key) => dispatcher.sessionsForgo(partition, key),
    grouped: (partition, key, present, away) =>
      dispatcher.listeners.groups.setHome(partition, key, present, away),
    isPresentBeside: (partition, key) => dispatcher.listeners.groups.isPresentBeside(partition, key),
    moved: (partition) => dispatcher.homeMoved(partition),
  });
}

/** One span per traced envelope of a batch; only batches that carry a trace context come here. */
function tracedBy(tracing: Tracing | undefined): ((view: BatchView) => void) | undefined {
  if (tracing?.enabled !== true) return undefined;
  return (view) => {
    view.rewind();
    while (view.next()) {
      const { traceparent: parent } = view;
      if (parent === "") continue;
      const attributes = {
        "messaging.system": "myelin",
        "messaging.operation.name": "route",
        "messaging.operation.type": "process",
        "messaging.destination.partition.id": String(view.hop.partition),
      };
      tracing.startSpan("dispatcher route", { parent, attributes }).end();
    }
  };
}

function coreComponent(bus: Bus, core: Dispatcher, apps: AppStore): Component {
  let end = (): void => undefined;
  return {
    name: "core",
    async start() {
      await apps.start(await openKeyValue(bus, BUCKETS.apps));
      core.start();
      end = bus.onConnectionChange((connected) => {
        if (connected) core.reconnected();
      });
    },
    async stop() {
      end();
      await core.stop();
      await apps.stop();
    },
  };
}
