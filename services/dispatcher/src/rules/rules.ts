/** Rules as a module of the device desk: one shard per partition of this process. */
import type { Resource } from "@myelin/config";
import { type Head, partitionOf, subjects, topicMatches, rule as wire } from "@myelin/contract";
import { AppError, type Clock, type Component, type Timer } from "@myelin/kernel";
import type { EngineCounters, Occasion, Rule, RuleEngine } from "@myelin/rules";
import type { FiredRule, RaisedAlarm } from "../actions/action.js";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import type { DeviceMessage, DeviceModule } from "../devices/module.js";
import type { JournalPort } from "../journal/journal.js";
import type { RuleTable } from "./rule-table.js";
import { RuleShard } from "./shard.js";

/** How often it is looked whether something has held for long enough. */
const TICK_MS = 100;
/** What is on its way from devices has come by then: silence and time count this much later. */
const LAG_MS = 200;
/** A device whose clock is further off than this is not believed: windows and times would never fit. */
const MAX_SKEW_MS = 60_000;
/** Most alarms of one answer. */
const MAX_ALARMS = 500;

export interface RulesOptions {
  readonly table: RuleTable;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly partitions: number;
  /** Name of a device's profile that is in force; empty: it has none. */
  profileOf(tenant: string, device: string): string;
  readonly maxDevices: number;
  readonly listNumbersPerSecond: number;
  openJournal(partition: number): JournalPort;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
  /** Which messages come here has changed. */
  onMoved(): void;
}

interface Owned {
  readonly shard: RuleShard;
  release: Release | undefined;
}

/** What rules count. */
export type RuleCounts = { -readonly [K in keyof EngineCounters]: number } & { crowded: number };

/** One per process. */
export class Rules implements DeviceModule, Component {
  readonly name = "rules";
  readonly #owned = new Map<number, Owned>();
  #onTopics: readonly Rule[] = [];
  #onSilence: readonly Rule[] = [];
  readonly #gone: RuleCounts = {
    evaluations: 0,
    firings: 0,
    failed: 0,
    late: 0,
    cooled: 0,
    overBudget: 0,
    forgotten: 0,
    crowded: 0,
  };
  #ticking: Timer | undefined;

  constructor(private readonly options: RulesOptions) {}

  async start(): Promise<void> {
    this.#ticking = this.options.clock.setInterval(() => this.#tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    this.options.clock.clear(this.#ticking);
  }

  /** Puts these in force, and no others. */
  apply(resources: readonly Resource<"Rule">[]): void {
    const { table, onMoved } = this.options;
    table.apply(resources);
    const rules = [...table.all()].map(({ rule }) => rule);
    this.#onTopics = rules.filter(({ spec }) => spec.trigger.event !== undefined);
    this.#onSilence = rules.filter(
      ({ spec: { trigger } }) => trigger.absence?.points === undefined && trigger.absence !== undefined,
    );
    for (const { shard } of this.#owned.values()) shard.rulesChanged();
    onMoved();
  }

  /** The shards of this process, for those who count. */
  *shards(): Iterable<RuleShard> {
    for (const { shard } of this.#owned.values()) yield shard;
  }

  wants({ path, deviceId }: Head): boolean {
    // Which profile the device has is not known here.
    return (
      this.#onTopics.some((rule) => hasTopic(rule, path)) ||
      this.#onSilence.some((rule) => rule.isNamed(deviceId))
    );
  }

  async acquire(ownership: Ownership, signal: AbortSignal): Promise<void> {
    const { partition } = ownership;
    const { openJournal, serve, table, clock, log, maxDevices, listNumbersPerSecond } = this.options;
    const port = openJournal(partition);
    const shard = new RuleShard({ ownership, port, table, clock, log, maxDevices, listNumbersPerSecond });
    await shard.start(signal);
    const owned: Owned = { shard, release: undefined };
    owned.release = serve(subjects.ruleRequest(partition), (data) => answer(shard, data));
    this.#owned.set(partition, owned);
  }

  async release(partition: number, settle: boolean): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    addTo(this.#gone, owned.shard);
    owned.release?.();
    await owned.shard.stop(settle);
  }

  onMessage(partition: number, message: DeviceMessage): Promise<void> | undefined {
    const owned = this.#owned.get(partition);
    if (owned === undefined || this.options.table.size === 0) return undefined;
    const { shard } = owned;
    const occasion = this.#occasionOf(message);
    const hasFired = shard.take(message.causes ?? [], (engine) => {
      if (message.samples.length > 0) engine.samples(occasion, message.samples.map(pointValue));
      if (this.#onTopics.some((rule) => hasTopic(rule, message.path)))
        engine.event(occasion, (rule) => hasTopic(rule, message.path), reader(message.payload));
      else if (message.samples.length === 0 && this.#onSilence.length > 0) engine.samples(occasion, []);
    });
    return hasFired && message.isEvent ? shard.stored() : undefined;
  }

  /** What was counted since this process started, in shards that are gone too. */
  get counted(): RuleCounts {
    const sum = { ...this.#gone };
    for (const { shard } of this.#owned.values()) addTo(sum, shard);
    return sum;
  }

  /** An action raises an alarm of the firing's device. */
  raise(fired: FiredRule, alarm: RaisedAlarm): void {
    const partition = partitionOf(fired.tenant, fired.device, this.options.partitions);
    this.#owned.get(partition)?.shard.raise(fired, alarm);
  }

  /** A device came or went, as far as it is one of this process's partitions. */
  presence(tenant: string, device: string, isOnline: boolean): void {
    this.#about(tenant, device, (engine, occasion) => engine.presence(occasion, isOnline));
  }

  /** A shadow has changed. `name`: empty for the unnamed one. */
  shadow(tenant: string, device: string, name: string, document: unknown): void {
    this.#about(tenant, device, (engine, occasion) => engine.shadow(occasion, name, document));
  }

  #about(tenant: string, device: string, take: (engine: RuleEngine, occasion: Occasion) => void): void {
    const { table, clock, partitions, profileOf } = this.options;
    const owned = this.#owned.get(partitionOf(tenant, device, partitions));
    if (owned === undefined || table.size === 0) return;
    const profile = profileOf(tenant, device);
    const occasion = { tenant, device, profile, topic: "", atMs: clock.wallMs(), isReplayed: false };
    owned.shard.take([], (engine) => take(engine, occasion));
  }

  #occasionOf({
    tenant,
    device,
    path,
    profile,
    samples,
    ingestTimeUs,
    sourceTimeUs,
    isReplayed,
  }: DeviceMessage): Occasion {
    const ingestMs = ingestTimeUs / 1000;
    const saidMs = (samples[0]?.timeUs ?? (sourceTimeUs || ingestTimeUs)) / 1000;
    const isCredible = isReplayed ? saidMs <= ingestMs : Math.abs(saidMs - ingestMs) <= MAX_SKEW_MS;
    const atMs = isCredible ? Math.min(saidMs, ingestMs) : ingestMs;
    return { tenant, device, profile: profile?.name ?? "", topic: path, atMs, isReplayed };
  }

  #tick(): void {
    const { clock, table } = this.options;
    const nowMs = clock.wallMs();
    const due: (readonly [string, number])[] = [];
    for (const { rule, schedule } of table.all()) {
      const atMs = schedule?.due(nowMs);
      if (atMs !== undefined) due.push([rule.name, atMs]);
    }
    for (const { shard } of this.#owned.values()) {
      shard.advance(nowMs - LAG_MS);
      for (const [name, atMs] of due) shard.take([], (engine) => engine.schedule(name, atMs));
    }
  }
}

function addTo(sum: RuleCounts, { engine: { counters }, crowded }: RuleShard): void {
  for (const key of Object.keys(counters) as (keyof typeof counters)[]) sum[key] += counters[key];
  sum.crowded += crowded;
}

function hasTopic({ spec }: Rule, path: string): boolean {
  return spec.trigger.event?.topics.some((filter) => topicMatches(filter, path)) === true;
}

function pointValue({ point, value, quality }: DeviceMessage["samples"][number]) {
  return { point, value: quality === "good" ? value : null };
}

/** Reads the payload once, when the first rule asks for a field; what is no JSON has none. */
function reader(payload: Buffer): () => unknown {
  let document: unknown;
  let isRead = false;
  return () => {
    if (!isRead) {
      isRead = true;
      try {
        document = JSON.parse(payload.toString());
      } catch {
        // Not for rules on fields then: their values are unknown.
        document = undefined;
      }
    }
    return document;
  };
}

async function answer(shard: RuleShard, data: Uint8Array): Promise<Uint8Array> {
  const { request } = wire.Request.decode(data);
  switch (request?.$case) {
    case "list": {
      const limit = Math.min(request.value.limit, MAX_ALARMS);
      return wire.AlarmList.encode(shard.alarms.list({ ...request.value, limit })).finish();
    }
    case "change":
      return wire.Alarm.encode(await shard.change(request.value)).finish();
    case undefined:
      throw new AppError("internal.invalid_argument", "a request about rules that says nothing");
  }
}
