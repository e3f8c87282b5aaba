/** The bridges of the deployment: which there are, and those that run on this listener because it has their leases. */

import { randomBytes } from "node:crypto";
import {
  type Bus,
  type KeyValue,
  type NamedLease,
  type NamedLeases,
  openKeyValue,
  type ReleaseReason,
} from "@myelin/bus";
import { type BridgeSpec, resourcesOf, type Snapshot } from "@myelin/config";
import { BUCKETS, type ops } from "@myelin/contract";
import { AppError, type Component, type ComponentCondition, retry, type Timer } from "@myelin/kernel";
import { BRIDGE_PREFIX } from "../core/bridge-id.js";
import type { OperationsClient } from "../core/operations-client.js";
import type { Bridge, BridgeContext, BridgeCounters, BridgePlugin, BridgeStatus } from "./bridge.js";

/** A bridge that this listener runs, for operators. */
export interface BridgeRecord extends BridgeStatus {
  readonly name: string;
  readonly counters: BridgeCounters;
  /** Undefined: not known at the moment. */
  readonly outbox: Outbox | undefined;
}

/** What waits to go out, as the home of the bridge's session tells it. */
export interface Outbox {
  /** Those on their way to the other side included. */
  readonly messages: number;
  readonly bytes: number;
  /** Unix milliseconds at which the oldest one has come in; 0: none waits. */
  readonly oldestAtMs: number;
  /** Messages that it had no room for, since its home began to keep it. */
  readonly dropped: number;
}

export interface BridgesOptions
  extends Omit<BridgeContext, "name" | "site" | "identity" | "isHeld" | "counters"> {
  readonly bus: Bus;
  readonly leases: NamedLeases;
  readonly operations: Pick<OperationsClient, "sessions">;
  /** Finds the plugin of a kind. @throws AppError `config.unknown_kind` */
  readonly find: (kind: string) => Promise<BridgePlugin>;
}

interface Running {
  readonly bridge: Bridge;
  readonly spec: string;
}

const SITE_KEY = "site";
const COUNT_EVERY_MS = 5_000;
const BACKOFF = { initialMs: 500, maxMs: 10_000 };

export class Bridges implements Component {
  readonly name = "bridges";
  private specs: ReadonlyMap<string, BridgeSpec> = new Map();
  private readonly held = new Map<string, NamedLease>();
  private readonly running = new Map<string, Running>();
  private readonly counters = new Map<string, BridgeCounters>();
  private readonly outboxes = new Map<string, Outbox>();
  /** Per name, what is done to it is done in turn. */
  private readonly turns = new Map<string, Promise<void>>();
  private readonly stopping = new AbortController();
  private site: string | undefined;
  private starting: Promise<void> | undefined;
  private isStarted = false;
  private counting: Timer | undefined;

  constructor(private readonly options: BridgesOptions) {
    options.leases.onChange({
      acquired: (lease) => this.acquired(lease),
      released: (lease, reason) => this.released(lease, reason),
    });
  }

  async start(): Promise<void> {
    this.isStarted = true;
    this.startLeases();
  }

  async stop(): Promise<void> {
    this.stopping.abort(new AppError("operation.aborted", "bridges were stopped"));
    this.options.clock.clear(this.counting);
    await this.starting;
    await this.options.leases.stop();
  }

  condition(): ComponentCondition {
    const waiting = this.records().filter(({ state }) => state === "waiting");
    if (waiting.length === 0) return this.options.leases.condition?.() ?? { state: "running" };
    return { state: "degraded", reason: `not connected: ${waiting.map(({ name }) => name).join(", ")}` };
  }

  /** Puts the bridges of a snapshot in force: those that have changed are begun anew, those that are gone end with their outbox. */
  apply(snapshot: Snapshot): void {
    this.specs = new Map(resourcesOf(snapshot, "Bridge").map(({ metadata, spec }) => [metadata.name, spec]));
    this.options.leases.want(this.specs.keys());
    for (const name of this.counters.keys()) if (!this.specs.has(name)) this.forget(name);
    for (const name of this.held.keys())
      if (this.specs.has(name)) void this.inTurn(name, () => this.renew(name));
    this.startLeases();
  }

  /** Those that run here, by name. */
  records(): readonly BridgeRecord[] {
    return [...this.running]
      .map(([name, { bridge }]) => ({
        ...bridge.status,
        name,
        counters: this.countersOf(name),
        outbox: this.outboxes.get(name),
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Leases cost a look at NATS four times a second: only who has bridges strives for any. */
  private startLeases(): void {
    if (!this.isStarted || this.starting !== undefined || this.specs.size === 0) return;
    const { leases, clock, bus, log } = this.options;
    const { signal } = this.stopping;
    this.starting = retry(
      async () => {
        this.site ??= await siteOf(bus);
        await leases.start(signal);
      },
      { backoff: BACKOFF, clock, isRetryable: () => true },
      signal,
    ).catch((err: unknown) => {
      if (!signal.aborted) log.error({ err }, "bridges cannot be run");
    });
    this.counting = clock.setInterval(() => void this.count(), COUNT_EVERY_MS);
  }

  private async acquired(lease: NamedLease): Promise<void> {
    this.held.set(lease.name, lease);
    await this.inTurn(lease.name, () => this.renew(lease.name));
  }

  private async released({ name }: NamedLease, reason: ReleaseReason): Promise<void> {
    this.held.delete(name);
    const isGone = !this.specs.has(name);
    await this.inTurn(name, () => this.end(name, reason === "lost" ? "lost" : isGone ? "end" : "leave"));
  }

  /** Runs the bridge as it is declared now. */
  private async renew(name: string): Promise<void> {
    const { find, log } = this.options;
    const lease = this.held.get(name);
    const spec = this.specs.get(name);
    if (lease === undefined || spec === undefined) return;
    const text = JSON.stringify(spec);
    if (this.running.get(name)?.spec === text) return;
    await this.end(name, "leave");
    const plugin = await find(Object.keys(spec.remote)[0] ?? "");
    const bridge = plugin.create(spec, {
      ...this.options,
      name,
      site: this.site as string,
      identity: {
        tenant: spec.tenant,
        deviceId: BRIDGE_PREFIX + name,
        user: BRIDGE_PREFIX + name,
        // Whoever may declare a bridge may say what crosses it; rules that name it are heeded all the same.
        local: true,
      },
      isHeld: () => lease.held,
      counters: this.countersOf(name),
      log: log.child({ component: "bridge", instance: name }),
    });
    this.running.set(name, { bridge, spec: text });
    bridge.start();
  }

  private async end(name: string, how: "leave" | "lost" | "end"): Promise<void> {
    const running = this.running.get(name);
    this.running.delete(name);
    await running?.bridge.stop(how);
  }

  private inTurn(name: string, task: () => Promise<void>): Promise<void> {
    const turn = (this.turns.get(name) ?? Promise.resolve()).then(task).catch((err: unknown) => {
      this.options.log.error({ err, bridge: name }, "a bridge cannot be run as it is declared");
    });
    this.turns.set(name, turn);
    return turn;
  }

  private countersOf(name: string): BridgeCounters {
    let counters = this.counters.get(name);
    if (counters === undefined) {
      counters = { connects: 0, failures: 0, messages: { in: 0, out: 0 }, dropped: new Map() };
      this.counters.set(name, counters);
    }
    return counters;
  }

  private forget(name: string): void {
    this.counters.delete(name);
    this.outboxes.delete(name);
    this.turns.delete(name);
  }

  /** Outboxes are where the sessions of the bridges have their homes. */
  private async count(): Promise<void> {
    const { operations } = this.options;
    for (const name of this.running.keys()) {
      const tenant = { name: this.specs.get(name)?.tenant ?? "" };
      try {
        const { entries } = await operations.sessions({ client: BRIDGE_PREFIX + name, tenant });
        if (!this.running.has(name)) continue;
        const home = entries.find(({ persistent }) => persistent);
        this.outboxes.set(name, outboxOf(home));
      } catch {
        // Whoever could tell is away: what is not known is not shown.
        this.outboxes.delete(name);
      }
    }
  }
}

function outboxOf(home: ops.Session | undefined): Outbox {
  if (home === undefined) return { messages: 0, bytes: 0, oldestAtMs: 0, dropped: 0 };
  const { queued, inflight, queuedBytes, oldestAtMs, dropped } = home;
  return { messages: queued + inflight, bytes: queuedBytes, oldestAtMs, dropped };
}

/** Made by whoever asks first. */
async function siteOf(bus: Bus): Promise<string> {
  const store = await openKeyValue(bus, BUCKETS.deployment);
  return (await storedSite(store)) ?? (await makeSite(store));
}

async function storedSite(store: KeyValue): Promise<string | undefined> {
  const entry = await store.get(SITE_KEY);
  return entry === undefined ? undefined : Buffer.from(entry.value).toString();
}

async function makeSite(store: KeyValue): Promise<string> {
  const site = randomBytes(5).toString("hex");
  try {
    await store.put(SITE_KEY, Buffer.from(site), 0);
    return site;
  } catch (thrown) {
    const other = await storedSite(store);
    if (other === undefined) throw thrown;
    return other;
  }
}
