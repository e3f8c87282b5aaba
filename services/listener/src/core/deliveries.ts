/** Batches from the dispatchers to the subscribers of this listener. */
import { type Bus, createLinkReader, type Unsubscribe } from "@myelin/bus";
import { BatchView, control, envelope, Lane, subjects, tryParseGroupLinkName } from "@myelin/contract";
import type { Clock, Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { LedgerBook } from "./ledger.js";
import { RecentIds } from "./recent-ids.js";
import type { SharedGroup } from "./shared-groups.js";
import type { Match, SubscriptionTable } from "./subscription-table.js";
import type { SubscriberExtras, SubscriberMessage, Target } from "./subscriptions.js";

const MAX_PRODUCERS = 256;
const MAX_LINKS = 131_072;
const MAX_CHANNELS_PER_PRODUCER = 100_000;
/** More than the owners of a box can have on the way to one listener when one of them dies, in messages of a hundred bytes. */
const REMEMBERED_IDS = 131_072;

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
  private readonly recent = new RecentIds(REMEMBERED_IDS);
  private double: boolean | undefined;
  private decoded: SubscriberExtras | undefined;
  private isDecoded = false;

  constructor(private readonly view: BatchView) {}

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

export class Deliveries implements Component {
  readonly name = "deliveries";
  /** Batches that could not be read; and those that came twice, or from an owner that is none any more. */
  readonly refusedBatches = { malformed: 0, notAccepted: 0 };
  private readonly view = new BatchView();
  private readonly message = new CurrentMessage(this.view);
  private readonly producers = new Map<string, Map<number, CachedMatch>>();
  // One per group, partition and lane beside those of the listener itself.
  private readonly links = createLinkReader({ maxLinks: MAX_LINKS });
  private end: Unsubscribe | undefined;

  constructor(private readonly options: DeliveriesOptions) {}

  async start(): Promise<void> {
    const { bus } = this.options;
    this.end = bus.subscribe(subjects.listenerDeliver(bus.instance), (data) => this.onBatch(data));
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }

  private onBatch(data: Uint8Array): void {
    const { view } = this;
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
    const { books } = this.options;
    const book = view.lane === Lane.EVENT ? books.event : books.telemetry;
    const lostBefore = this.links.lostInTransit;
    const accepted = this.links.accept(view);
    const lost = this.links.lostInTransit - lostBefore;
    if (lost > 0) {
      book.received += lost;
      book.drop("lost_in_transit", lost);
    }
    if (accepted) this.deliverAll(book, group);
    else this.refusedBatches.notAccepted += 1;
    // Doubles are acknowledged too: their sender has not heard of the first acknowledgement.
    this.acknowledge();
  }

  private deliverAll(book: LedgerBook, group: SharedGroup | undefined): void {
    const { view } = this;
    const channels = this.channelsOf(`${view.producer}\0${view.producerIncarnation}`);
    try {
      if (group === undefined) while (view.next()) this.deliverOne(channels, book);
      else while (view.next()) this.deliverToGroup(channels, book, group);
    } catch (err) {
      this.refused(err);
    }
  }

  private refused(err: unknown): void {
    this.refusedBatches.malformed += 1;
    this.options.log.warn({ err }, "a batch for subscribers cannot be read, the rest of it is left out");
  }

  private deliverOne(channels: Map<number, CachedMatch>, book: LedgerBook): void {
    const { view, message } = this;
    book.received += 1;
    const cached = this.headOf(channels);
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
    for (const target of targets) delivered = this.give(target) || delivered;
    if (delivered) book.forwarded += 1;
    else book.drop("not_taken");
    if (view.channel === 0) channels.delete(0);
  }

  private give(target: Target): boolean {
    return target.subscriber.deliver(this.message, target.tags);
  }

  private deliverToGroup(channels: Map<number, CachedMatch>, book: LedgerBook, group: SharedGroup): void {
    const { view, message } = this;
    book.received += 1;
    message.take(this.headOf(channels));
    if (group.deliver(message)) book.forwarded += 1;
    else book.drop("not_taken");
    if (view.channel === 0) channels.delete(0);
  }

  private headOf(channels: Map<number, CachedMatch>): CachedMatch {
    const { view } = this;
    const known = channels.get(view.channel);
    if (known !== undefined) return known;
    const { tenant, deviceId, path, contentType } = view.head();
    const cached: CachedMatch = { path, contentType, tenant, deviceId, match: undefined };
    if (channels.size >= MAX_CHANNELS_PER_PRODUCER) channels.clear();
    channels.set(view.channel, cached);
    return cached;
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
  private acknowledge(): void {
    const { hop } = this.view;
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
