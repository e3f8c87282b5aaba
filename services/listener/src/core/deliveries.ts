/** Batches from the dispatchers to the subscribers of this listener; those of events wait while a subscriber presses. */
import { type Bus, createLinkReader, type Unsubscribe } from "@myelin/bus";
import { BatchView, control, envelope, Lane, subjects, tryParseGroupLinkName } from "@myelin/contract";
import { type Clock, type Component, Ring, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { LedgerBook } from "./ledger.js";
import { ParkedGroups } from "./parked-groups.js";
import { RecentIds } from "./recent-ids.js";
import type { SharedGroup } from "./shared-groups.js";
import type { Match, SubscriptionTable } from "./subscription-table.js";
import type { SubscriberExtras, SubscriberMessage } from "./subscriptions.js";

const MAX_PRODUCERS = 256;
const MAX_LINKS = 131_072;
const MAX_CHANNELS_PER_PRODUCER = 100_000;
/** More than the owners of a box can have on the way to one listener when one of them dies, in messages of a hundred bytes. */
const REMEMBERED_IDS = 131_072;
/** Between looks at the patience of those that press. */
const LOOK_EVERY_MS = 50;

/** Head and match of one channel. */
interface CachedMatch {
  readonly path: string;
  readonly contentType: string;
  readonly tenant: string;
  readonly deviceId: string;
  /** Asked for when it is first needed: what comes for a group needs none. */
  match: Match | undefined;
}

/** The message on its way; one object for all of them. */
class CurrentMessage implements SubscriberMessage {
  path = "";
  contentType = "";
  tenant = "";
  deviceId = "";
  qos = 0;
  retain = false;
  bytes: Buffer = Buffer.alloc(0);
  payloadStart = 0;
  payloadEnd = 0;
  private double: boolean | undefined;
  private decoded: SubscriberExtras | undefined;
  private isDecoded = false;

  constructor(
    private readonly view: BatchView,
    private readonly recent: RecentIds,
  ) {}

  take(cached: CachedMatch): void {
    const { view } = this;
    this.path = cached.path;
    this.contentType = cached.contentType;
    this.tenant = cached.tenant;
    this.deviceId = cached.deviceId;
    this.bytes = view.bytes;
    this.payloadStart = view.payloadStart;
    this.payloadEnd = view.payloadEnd;
    const event = view.lane === Lane.EVENT;
    // Without anything behind the payload there is neither QoS 2 nor RETAIN to look for.
    const plain = this.payloadEnd === view.recordEnd;
    this.qos = event ? (plain ? 1 : Math.max(1, view.qos)) : 0;
    this.retain = !plain && view.retain;
    this.decoded = undefined;
    this.isDecoded = plain;
    this.double = undefined;
  }

  /** Remembers the id: asked once at least for each message of QoS 2 that is given to a subscriber of that QoS. */
  get isDouble(): boolean {
    this.double ??= !this.recent.add(this.view.id());
    return this.double;
  }

  get ingestTimeUs(): number {
    return this.view.ingestTimeUs;
  }

  extras(): SubscriberExtras | undefined {
    if (!this.isDecoded) {
      this.decoded = extrasIn(this.view);
      this.isDecoded = true;
    }
    return this.decoded;
  }
}

/** Undefined when the envelope has none of it: QoS 2 and RETAIN stand behind the payload too. */
function extrasIn(view: BatchView): SubscriberExtras | undefined {
  const { expiresAtUs, responsePath, payloadIsText: isText } = view;
  const correlation = view.correlation();
  const hasHeaders = view.hasHeaders;
  if (expiresAtUs === 0 && responsePath === "" && !isText && correlation.length === 0 && !hasHeaders) {
    return undefined;
  }
  const headers = hasHeaders ? envelope.Envelope.decode(view.envelopeBytes()).headers : NO_HEADERS;
  return { expiresAtUs, headers, responsePath, correlation: Buffer.from(correlation), isText };
}

const NO_HEADERS: SubscriberExtras["headers"] = [];

export interface DeliveriesOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly table: SubscriptionTable;
  /** Hop `deliver`, telemetry and event. */
  readonly books: { readonly telemetry: LedgerBook; readonly event: LedgerBook };
}

/** One batch on its way to subscribers. */
interface Batch {
  readonly view: BatchView;
  readonly message: CurrentMessage;
  readonly book: LedgerBook;
  channels: Map<number, CachedMatch>;
  group: SharedGroup | undefined;
}

/** A batch of events that came while another one was not done with. The dispatchers' windows bound them. */
interface Held {
  readonly data: Uint8Array;
  readonly group: SharedGroup | undefined;
}

export class Deliveries implements Component {
  readonly name = "deliveries";
  /** Batches that could not be read; and those that came twice, or from an owner that is none any more. */
  readonly refusedBatches = { malformed: 0, notAccepted: 0 };
  private readonly telemetry: Batch;
  private events: Batch;
  /** `events` is not done with: it waits for a subscriber, in the middle. */
  private isWaiting = false;
  private isGivingOut = false;
  private held = new Ring<Held>();
  private readonly parked: ParkedGroups<Batch>;
  private readonly recent = new RecentIds(REMEMBERED_IDS);
  private readonly producers = new Map<string, Map<number, CachedMatch>>();
  // One per group, partition and lane beside those of the listener itself.
  private readonly links = createLinkReader({ maxLinks: MAX_LINKS });
  private end: Unsubscribe | undefined;
  private looking: Timer | undefined;

  constructor(private readonly options: DeliveriesOptions) {
    this.telemetry = this.createBatch(options.books.telemetry);
    this.events = this.createBatch(options.books.event);
    this.parked = new ParkedGroups({
      clock: options.clock,
      begin: (batch, data, group) => this.begin(batch, { data, group }),
      finish: (batch) => this.finish(batch),
    });
  }

  async start(): Promise<void> {
    const { bus, table } = this.options;
    table.pressure.attach((isOn) => (isOn ? this.lookLater() : queueMicrotask(() => this.goOn())));
    table.watchGroups((group) => this.passOn(group));
    this.end = bus.subscribe(subjects.listenerDeliver(bus.instance), (data) => this.onBatch(data));
  }

  /** What is held was not acknowledged: the dispatchers see that this listener has gone. */
  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
    this.options.clock.clear(this.looking);
    this.isWaiting = false;
    this.held = new Ring();
    this.parked.close();
  }

  private onBatch(data: Uint8Array): void {
    const { view } = this.telemetry;
    try {
      view.reset(data);
    } catch (err) {
      this.refused(err);
      return;
    }
    const key = tryParseGroupLinkName(view.hop.target);
    const group = key === undefined ? undefined : this.options.table.group(key);
    // The last member has gone, which the dispatcher hears before it misses our acknowledgement: it gives the batch to another listener.
    if (key !== undefined && group === undefined) return;
    const isEvent = view.lane === Lane.EVENT;
    const { book } = isEvent ? this.events : this.telemetry;
    const lostBefore = this.links.lostInTransit;
    const accepted = this.links.accept(view);
    const lost = this.links.lostInTransit - lostBefore;
    if (lost > 0) {
      book.received += lost;
      book.drop("lost_in_transit", lost);
    }
    if (accepted && isEvent) {
      this.held.push({ data, group });
      this.goOn();
      return;
    }
    if (accepted) {
      this.begin(this.telemetry, { data, group });
      this.deliverAll(this.telemetry);
    } else this.refusedBatches.notAccepted += 1;
    // Doubles are acknowledged too: their sender has not heard of the first acknowledgement. Where it may still be to come, it does.
    const mayCome = this.isWaiting || this.held.length > 0 || (group !== undefined && this.parked.has(group));
    if (!isEvent || !mayCome) this.acknowledge(view);
  }

  /** Goes on with the events, until somebody presses. */
  private goOn(): void {
    const { pressure } = this.options.table;
    if (this.end === undefined || this.isGivingOut) return;
    this.isGivingOut = true;
    while (!pressure.isOn) {
      if (!this.isWaiting) {
        const next = this.held.shift();
        if (next === undefined) break;
        if (next.group !== undefined && this.parked.take(next.group, next.data)) continue;
        this.begin(this.events, next);
      }
      const { events } = this;
      this.isWaiting = !this.finish(events);
      if (this.isWaiting && isStuck(events.group)) {
        this.parked.park(events.group, events, events.view.bytes.length);
        this.events = this.createBatch(this.options.books.event);
        this.isWaiting = false;
      }
    }
    this.isGivingOut = false;
  }

  /**
   * The last member has left a group: what is held for it goes to another listener and is acknowledged before the dispatchers hear that the
   * group has gone from here, so that they do not give it to somebody once more.
   */
  private passOn(group: SharedGroup): void {
    this.parked.passOn(group);
    if (this.isWaiting && !this.isGivingOut && this.events.group === group) {
      this.finish(this.events);
      this.isWaiting = false;
    }
    const rest = new Ring<Held>();
    for (let next = this.held.shift(); next !== undefined; next = this.held.shift()) {
      if (next.group !== group) {
        rest.push(next);
        continue;
      }
      const batch = this.createBatch(this.options.books.event);
      this.begin(batch, next);
      this.finish(batch);
    }
    this.held = rest;
  }

  /** Goes on with events; true: they are done with, which their dispatcher is told. */
  private finish(batch: Batch): boolean {
    const isDone = this.deliverAll(batch);
    if (isDone) this.acknowledge(batch.view);
    return isDone;
  }

  private createBatch(book: LedgerBook): Batch {
    const view = new BatchView();
    return {
      ...{ view, book, channels: new Map(), group: undefined },
      message: new CurrentMessage(view, this.recent),
    };
  }

  private begin(batch: Batch, { data, group }: Held): void {
    batch.view.reset(data);
    const { producer, producerIncarnation } = batch.view;
    batch.channels = this.channelsOf(`${producer}\0${producerIncarnation}`);
    batch.group = group;
  }

  private lookLater(): void {
    const { clock, table } = this.options;
    this.looking ??= clock
      .setTimeout(() => {
        this.looking = undefined;
        table.pressure.look(clock.nowMs());
        if (table.pressure.isOn) this.lookLater();
      }, LOOK_EVERY_MS)
      .unref();
  }

  private refused(err: unknown): void {
    this.refusedBatches.malformed += 1;
    this.options.log.warn({ err }, "a batch for subscribers cannot be read, the rest of it is left out");
  }

  /**
   * False: somebody presses, or nobody of the group has room, and the rest of these events is for later. What nobody here wants any more is not
   * kept for later.
   */
  private deliverAll(batch: Batch): boolean {
    const { view, group } = batch;
    const { pressure } = this.options.table;
    const mayWait = batch !== this.telemetry;
    try {
      while (!mayWait || !(pressure.isOn || isStuck(group)) || group?.size === 0) {
        if (!view.next()) return true;
        if (group === undefined) this.deliverOne(batch);
        else this.deliverToGroup(batch, group);
      }
    } catch (err) {
      this.refused(err);
      return true;
    }
    return false;
  }

  private deliverOne(batch: Batch): void {
    const { view, message, channels, book } = batch;
    book.received += 1;
    const cached = headOf(view, channels);
    let { match } = cached;
    if (match === undefined || match.isStale) {
      match = this.options.table.match(cached.tenant, cached.path);
      cached.match = match;
    }
    const { targets } = match;
    if (targets.length === 0) {
      book.drop("no_subscriber");
      return;
    }
    message.take(cached);
    let delivered = false;
    for (const { subscriber, tags } of targets) delivered = subscriber.deliver(message, tags) || delivered;
    if (delivered) book.forwarded += 1;
    else book.drop("not_taken");
    if (view.channel === 0) channels.delete(0);
  }

  private deliverToGroup({ view, message, channels, book }: Batch, group: SharedGroup): void {
    book.received += 1;
    message.take(headOf(view, channels));
    if (group.deliver(message)) book.forwarded += 1;
    else book.drop("not_taken");
    if (view.channel === 0) channels.delete(0);
  }

  private channelsOf(producer: string): Map<number, CachedMatch> {
    let channels = this.producers.get(producer);
    if (channels === undefined) {
      channels = new Map();
      if (this.producers.size >= MAX_PRODUCERS) this.producers.delete(this.producers.keys().next().value!);
      this.producers.set(producer, channels);
    }
    return channels;
  }

  /** What the owner has on the way to us is done with: the sockets are bounded for themselves. */
  private acknowledge({ hop }: BatchView): void {
    const ack = control.LinkAck.encode({
      target: hop.target,
      targetInstance: hop.targetInstance,
      partition: hop.partition,
      lane: hop.lane,
      epoch: hop.epoch,
      sequence: hop.sequence,
      ordinal: hop.firstOrdinal + hop.count,
      incarnation: hop.incarnation,
    });
    this.options.bus.publish(subjects.linkAck(hop.sender), ack.finish());
  }
}

function isStuck(group: SharedGroup | undefined): group is SharedGroup {
  return group?.isStuck === true;
}

function headOf(view: BatchView, channels: Map<number, CachedMatch>): CachedMatch {
  const known = channels.get(view.channel);
  if (known !== undefined) return known;
  const { tenant, deviceId, path, contentType } = view.head();
  const cached: CachedMatch = { path, contentType, tenant, deviceId, match: undefined };
  if (channels.size >= MAX_CHANNELS_PER_PRODUCER) channels.clear();
  channels.set(view.channel, cached);
  return cached;
}
