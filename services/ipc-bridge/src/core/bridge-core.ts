/** The bridge itself: streams in, batches in, and who is who. */
import {
  type Bus,
  DeviceCommandClient,
  type EventSender,
  SENDING_HOPS,
  sentAccounts,
  type TelemetrySender,
  type Unsubscribe,
} from "@myelin/bus";
import { app, BatchView, type control, Lane, MAX_BATCH_BYTES, subjects } from "@myelin/contract";
import {
  AppError,
  type Clock,
  type Component,
  type ComponentCondition,
  type Timer,
  TokenBucket,
} from "@myelin/kernel";
import type { Logger, Tracing } from "@myelin/observability";
import type { AppAdmission } from "./admission.js";
import { Announcer } from "./announcer.js";
import { AppChannels, type ChannelNumbers } from "./app-channels.js";
import { Books } from "./books.js";
import { Downlinks } from "./downlinks.js";
import { EpochFence } from "./fence.js";
import { HealthMonitor, type HealthProbe } from "./health.js";
import { LinkAcks } from "./link-acks.js";
import type { PlatformContext, PlatformMethods } from "./platform-method.js";
import type { PublishLanes } from "./publisher.js";
import { Requests } from "./requests.js";
import { AppSession } from "./session.js";
import type { BridgeSettings } from "./settings.js";
import type { FrameStream } from "./stream.js";

/** Everything from outside that the core works with. */
export interface BridgeParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: BridgeSettings;
  readonly partitions: number;
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly channels: ChannelNumbers;
  readonly admission: AppAdmission;
  readonly probe: HealthProbe;
  /** Makes the methods that apps may ask of the platform. */
  readonly platform: (context: PlatformContext) => PlatformMethods;
  readonly version: string;
  /** Absent, or not enabled: nothing is traced and nothing is asked. */
  readonly tracing?: Tracing | undefined;
  /** An error that an app got to know. */
  readonly onRefused: (error: AppError) => void;
}

const MAX_BUCKETS = 1_024;

/** An announcement must fit into what every NATS of a deployment takes: a largest batch. */
const MAX_ANNOUNCED_BYTES = MAX_BATCH_BYTES - 64 * 1024;
/** Credit, framing, and what the bridge adds to the name of one instance, at most. */
const INSTANCE_BYTES = 96;

/** What an app is announced with. */
type Announced = Pick<AppSession, "app" | "instance" | "subscriptions" | "serves">;

/** Plain counters of the core, read when metrics are scraped. */
export interface BridgeCounters {
  batches: number;
  malformedBatches: number;
  staleBatches: number;
  sessionsOpened: number;
}

/** Started before the servers that bring streams, stopped after they have let go of them. */
export class BridgeCore implements Component {
  readonly name = "bridge-core";
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: BridgeSettings;
  readonly books = new Books();
  readonly lanes: PublishLanes;
  readonly admission: AppAdmission;
  readonly acks: LinkAcks;
  readonly monitor: HealthMonitor;
  readonly requests: Requests;
  readonly downlinks: Downlinks;
  readonly counters: BridgeCounters = { batches: 0, malformedBatches: 0, staleBatches: 0, sessionsOpened: 0 };
  readonly #parts: BridgeParts;
  readonly #announcer: Announcer;
  readonly #fence = new EpochFence();
  readonly #view = new BatchView();
  /** Every stream, also those that have not said hello. */
  readonly #streams = new Set<AppSession>();
  readonly #byTarget = new Map<string, AppSession>();
  readonly #byApp = new Map<string, Set<AppSession>>();
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #unsubscribe: Unsubscribe[] = [];
  #heartbeatTimer: Timer | undefined;
  #announcedBytes = 0;
  #draining = false;
  #stopped = false;
  #drained: (() => void) | undefined;

  constructor(parts: BridgeParts) {
    const { bus, clock, log, settings, partitions, telemetry, events } = parts;
    this.#parts = parts;
    this.bus = bus;
    this.clock = clock;
    this.log = log;
    this.settings = settings;
    this.admission = parts.admission;
    const tracing = parts.tracing?.enabled === true ? parts.tracing : undefined;
    this.lanes = { telemetry, events, channels: new AppChannels(partitions, parts.channels), tracing };
    this.acks = new LinkAcks(bus, clock);
    this.monitor = new HealthMonitor(clock, settings.health, parts.probe, () => this.openSessions());
    this.#announcer = new Announcer(bus, clock, () => this.openSessions());
    const refused = (error: AppError): void => this.refused(error);
    this.downlinks = new Downlinks({ bus, partitions, settings: settings.calls, refused });
    const platform = parts.platform({
      bridge: bus.instance,
      version: parts.version,
      wallMs: () => clock.wallMs(),
      apps: () => this.#announcer.known(),
      commands: new DeviceCommandClient(bus, partitions, clock),
    });
    this.requests = new Requests({
      bus,
      settings: settings.calls,
      platform,
      refused,
      sessionsOf: (app) => this.#byApp.get(app) ?? [],
    });
  }

  async start(): Promise<void> {
    const { bus, clock, settings } = this;
    const { telemetry, events } = this.lanes;
    this.#unsubscribe.push(
      bus.subscribe(subjects.bridgeDeliver(bus.instance), (data) => this.#onBatch(data), {
        transient: true,
        only: true,
      }),
      telemetry.onCongestion((congested) => congested || this.#resumePublishers()),
      events.onCongestion((congested) => congested || this.#resumePublishers()),
    );
    this.acks.start();
    this.monitor.start();
    this.#announcer.start();
    const heartbeat = (): void => this.#checkHeard();
    this.#heartbeatTimer = clock.setInterval(heartbeat, settings.heartbeatMs / 2).unref();
  }

  /** Drains every session and waits for what they still acknowledge, at most their drain timeout. Safe twice. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const session of [...this.#streams]) {
      if (session.state === "open" || session.state === "draining") session.drain("the bridge stops");
      else session.close();
    }
    if (this.#streams.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.drain();
    this.clock.clear(this.#heartbeatTimer);
    this.monitor.stop();
    this.requests.stop();
    this.#announcer.stop();
    this.acks.stop();
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
  }

  condition(): ComponentCondition {
    return this.bus.connected
      ? { state: "running" }
      : { state: "degraded", reason: "NATS is away: apps stay connected and get nothing" };
  }

  /** Takes a stream of any transport. */
  accept(stream: FrameStream): void {
    const session = new AppSession(stream, this);
    this.#streams.add(session);
    session.open();
    if (this.#draining) session.fail(new AppError("rpc.unavailable", "the bridge stops"));
    else if (this.#streams.size > this.settings.maxSessions) {
      session.fail(
        new AppError("limit.connections", `the bridge holds ${this.settings.maxSessions} apps already`),
      );
    }
  }

  /** Sessions that said hello and were let in. */
  openSessions(): Iterable<AppSession> {
    return this.#byTarget.values();
  }

  /** Streams in all. */
  get streams(): number {
    return this.#streams.size;
  }

  /** The sessions as operators see them; instances are named as apps name themselves. */
  report(): readonly object[] {
    return [...this.#byTarget.values()].map((session) => ({
      app: session.app,
      instance: session.instance,
      peer: session.peer,
      state: session.state,
      healthy: session.health.healthy,
      inFlight: session.deliveries?.sentEnvelopes,
      inFlightBytes: session.deliveries?.sentBytes,
      heldBytes: session.deliveries?.heldBytes,
      publishBytes: session.publisher?.pendingBytes,
      serves: session.serves,
    }));
  }

  bucketOf(app: string): TokenBucket {
    let bucket = this.#buckets.get(app);
    if (bucket === undefined) {
      const { perSecond, burst } = this.settings.publish;
      bucket = new TokenBucket({ perSecond, burst }, this.clock.nowMs());
      for (const oldest of this.#buckets.keys()) {
        if (this.#buckets.size < MAX_BUCKETS) break;
        this.#buckets.delete(oldest);
      }
      this.#buckets.set(app, bucket);
    }
    return bucket;
  }

  /**
   * Makes room for what an app wants to be announced with. All apps of a bridge share one message, which NATS must take: an app
   * whose subscriptions do not fit is refused, so that it cannot keep the others from being known.
   * @throws AppError `limit.connections`; what the session had before stays reserved
   */
  reserve(session: AppSession, wish: Announced): void {
    const { app: name, instance, subscriptions, serves } = wish;
    const like = { app: name, instance, subscriptions: [...subscriptions], serves: [...serves] };
    const bytes = INSTANCE_BYTES + app.AppHello.encode(app.AppHello.fromPartial(like)).finish().length;
    const total = this.#announcedBytes - session.announcedBytes + bytes;
    if (total > MAX_ANNOUNCED_BYTES) {
      throw new AppError(
        "limit.connections",
        `the subscriptions of all apps on this bridge may take ${MAX_ANNOUNCED_BYTES} bytes; these would make it ${total}`,
        { details: { bytes: total, limit: MAX_ANNOUNCED_BYTES } },
      );
    }
    this.#announcedBytes = total;
    session.announcedBytes = bytes;
  }

  refused(error: AppError): void {
    this.#parts.onRefused(error);
    if (error.family === "ours")
      this.log.error({ err: error }, "an app was refused because of a defect here");
  }

  sessionOpened(session: AppSession): void {
    this.counters.sessionsOpened += 1;
    const { app, instance } = session;
    const sessions = this.#byApp.get(app) ?? new Set();
    for (const older of sessions) {
      if (older.instance !== instance || older.state !== "open") continue;
      const text = `another session of ${app} calls itself ${instance}; the newer one stays`;
      older.drain("replaced", new AppError("app.duplicate_instance", text));
    }
    sessions.add(session);
    this.#byApp.set(app, sessions);
    this.#byTarget.set(session.target, session);
    this.sessionChanged(session, undefined);
  }

  /** Health, credit, subscriptions or state are other than announced. */
  sessionChanged(session: AppSession, what: string | undefined): void {
    const { app, instance } = session;
    if (what === "unhealthy") this.log.warn({ app, instance }, "app is unhealthy, gets no more work");
    else if (what === "healthy again") this.log.info({ app, instance }, "app is healthy again");
    this.#announcer.changed();
    this.requests.refresh(app);
  }

  sessionEnded(session: AppSession, known: boolean, error: AppError | undefined): void {
    this.#streams.delete(session);
    this.#announcedBytes -= session.announcedBytes;
    session.announcedBytes = 0;
    if (known) {
      const { app, instance, target } = session;
      this.#byTarget.delete(target);
      const sessions = this.#byApp.get(app);
      sessions?.delete(session);
      if (sessions?.size === 0) this.#byApp.delete(app);
      this.log.info({ app, instance, code: error?.code }, "app disconnected");
      this.sessionChanged(session, undefined);
    } else if (error !== undefined) {
      this.log.info({ peer: session.peer, code: error.code }, "stream ended before it became an app");
    }
    if (this.#streams.size === 0) this.#drained?.();
  }

  /** The hot path: one copy per batch, no look at its envelopes. */
  #onBatch(data: Uint8Array): void {
    const view = this.#view;
    this.counters.batches += 1;
    try {
      view.reset(data);
    } catch (thrown) {
      this.counters.malformedBatches += 1;
      if (this.counters.malformedBatches === 1)
        this.log.warn({ err: thrown }, "a batch for apps cannot be read");
      return;
    }
    const { hop } = view;
    const session = this.#byTarget.get(hop.targetInstance);
    const verdict = this.#fence.judge(hop.partition, hop.epoch);
    if (verdict === "newer") {
      for (const each of this.#byTarget.values()) each.deliveries?.retire(hop.partition, hop.epoch);
    }
    if (session !== undefined && verdict !== "stale") {
      session.deliver(view);
      return;
    }
    if (verdict === "stale") this.counters.staleBatches += 1;
    // Events stay with their owner, who sends them again to whom it finds; telemetry ends here.
    const lost = verdict === "stale" ? "stale_epoch" : "no_session";
    this.books
      .deliver(hop.target, hop.lane)
      .refuse(hop.count, hop.lane === Lane.TELEMETRY ? lost : "requeued");
  }

  #resumePublishers(): void {
    for (const session of this.#byTarget.values()) session.publisher?.resume();
  }

  #checkHeard(): void {
    const nowMs = this.clock.nowMs();
    for (const session of [...this.#byTarget.values()])
      session.checkHeard(nowMs, 2 * this.settings.heartbeatMs);
  }

  /** The books of this process for `ledgerQuery`. */
  ledger(): control.LedgerAccount[] {
    const delivered = [...this.books].map((account) => account.toMessage());
    return [
      ...delivered.filter(({ received }) => received > 0),
      ...sentAccounts(SENDING_HOPS["ipc-bridge"].hop, this.lanes.telemetry, this.lanes.events),
    ];
  }
}
