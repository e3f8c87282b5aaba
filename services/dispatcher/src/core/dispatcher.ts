/** Holds the parts of a dispatcher together: what is known of routes, apps and listeners, and the partitions it owns. */
import {
  type BatchView,
  control,
  splitFilterKey,
  subjects,
  toAppErrorMessage,
  app as wire,
} from "@myelin/contract";
import type { AppError, Timer } from "@myelin/kernel";
import { AppDirectory, type AppRecord, subscriptionTest } from "./app-directory.js";
import { GroupDirectory } from "./group-directory.js";
import type { QueueLimits } from "./lane-queues.js";
import { Ledger } from "./ledger.js";
import { LinkHub } from "./link-hub.js";
import { ListenerDirectory } from "./listener-directory.js";
import { ListenerFilters } from "./listener-filters.js";
import { LostWills } from "./lost-wills.js";
import type { Target } from "./outlet.js";
import { Partition, type PartitionOptions } from "./partition.js";
import { type CompiledRoute, type Onlooker, PlanCompiler, type Subscriber, type TargetRef } from "./plan.js";
import { PlanCache, type PlanCacheOptions } from "./plan-cache.js";
import type { DispatcherPorts, Ownership, Release } from "./ports.js";
import { Router } from "./router.js";
import { Tap } from "./tap.js";
import { TargetKeeper } from "./target-keeper.js";
import { WillRoom } from "./told-wills.js";

export interface DispatcherOptions {
  readonly ports: DispatcherPorts;
  readonly limits: QueueLimits;
  readonly plans?: PlanCacheOptions;
  /** Event batches of a partition that may be under way before lagging targets are moved to their overflow, and their bytes. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Room for what is known of wills. */
  readonly willBytes: number;
  /** How long a handover waits for what is on the way. */
  readonly handoverMs: number;
  readonly order?: PartitionOptions["order"];
  /** Makes a target of a kind; called for apps, listeners and the unrouted, and by whoever compiles routes. */
  readonly createTarget: (kind: string, name: string, spec: unknown, dispatcher: Dispatcher) => Target;
  /** As `TargetPlugin.specOf`; undefined for kinds without it. */
  readonly specOf: (kind: string, name: string) => unknown;
  /** An app's subscriptions have changed and should be stored. */
  readonly keepApp: (record: AppRecord) => void;
  /** Absent: there are no sessions. */
  readonly createSessions?: ((dispatcher: Dispatcher) => SessionHomes) | undefined;
  /** Told of batches that carry a trace context; undefined: nothing is traced. */
  readonly onTraced?: ((view: BatchView) => void) | undefined;
  /** Why a message that is no command is not given to a device; undefined: it may go. */
  readonly refuseMessage?: ((tenant: string, device: string) => AppError | undefined) | undefined;
  /** Told of devices in the partitions owned here, see `DeviceWatch`. */
  readonly onDevice?:
    | ((partition: number, key: string, change: control.PresenceChange | undefined) => void)
    | undefined;
}

/** The homes of MQTT sessions, as the core sees them. */
export interface SessionHomes {
  start(): void;
  stop(): void;
  /** Resolves when the sessions of the partition are served. */
  acquire(ownership: Ownership): Promise<void>;
  /** Resolves when it is known what all sessions want, so that no message passes them by. */
  known(): Promise<void>;
  /** @param deadlineMs 0: at once */
  release(partition: number, deadlineMs: number): Promise<void>;
  listenerChanged(listener: string): void;
  /** Members of a group of a shared subscription have come or gone, anywhere. */
  groupChanged(key: string): void;
  reconnected(): void;
}

const SWEEP_MS = 500;
const SECOND_MS = 1_000;
/** How long a home whose partition is given up may write what is in its memory only. */
const SESSIONS_SETTLE_MS = 1_000;
/** Subscriptions that come in a burst cost one recompilation of plans per this time. */
const COALESCE_MS = 20;
/** How long a start waits for apps and listeners to say that they are there. */
const INTRODUCTION_MS = 300;

/** The core of the service. Does nothing until started. */
export class Dispatcher {
  readonly ledger = new Ledger();
  readonly compiler = new PlanCompiler();
  readonly targets: TargetKeeper;
  readonly links: LinkHub;
  readonly apps: AppDirectory;
  readonly listeners: ListenerDirectory;
  readonly tap: Tap;
  readonly plans: PlanCache;
  readonly partitions = new Map<number, Partition>();
  readonly willRoom: WillRoom;
  readonly lostWills: LostWills;
  /** Events kept with the unrouted because routing them has failed by a defect. */
  routingErrors = 0;
  /** Announcements of apps that were not taken because there are too many. */
  appsRefused = 0;
  private readonly router: Router;
  private readonly unrouted: TargetRef;
  private readonly sessions: SessionHomes | undefined;
  private readonly homeSubscribers = new Map<number, Subscriber>();
  private readonly watchers = new Map<string, Set<(gone: readonly string[]) => void>>();
  private readonly appSubscribers = new Map<string, { filter: string; subscriber: Subscriber }[]>();
  /** Given up, and not yet closed. */
  private readonly leaving = new Set<Partition>();
  private readonly releases: Release[] = [];
  private readonly timers: Timer[] = [];
  private coalesceTimer: Timer | undefined;
  private lastInvalidatedMs = Number.NEGATIVE_INFINITY;
  private introduced: Promise<void> = Promise.resolve();

  constructor(private readonly options: DispatcherOptions) {
    const { ports } = options;
    const { clock } = ports;
    this.links = new LinkHub(ports);
    this.plans = new PlanCache(this.compiler, options.plans);
    this.router = new Router(this.plans, () => clock.wallUs());
    this.tap = new Tap({
      clock,
      instance: ports.instance,
      incarnation: ports.incarnation,
      publish: (subject, data) => ports.publish(subject, data),
    });
    this.apps = new AppDirectory({
      clock,
      creditShare: () => Math.max(1, this.partitions.size) / ports.partitions,
      events: {
        instancesChanged: (app, gone) => this.notify(`app:${app}`, gone),
        subscriptionsChanged: (_app, record, keep) => this.appChanged(record, keep),
        appDeleted: (app) => this.appDeleted(app),
        appRefused: (app, error) => this.appRefused(app, error),
      },
    });
    this.listeners = new ListenerDirectory({
      clock,
      filters: new ListenerFilters(this.compiler.listeners, (listener) => ({
        target: this.ensure("listener", listener, listener),
        test: undefined,
      })),
      groups: new GroupDirectory({
        index: this.compiler.listeners,
        targetOf: (key) => this.ensure("group", key, key),
        onChange: (key) => {
          this.notify(`group:${key}`, []);
          this.sessions?.groupChanged(key);
        },
      }),
      events: {
        listenerUp: (listener) => {
          for (const partition of this.partitions.values()) partition.meetListener(listener);
          this.notify(`listener:${listener}`, []);
          this.sessions?.listenerChanged(listener);
        },
        listenerGone: (listener) => this.listenerGone(listener),
        replayNeeded: (listener) => void ports.publish(subjects.interestSync(listener), new Uint8Array(0)),
        applied: (listener, incarnation, sequence) => {
          const receipt = { dispatcher: ports.instance, incarnation, sequence };
          ports.publish(subjects.interestApplied(listener), control.InterestApplied.encode(receipt).finish());
        },
      },
    });
    this.willRoom = new WillRoom(options.willBytes);
    this.lostWills = new LostWills({
      ports,
      partitions: () => this.partitions.values(),
      incarnationOf: (listener) => this.listeners.incarnationOf(listener),
      knowsAll: () => this.listeners.knowsAll,
    });
    this.targets = new TargetKeeper({
      log: ports.log,
      create: (kind, name, spec) => options.createTarget(kind, name, spec, this),
      specOf: options.specOf,
      partitions: () => [...this.partitions.values(), ...this.leaving],
      isWanted: (ref) => this.isWanted(ref),
      onGone: (ref) => this.targetGone(ref),
    });
    this.unrouted = this.ensure("unrouted", "events", "events");
    this.sessions = options.createSessions?.(this);
  }

  /** Begins to listen to the others. Partitions are taken by `acquire`. */
  start(): void {
    const { ports } = this.options;
    this.links.start();
    this.sessions?.start();
    this.releases.push(
      ports.subscribe(subjects.appAnnounce(), (d) => this.apps.announced(control.AppAnnouncement.decode(d))),
      ports.subscribe(subjects.interest(), (d) => this.listeners.interest(control.InterestBatch.decode(d))),
      ports.subscribe(subjects.heartbeat("listener"), (d) =>
        this.listeners.heartbeat(control.Heartbeat.decode(d)),
      ),
      ports.subscribe(subjects.tapInterest(), (d) => this.tap.announced(control.TapInterest.decode(d))),
    );
    this.timers.push(
      ports.clock
        .setInterval(() => {
          this.apps.sweep();
          this.listeners.sweep();
          this.lostWills.sweep();
          this.targets.sweep();
        }, SWEEP_MS)
        .unref(),
      ports.clock.setInterval(() => this.tap.tick(), SECOND_MS).unref(),
    );
    this.introduce();
    // Partitions taken before the apps have said that they are there would send their events into the overflow.
    this.introduced = ports.clock.sleep(INTRODUCTION_MS);
  }

  /** Asks apps and listeners to say who they are; called again after NATS was away. */
  introduce(): void {
    const { ports } = this.options;
    ports.publish(subjects.appAnnounceSync(), new Uint8Array(0));
    ports.publish(subjects.interestSync("all"), new Uint8Array(0));
    for (const number of this.partitions.keys()) {
      ports.publish(subjects.presenceSync(number), new Uint8Array(0));
    }
  }

  /** NATS is back. */
  reconnected(): void {
    this.introduce();
    this.lostWills.reconnected();
    this.links.reconnected();
    this.sessions?.reconnected();
  }

  /** The lease of a partition was taken: resolves when its messages are being taken. */
  async acquire(ownership: Ownership): Promise<void> {
    const { ports, limits, maxPending, maxPendingBytes, order, onTraced } = this.options;
    await this.introduced;
    await this.sessions?.acquire(ownership);
    await this.sessions?.known();
    await this.targets.started();
    const partition = new Partition({
      ownership,
      ports,
      limits,
      willRoom: this.willRoom,
      maxPending,
      maxPendingBytes,
      order,
      onTraced,
      refuseMessage: this.options.refuseMessage,
      onDevice: (key, change) => this.options.onDevice?.(ownership.partition, key, change),
      ledger: this.ledger,
      router: this.router,
      tap: this.tap,
      unrouted: this.unrouted,
      targetOf: (ref) => this.targets.targetOf(ref),
      onRoutingError: (events) => {
        this.routingErrors += events;
      },
      targets: () => this.targets.refs(),
    });
    this.partitions.set(ownership.partition, partition);
    this.apps.resizeWindows();
    await partition.start();
    void this.adoptLeft(partition);
  }

  /** The lease ends: nothing is taken any more; with `settle`, what is on the way gets a moment. */
  async release(number: number, settle: boolean): Promise<void> {
    const partition = this.partitions.get(number);
    if (partition === undefined) {
      await this.sessions?.release(number, 0);
      return;
    }
    this.partitions.delete(number);
    this.leaving.add(partition);
    const stopped = partition.stopTaking();
    // A lease that was lost must not be worked on while anything is awaited.
    if (!settle) partition.close();
    const left = settle ? undefined : this.sessions?.release(number, 0);
    try {
      await stopped;
      await left;
      if (settle) await partition.settle(this.options.handoverMs);
    } finally {
      partition.close();
      this.leaving.delete(partition);
      this.apps.resizeWindows();
      if (settle) await this.sessions?.release(number, SESSIONS_SETTLE_MS);
    }
  }

  /** Messages that match a filter of sessions go to the home of their partition. @param key as `filterKey` makes it */
  sessionsWant(partition: number, key: string): void {
    let subscriber = this.homeSubscribers.get(partition);
    if (subscriber === undefined) {
      const name = String(partition);
      subscriber = { target: this.ensure("sessions", name, name), test: undefined };
      this.homeSubscribers.set(partition, subscriber);
    }
    const { tenant, filter } = splitFilterKey(key);
    this.compiler.listeners.add(tenant, filter, subscriber);
  }

  /** They do so no longer. */
  sessionsForgo(partition: number, key: string): void {
    const subscriber = this.homeSubscribers.get(partition);
    if (subscriber === undefined) return;
    const { tenant, filter } = splitFilterKey(key);
    this.compiler.listeners.remove(tenant, filter, subscriber);
  }

  /** The home of a partition's sessions is another. */
  homeMoved(partition: number): void {
    this.notify(`sessions:${partition}`, []);
    for (const key of this.listeners.groups.ofHome(partition)) this.notify(`group:${key}`, []);
  }

  /** Replaces the routes between two batches. Targets that no route names any more stay until nothing waits for them. */
  setRoutes(routes: readonly CompiledRoute[]): void {
    this.compiler.setRoutes(routes);
    this.targets.setRouted(routes.flatMap(({ legs }) => legs.map(({ target }) => target)));
  }

  /** The reference of a target, made and started when it is new. */
  ensure(kind: string, name: string, spec: unknown): TargetRef {
    return this.targets.ensure(kind, name, spec);
  }

  /** From now on messages with `retain` set are kept, by the target of that kind. */
  keepRetained(): void {
    this.router.keepRetained(this.ensure("retained", "messages", "messages"));
  }

  /** From now on messages that somebody at the desk wants go there, by the target of that kind. */
  attendDevices(interest: Onlooker["interest"]): void {
    this.compiler.setOnlooker({ target: this.ensure("devices", "desk", "desk"), interest });
  }

  /** What the desk wants has changed. */
  replan(): void {
    this.invalidateSoon();
  }

  /** Calls back when the instances behind `subject` change. */
  watch(subject: string, listener: (gone: readonly string[]) => void): Release {
    const set = this.watchers.get(subject) ?? new Set();
    this.watchers.set(subject, set);
    set.add(listener);
    return () => {
      set.delete(listener);
    };
  }

  /** Stops everything that is left; partitions are released before. */
  async stop(): Promise<void> {
    const { clock } = this.options.ports;
    for (const release of this.releases.splice(0)) release();
    for (const timer of this.timers.splice(0)) clock.clear(timer);
    clock.clear(this.coalesceTimer);
    this.coalesceTimer = undefined;
    for (const number of [...this.partitions.keys()]) await this.release(number, false);
    this.sessions?.stop();
    this.lostWills.stop();
    this.links.stop();
    await this.targets.stop();
  }

  /** What waits in a partition's overflow for targets that nobody here knows is brought to them all the same. */
  private async adoptLeft({ number }: Partition): Promise<void> {
    const { ports } = this.options;
    for (let waitMs = 100; this.partitions.has(number); waitMs = Math.min(10_000, waitMs * 2)) {
      try {
        for (const { kind, target } of await ports.overflowOwners(number)) this.targets.adopt(kind, target);
        return;
      } catch (err) {
        ports.log.debug({ err, partition: number }, "the overflow cannot be listed, will retry");
        await ports.clock.sleep(waitMs);
      }
    }
  }

  private isWanted({ kind, name }: TargetRef): boolean {
    if (kind === "app") return this.apps.has(name);
    if (kind === "group") return this.listeners.groups.has(name);
    if (kind === "sessions") return true;
    return kind === "listener"
      ? this.listeners.incarnationOf(name) !== undefined
      : kind === "unrouted" || kind === "retained" || kind === "devices";
  }

  private targetGone(ref: TargetRef): void {
    this.compiler.forget(ref);
  }

  private notify(subject: string, gone: readonly string[]): void {
    for (const listener of this.watchers.get(subject) ?? []) listener(gone);
  }

  private appChanged(record: AppRecord, keep: boolean): void {
    this.targets.appKnown(record.app);
    const target = this.ensure("app", record.app, record.app);
    for (const { filter, subscriber } of this.appSubscribers.get(record.app) ?? []) {
      this.compiler.unsubscribe(filter, subscriber);
    }
    const subscribers = record.subscriptions.map((subscription) => ({
      filter: subscription.filter,
      subscriber: { target, test: subscriptionTest(subscription) },
    }));
    for (const { filter, subscriber } of subscribers) this.compiler.subscribe(filter, subscriber);
    this.appSubscribers.set(record.app, subscribers);
    this.invalidateSoon();
    if (keep) this.options.keepApp(record);
  }

  private appDeleted(app: string): void {
    for (const { filter, subscriber } of this.appSubscribers.get(app) ?? []) {
      this.compiler.unsubscribe(filter, subscriber);
    }
    this.appSubscribers.delete(app);
    this.targets.appDeleted(app);
    this.invalidateSoon();
  }

  private appRefused(app: string, error: AppError): void {
    const { ports } = this.options;
    if (this.appsRefused++ === 0) ports.log.warn({ err: error, app }, "an app is refused");
    const message = wire.AppError.encode(toAppErrorMessage(error)).finish();
    ports.publish(subjects.appRefusal(app), message);
  }

  private listenerGone(listener: string): void {
    this.plans.forget(listener);
    for (const partition of this.partitions.values()) partition.forgetListener(listener);
    this.notify(`listener:${listener}`, []);
    this.sessions?.listenerChanged(listener);
  }

  /** At once when it was quiet, so that a subscriber hears the next message; in a burst, a little later and once. */
  private invalidateSoon(): void {
    const { clock } = this.options.ports;
    if (this.coalesceTimer !== undefined) return;
    const waitMs = this.lastInvalidatedMs + COALESCE_MS - clock.nowMs();
    if (waitMs <= 0) {
      this.lastInvalidatedMs = clock.nowMs();
      this.compiler.invalidate();
      return;
    }
    this.coalesceTimer = clock.setTimeout(() => {
      this.coalesceTimer = undefined;
      this.lastInvalidatedMs = clock.nowMs();
      this.compiler.invalidate();
    }, waitMs);
  }
}
