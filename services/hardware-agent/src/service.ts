/** The wiring: what a hardware-agent is made of, in the order it starts. */
import {
  type Bus,
  createEventSender,
  createHeartbeat,
  createTelemetrySender,
  DeviceRegistryClient,
  LedgerKeeper,
  openKeyValue,
  SENDING_HOPS,
  sentAccounts,
} from "@myelin/bus";
import { BUCKETS, type control } from "@myelin/contract";
import { type Clock, type Component, type ComponentCondition, ComponentHost } from "@myelin/kernel";
import type { Logger, MetricsRegistry } from "@myelin/observability";
import { Actuator } from "./actuation/actuator.js";
import { CommandJournal } from "./actuation/command-journal.js";
import type { AgentConfig } from "./config.js";
import { drivers } from "./drivers/registry.js";
import { CommandDesk } from "./hub/command-desk.js";
import { DeviceRecords } from "./hub/device-records.js";
import { EventUplink } from "./hub/event-uplink.js";
import { HardwarePresence } from "./hub/presence.js";
import { RecordWriter } from "./hub/sample-record.js";
import { foldMetrics } from "./metrics.js";
import { ActuatedUnit } from "./node/actuated-unit.js";
import { Agent } from "./node/agent.js";
import { Standing } from "./node/standing.js";
import { diskFolder } from "./outbox/folder.js";
import { Outbox, type OutboxLimits } from "./outbox/outbox.js";
import type { SampleSink } from "./polling/poller.js";
import type { Unit } from "./polling/unit.js";

/** What an agent needs of its process. The bus is started by the caller, and its streams exist. */
export interface AgentDependencies {
  readonly bus: Bus;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** Folder of the outbox; nobody else writes there. */
  readonly outboxDir: string;
  /** Folder of the keys of commands; nobody else writes there. */
  readonly commandsDir: string;
  /** Absent: nobody reads metrics. */
  readonly metrics?: MetricsRegistry | undefined;
}

/** An agent as a component, and what tests and tools look at. */
export interface AgentService extends Component {
  readonly agent: Agent;
  readonly outbox: Outbox;
  readonly standing: Standing;
}

const SEGMENT_SHARE = 16;
const LARGEST_SEGMENT = 16 * 1024 * 1024;
const PENDING_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES = 2 * 1024 * 1024;

/** Longer than a command may wait at the hub. */
const JOURNAL_LIMITS = { keys: 100_000, keepMs: 31 * 24 * 3_600_000 };

/** Puts an agent together; nothing is opened before `start`. */
export function createAgent(config: AgentConfig, deps: AgentDependencies): AgentService {
  const { bus, clock, log, partitions, version, outboxDir, commandsDir } = deps;
  const sender = SENDING_HOPS["hardware-agent"].senderOf(bus.instance);
  const events = createEventSender(bus, { partitions, clock, sender });
  const telemetry = createTelemetrySender(bus, { partitions, clock, sender });
  const outbox = new Outbox({
    folder: diskFolder(outboxDir),
    clock,
    logger: log.child({ component: "outbox" }),
    uplink: new EventUplink(bus, events, partitions),
    limits: limitsOf(config.outbox),
  });
  const sink = new OutboxSink(outbox);
  const actuated = new Map<string, ActuatedUnit>();
  const journal = new CommandJournal(diskFolder(commandsDir), () => clock.wallMs(), JOURNAL_LIMITS);
  const actuator = new Actuator({ journal, clock, logger: log.child({ component: "actuator" }) });
  const presence = new HardwarePresence({
    bus,
    partitions,
    clock,
    reachable: () => reachable(agent),
  });
  const desk = new CommandDesk({
    bus,
    sender: events,
    partitions,
    log,
    device: (id) => actuated.get(id),
    execute: (order, device) => actuator.execute(order, device),
  });
  const records = new DeviceRecords({
    registry: new DeviceRegistryClient(bus, partitions),
    node: config.node,
    clock,
    log,
    onTold: (id) => {
      for (const { unit } of agent.standings) if (unit?.device.id === id) unit.filter.forget(unit.all);
    },
  });
  const agent = new Agent({
    node: config.node,
    clock,
    log,
    sink,
    onDevices: async (devices) => {
      records.want(
        devices.map(({ id, spec }) => ({ id, profile: spec.profile, description: spec.description ?? "" })),
      );
      const units = new Map(agent.standings.map(({ unit }) => [unit?.device.id, unit]));
      for (const [id, { unit }] of [...actuated]) {
        if (units.get(id) === unit) continue;
        actuated.delete(id);
        if (!units.has(id)) await actuator.detach(id);
      }
      for (const [id, unit] of units) {
        if (unit === undefined || id === undefined || actuated.has(id)) continue;
        const device = new ActuatedUnit(unit, clock);
        actuated.set(id, device);
        actuator.attach(device);
      }
    },
  });
  if (deps.metrics !== undefined) foldMetrics(deps.metrics, agent, outbox);
  const ledger = new LedgerKeeper({
    service: "hardware-agent",
    bus,
    clock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => sentAccounts(SENDING_HOPS["hardware-agent"].hop, telemetry, events),
    onWriteFailed: (err) => log.warn({ err }, "the books cannot be written, will retry"),
  });
  const sinceUs = clock.wallUs();
  const host = new ComponentHost(
    [
      ledger,
      events,
      outbox,
      records,
      linesComponent(agent),
      actuator,
      desk,
      presence,
      createHeartbeat(bus, {
        service: "hardware-agent",
        version,
        clock,
        agent: () => reportOf(agent, config.node, sinceUs),
      }),
    ],
    { name: "hardware-agent", clock },
  );
  return Object.assign(host, { agent, outbox, standing: new Standing(agent, () => clock.wallMs()) });
}

function reportOf(agent: Agent, node: string, sinceUs: number): control.AgentReport {
  const lines = [...agent.lines.values()];
  return {
    node,
    sinceUs,
    serves: Object.keys(drivers),
    devices: agent.standings.length,
    reachableDevices: reachable(agent).size,
    lines: lines.length,
    linesDown: lines.filter(({ error }) => error !== undefined).length,
  };
}

/** Devices that answer. */
function reachable(agent: Agent): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const { unit, line } of agent.standings)
    if (unit !== undefined && line?.error === undefined && unit.hasAnswered && !unit.health.isDegraded)
      ids.add(unit.device.id);
  return ids;
}

/** Lines open when resources say so. One that is down is no reason to be unready: the others go on. */
function linesComponent(agent: Agent): Component {
  return {
    name: "lines",
    start: async () => undefined,
    stop: () => agent.stop(),
    condition(): ComponentCondition {
      const down = [...agent.lines.values()].filter(({ error }) => error !== undefined);
      if (down.length === 0) return { state: "running" };
      const reason = down.map(({ name, error }) => `the bus ${name} is down: ${error?.message}`).join("; ");
      return { state: "degraded", reason };
    },
  };
}

/** What is measured goes to the disk first. */
class OutboxSink implements SampleSink {
  readonly #writer = new RecordWriter();
  readonly #ids = new WeakMap<Unit, Buffer>();

  constructor(private readonly outbox: Outbox) {}

  publish(unit: Unit, block: Uint8Array, count: number): void {
    let id = this.#ids.get(unit);
    if (id === undefined) {
      id = Buffer.from(unit.device.id);
      this.#ids.set(unit, id);
    }
    this.outbox.append(this.#writer.write(id, block), count);
  }
}

function limitsOf({ size, memory, sync, replayRate, stalled }: AgentConfig["outbox"]): OutboxLimits {
  return {
    maxBytes: size,
    segmentBytes: Math.min(LARGEST_SEGMENT, Math.max(65_536, Math.floor(size / SEGMENT_SHARE))),
    pendingBytes: PENDING_BYTES,
    syncAfterMs: sync,
    liveBytes: PENDING_BYTES,
    memoryBytes: memory,
    windowBytes: WINDOW_BYTES,
    replaySamplesPerSecond: replayRate,
    stalledAfterMs: stalled,
  };
}
