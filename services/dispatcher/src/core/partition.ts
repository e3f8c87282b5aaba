/** One owned partition: what comes in, in order and once, is routed; what it owns ends when it is released. */
import { BATCH_FLAGS, BatchView, control, isPlatformTopic, Protocol, subjects } from "@myelin/contract";
import { AppError, type Timer } from "@myelin/kernel";
import { DedupeWindow } from "./dedupe.js";
import { DeviceDirectory, type DeviceWatch } from "./device-directory.js";
import { answerDownlink, refusedDownlink } from "./downlink.js";
import { EventLinks } from "./event-links.js";
import { EventTracker, type SourceDelivery, type TrackedBatch } from "./event-tracker.js";
import { LaneQueues, type QueueLimits } from "./lane-queues.js";
import type { Account, DropReason, Ledger } from "./ledger.js";
import type { Target } from "./outlet.js";
import type { TargetRef } from "./plan.js";
import type { DispatcherPorts, EventReader, Ownership, Release, TelemetryAcks } from "./ports.js";
import type { RouteLane, Router } from "./router.js";
import type { Tap } from "./tap.js";
import { TelemetryLinks } from "./telemetry-links.js";
import { ToldWills, type WillRoom } from "./told-wills.js";

export interface PartitionOptions {
  readonly ownership: Ownership;
  readonly ports: DispatcherPorts;
  readonly ledger: Ledger;
  readonly router: Router;
  readonly tap: Tap;
  readonly limits: QueueLimits;
  readonly willRoom: WillRoom;
  readonly targetOf: (ref: TargetRef) => Target | undefined;
  /** Targets that may have something waiting from an earlier owner. */
  readonly targets: () => Iterable<TargetRef>;
  /** Where events go that no plan wants. */
  readonly unrouted: TargetRef;
  /** Batches and bytes under way beyond which the targets that hold the oldest ones are moved to their overflow. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Told how many events were kept because routing them has failed by a defect. */
  readonly onRoutingError: (events: number) => void;
  /** Told of each routed batch that carries a trace context. */
  readonly onTraced: ((view: BatchView) => void) | undefined;
  /** Why a message that is no command is not given to a device; undefined: it may go. */
  readonly refuseMessage?: ((tenant: string, device: string) => AppError | undefined) | undefined;
  /** Told of devices that come and go. */
  readonly onDevice?: DeviceWatch | undefined;
  /** See `EventLinksOptions`. */
  readonly order?: { readonly settleMs?: number; readonly waitMs?: number } | undefined;
}

const REPLAY_MS = 1_000;
const RELIEF_EVERY_MS = 250;
const RELIEF_AFTER_MS = 1_000;

/** Started when the lease was taken, stopped before it is given up. */
export class Partition {
  readonly wills: ToldWills;
  readonly devices: DeviceDirectory;
  readonly number: number;
  readonly telemetry: LaneQueues;
  readonly events: LaneQueues;
  private readonly view = new BatchView();
  private readonly tracker: EventTracker;
  private readonly links: EventLinks;
  private readonly telemetryLinks: TelemetryLinks;
  private readonly dedupe = new DedupeWindow();
  private readonly telemetryLane: RouteLane;
  private readonly eventLane: RouteLane;
  private readonly releases: Release[] = [];
  private reader: EventReader | undefined;
  private acks: TelemetryAcks | undefined;
  private relief: Timer | undefined;
  private startedAtMs = 0;
  private stopped = false;
  private started = false;
  private readonly stopping = new AbortController();

  constructor(private readonly options: PartitionOptions) {
    const { ports, ledger, limits, targetOf } = options;
    const { partition, epoch } = options.ownership;
    this.number = partition;
    this.wills = new ToldWills(options.willRoom);
    this.devices = new DeviceDirectory(this.wills, () => ports.clock.nowMs(), options.onDevice);
    const way = { partition, epoch };
    this.telemetry = new LaneQueues({ ports, ledger, limits, targetOf, way: { ...way, lane: "telemetry" } });
    this.events = new LaneQueues({ ports, ledger, limits, targetOf, way: { ...way, lane: "event" } });
    const telemetryAccount = ledger.account("route", "telemetry");
    const eventAccount = ledger.account("route", "event");
    this.telemetryLane = {
      event: false,
      queues: this.telemetry,
      account: telemetryAccount,
      unrouted: undefined,
    };
    this.eventLane = { event: true, queues: this.events, account: eventAccount, unrouted: options.unrouted };
    this.telemetryLinks = new TelemetryLinks((lost) => book(telemetryAccount, "lost_in_transit", lost));
    this.tracker = new EventTracker(() => ports.clock.nowMs());
    this.links = new EventLinks({
      clock: ports.clock,
      release: (batch, late) => this.routeEvents(batch, late),
      double: (batch, count) => {
        book(eventAccount, "double", count);
        batch.done();
      },
      missing: (lost) => book(eventAccount, "lost_in_transit", lost),
      ...options.order,
    });
  }

  /** Batches of the event stream that are not acknowledged yet. */
  get pending(): number {
    return this.tracker.size;
  }

  /** Batches that are still in the event stream and were given to their targets: some that are done with wait for the books. */
  get routed(): number {
    const { reader, isTaking } = this;
    if (reader === undefined || !isTaking || !this.options.ownership.held) return 0;
    return reader.pending - this.links.heldBatches;
  }

  /** True: every event is routed that was stored when this was called, or another process has to see to it. @throws AppError `bus.*` */
  async hasRoutedAll(): Promise<boolean> {
    const { reader, isTaking } = this;
    if (!this.options.ownership.held) return true;
    if (reader === undefined || !isTaking) return false;
    return (await reader.hasAll()) && this.links.heldBatches === 0;
  }

  /** Resolves when messages of both lanes are being taken. */
  async start(): Promise<void> {
    const { signal } = this.stopping;
    const { ports, ownership } = this.options;
    const { partition } = ownership;
    this.startedAtMs = ports.clock.nowMs();
    for await (const record of ports.loadDedupe(partition, signal)) this.dedupe.load(record);
    if (this.stopped) return;
    // Opened before the first message, so that what an earlier owner left in an overflow goes first.
    for (const ref of this.options.targets()) this.events.of(ref);
    this.releases.push(
      ports.subscribe(subjects.presence(partition), (data) => this.onPresence(data)),
      ports.serve(subjects.downlink(partition), (data) => this.onDownlink(data)),
    );
    ports.publish(subjects.presenceSync(partition), new Uint8Array(0));
    this.acks = ports.openTelemetryAcks(ownership);
    this.releases.push(
      ports.subscribe(subjects.telemetryBatch(partition), (data) => this.onTelemetry(data), {
        transient: true,
      }),
    );
    this.reader = ports.openEvents(ownership, (delivery) => this.onEvents(delivery));
    await this.reader.start(signal);
    if (this.stopped) return;
    this.started = true;
    this.relief = ports.clock.setInterval(() => this.relieve(), RELIEF_EVERY_MS).unref();
  }

  /** Messages of both lanes are being taken, and requests answered. */
  get isTaking(): boolean {
    return this.started && !this.stopped;
  }

  /** It may still be worked on. */
  get isHeld(): boolean {
    return !this.stopped && this.options.ownership.held;
  }

  /** Takes nothing more; resolves when nothing more is delivered to this partition. */
  async stopTaking(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    this.wills.clear();
    this.stopping.abort(new AppError("operation.aborted", `partition ${this.number} is given up`));
    this.options.ports.clock.clear(this.relief);
    for (const release of this.releases.splice(0)) release();
    await this.acks?.stop();
    await this.reader?.stop();
  }

  /** Everything taken is settled. */
  get idle(): boolean {
    return this.tracker.size === 0 && this.telemetry.idle && this.events.idle;
  }

  /** After a stop: waits for what was taken, and for NATS to have heard what was acknowledged. */
  async settle(deadlineMs: number): Promise<void> {
    const { clock } = this.options.ports;
    const until = clock.nowMs() + deadlineMs;
    while (!this.idle && clock.nowMs() < until) await clock.sleep(10);
    await this.reader?.drain(Math.max(0, until - clock.nowMs()));
  }

  /** Gives up what is not settled; it comes again from the stream. Safe twice. */
  close(): void {
    this.links.close();
    this.tracker.close();
    this.telemetry.close();
    this.events.close();
  }

  /** A listener is gone. */
  forgetListener(listener: string): void {
    this.devices.forget(listener);
  }

  /** Tells the listeners once more that a client is here, and where. */
  claimAgain(tenant: string, deviceId: string): void {
    const location = this.devices.find(tenant, deviceId);
    if (location === undefined || location.protocol === Protocol.HTTP) return;
    const { listener, incarnation, connectionEpoch, protocol, atUs } = location;
    const changes = [
      control.PresenceChange.fromPartial({ tenant, deviceId, online: true, connectionEpoch, protocol, atUs }),
    ];
    const claim = { listener, incarnation, partition: this.number, reset: false, changes };
    const { ports } = this.options;
    ports.publish(subjects.sessionTakeover(this.number), control.PresenceBatch.encode(claim).finish());
  }

  /** Asks a listener that has come which devices it holds: it may only have been thought gone. */
  meetListener(listener: string): void {
    this.options.ports.publish(subjects.presenceSync(this.number), Buffer.from(listener));
  }

  /** Nothing is held for a target, in memory or in the overflow. */
  isFinished(ref: TargetRef): boolean {
    const { telemetry, events } = this;
    return telemetry.peek(ref)?.finished !== false && events.peek(ref)?.finished !== false;
  }

  /** The target is taken out. */
  forgetTarget(ref: TargetRef): void {
    this.telemetry.remove(ref);
    this.events.remove(ref);
  }

  private onTelemetry(data: Uint8Array): void {
    if (this.stopped || !this.options.ownership.held) return;
    const { view } = this;
    const { account } = this.telemetryLane;
    try {
      view.reset(data);
    } catch (err) {
      book(account, "bad_envelope", view.hop.count);
      this.options.ports.log.debug({ err, partition: this.number }, "telemetry batch cannot be read");
      return;
    }
    if (this.telemetryLinks.accept(view.hop)) this.routeTelemetry();
    else book(account, "double", view.hop.count);
    // Whatever became of it: the sender may send more.
    this.acks?.consumed(view);
  }

  private routeTelemetry(): void {
    const { view } = this;
    const { count } = view.hop;
    try {
      this.options.router.route(view, this.telemetryLane, undefined, false, undefined);
    } catch (err) {
      const bad = isBadEnvelope(err);
      book(this.telemetryLane.account, bad ? "bad_envelope" : "routing_error", count);
      this.options.ports.log[bad ? "debug" : "error"](
        { err, partition: this.number },
        "telemetry batch could not be routed",
      );
      return;
    }
    this.show(false);
  }

  /** Copies the view's batch for who looks on, and for traces; a defect there is not the message's. */
  private show(redelivered: boolean): void {
    const { tap, ports } = this.options;
    try {
      if (tap.active && !redelivered) tap.copy(this.view, this.number);
      this.trace(this.view);
    } catch (err) {
      ports.log.error({ err, partition: this.number }, "a routed batch could not be shown or traced");
    }
  }

  private onEvents(delivery: SourceDelivery): void {
    if (this.stopped || !this.options.ownership.held) return;
    const batch = this.tracker.begin(delivery);
    if (batch === undefined) return;
    try {
      this.view.reset(delivery.data);
    } catch (err) {
      this.drop(batch, err, 1);
      return;
    }
    this.links.accept(this.view, batch);
  }

  private routeEvents(batch: TrackedBatch, late: boolean): void {
    const { router, ports, ownership } = this.options;
    if (!ownership.held) return;
    const { delivery } = batch;
    const { view, dedupe } = this;
    try {
      view.reset(delivery.data);
      dedupe.begin(delivery.streamSequence);
      router.route(view, this.eventLane, batch, delivery.redelivered || late, dedupe);
    } catch (err) {
      if (isBadEnvelope(err)) this.drop(batch, err, view.hop.count);
      else this.keepUnrouted(batch, err);
      return;
    }
    this.show(delivery.redelivered);
    const record = dedupe.commit();
    if (record !== undefined) {
      batch.claim();
      void this.storeDedupe(batch, record, `${ports.partitions}.${this.number}.${delivery.streamSequence}`);
    }
    batch.done();
  }

  /** Tried until it is stored: the batch stays unacknowledged meanwhile. */
  private async storeDedupe(batch: TrackedBatch, record: Uint8Array, id: string): Promise<void> {
    const { ports } = this.options;
    for (let waitMs = 50; !this.stopped; waitMs = Math.min(5_000, waitMs * 2)) {
      try {
        await ports.storeDedupe(this.number, record, id);
        batch.done();
        return;
      } catch (err) {
        ports.log.debug({ err, partition: this.number }, "ids cannot be stored, will retry");
        await ports.clock.sleep(waitMs);
      }
    }
  }

  /** A batch that no reader can read would come again for ever; its sender is broken, so it is counted and let go. */
  private drop(batch: TrackedBatch, err: unknown, count: number): void {
    book(this.eventLane.account, "bad_envelope", Math.max(1, count));
    this.options.ports.log.error(
      { err, partition: this.number },
      "event batch cannot be read and is dropped",
    );
    batch.done();
  }

  /** Routing has failed by a defect, before anything of the batch was given to a target: its events are kept for an operator. */
  private keepUnrouted(batch: TrackedBatch, err: unknown): void {
    const { options, view, events } = this;
    const { account } = this.eventLane;
    const { count } = view.hop;
    options.ports.log.error(
      { err, partition: this.number, events: count },
      "event batch could not be routed and is kept with the unrouted",
    );
    options.onRoutingError(count);
    account.received += count;
    account.stored += count;
    events.add(options.unrouted, view.envelopesStart, view.bytes.length, count);
    events.flush(view, batch.delivery.redelivered, batch.delivery.streamSequence, batch);
    batch.done();
  }

  private trace(view: BatchView): void {
    if ((view.hop.flags & BATCH_FLAGS.traced) !== 0) this.options.onTraced?.(view);
  }

  private onPresence(data: Uint8Array): void {
    this.devices.apply(control.PresenceBatch.decode(data));
  }

  private async onDownlink(data: Uint8Array): Promise<Uint8Array> {
    const request = control.DownlinkRequest.decode(data);
    // On the topics of the platform only the platform itself sends.
    const refusal = isPlatformTopic(request.path)
      ? undefined
      : this.options.refuseMessage?.(request.tenant, request.deviceId);
    return refusal === undefined ? this.downlink(request) : refusedDownlink(refusal);
  }

  /** An encoded `DownlinkResult`. Never rejects: what went wrong is in the result. */
  async downlink(request: control.DownlinkRequest): Promise<Uint8Array> {
    const { ports } = this.options;
    return answerDownlink(request, {
      devices: this.devices,
      ports,
      // Right after a change of owner the directory is still being filled.
      patienceMs: Math.max(0, this.startedAtMs + REPLAY_MS - ports.clock.nowMs()),
    });
  }

  /** The partition runs short of room: whoever holds the oldest batch for too long goes on another way, see `WhenLagging`. */
  private relieve(): void {
    const { maxPending, maxPendingBytes, ports } = this.options;
    const { oldest } = this.tracker;
    if (this.stopped || oldest === undefined) return;
    if (this.tracker.size < maxPending && this.tracker.bytes < maxPendingBytes) return;
    if (ports.clock.nowMs() - oldest.sinceMs < RELIEF_AFTER_MS) return;
    const { streamSequence } = oldest.delivery;
    for (const [, queue] of this.events.entries()) if (queue.oldestSource === streamSequence) queue.relieve();
  }
}

function isBadEnvelope(err: unknown): boolean {
  return AppError.is(err) && err.code === "contract.bad_envelope";
}

function book(account: Account, reason: DropReason, count: number): void {
  account.received += count;
  account.drop(reason, count);
}
