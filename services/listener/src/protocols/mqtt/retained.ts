/** Retained messages for a client that has subscribed. */
import type { Timer } from "@myelin/kernel";
import type { RetainedFetch } from "../../core/retained.js";
import type { KeptMessage } from "../../core/session-home.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";
import { REASON } from "./codec/reason-codes.table.js";
import type { SubscribeItem } from "./codec/subscribe.js";
import { parseFilter } from "./codec/topics.js";
import { deliverKept, deliverRetained } from "./delivery.js";
import { isAboutBroker } from "./keeping.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { STATE } from "./state.js";
import { tagQos, withRetain } from "./tags.js";

/** Topics of which something came live meanwhile that a feed remembers; of what is beyond, an older state may come behind a newer one. */
const MAX_LIVE = 10_000;
/** Messages that are held back, their payload bytes, and how long. */
const MAX_HELD = 1_000;
const MAX_HELD_BYTES = 256 * 1024;
const HOLD_MS = 1_000;
/** Part of the write buffer that retained messages leave to the others. */
const ROOM = 0.5;

/** Starts it for a granted filter, as its retain handling says; `isNew`: the client did not hold it before. */
export function fetchRetained(c: MqttConnection, item: SubscribeItem, tag: number, isNew: boolean): void {
  const { filter, retainHandling } = item;
  if (isAboutBroker(filter)) c.shared.ctx.retained.sysWanted(c.identity.tenant);
  if (retainHandling === 2 || (retainHandling === 1 && !isNew)) return;
  // Shared subscriptions get none (MQTT 5, 4.8.2).
  if (parseFilter(filter)?.filter !== filter) return;
  const { feeds } = c.shared;
  let feed = feeds.get(c);
  if (feed === undefined) {
    feed = new RetainedFeed(c);
    feeds.set(c, feed);
  }
  feed.begin(filter, tag);
}

interface Held {
  readonly message: SubscriberMessage;
  readonly tags: readonly number[];
  /** Set for what the home of a session has sent. */
  readonly kept: KeptMessage | undefined;
}

/**
 * What one connection is about to get; only while it is. What comes live meanwhile is held back until everything that was kept has been sent,
 * so that the client never sees an older state behind a newer one: for a second at most, and within bounds. Beyond those it is sent at once, and
 * what is kept follows, without the topics that something retained came for.
 */
export class RetainedFeed {
  private readonly fetches = new Map<string, RetainedFetch>();
  private readonly live = new Set<string>();
  private held: Held[] = [];
  private heldBytes = 0;
  private isHolding = true;
  private isResuming = false;
  private timer: Timer | undefined;
  private readonly sinceUs: number;

  constructor(private readonly c: MqttConnection) {
    this.sinceUs = c.shared.ctx.clock.wallUs();
  }

  /** Begins anew where the filter is subscribed again. */
  begin(filter: string, tag: number): void {
    const { c } = this;
    const { retained, subscriptions } = c.shared.ctx;
    const fetch = retained.fetch(c.identity.tenant, filter, {
      isOpen: () =>
        c.state === STATE.ready &&
        this.fetches.get(filter) === fetch &&
        (c.session?.filters?.has(filter) ?? subscriptions.holds(c, filter)),
      hasRoom: () => this.hasRoom(tag),
      take: (message) => {
        if (!this.live.has(message.path)) deliverRetained(c, message, tag);
      },
      done: () => {
        if (this.fetches.get(filter) === fetch) this.finished(filter);
      },
    });
    this.fetches.set(filter, fetch);
  }

  /** The client holds a filter no longer. */
  finished(filter: string): void {
    this.fetches.delete(filter);
    if (this.fetches.size > 0) return;
    this.close();
    this.release();
  }

  /** Nothing more is to be sent; what is held is given up with the connection. */
  close(): void {
    const { feeds, ctx } = this.c.shared;
    ctx.clock.clear(this.timer);
    if (feeds.get(this.c) === this) feeds.delete(this.c);
  }

  /** The client has acknowledged something, or read: when all of what it sent just now was looked at, it gets more. */
  resume(): void {
    if (this.isResuming) return;
    this.isResuming = true;
    queueMicrotask(() => this.goOn());
  }

  private goOn(): void {
    this.isResuming = false;
    for (const fetch of [...this.fetches.values()]) fetch.resume();
  }

  /** True: the message is held, and sent later. */
  holds(message: SubscriberMessage, tags: readonly number[], kept: KeptMessage | undefined): boolean {
    if (message.retain && this.live.size < MAX_LIVE) this.live.add(message.path);
    if (!this.isHolding) return false;
    const bytes = message.payloadEnd - message.payloadStart;
    if (this.held.length >= MAX_HELD || this.heldBytes + bytes > MAX_HELD_BYTES) {
      this.release();
      return false;
    }
    const own = ownCopy(message);
    // A retained message that was published before the client subscribed is what is kept of its topic, and sent as such.
    const isRetainedItself = message.retain && (message.ingestTimeUs ?? this.sinceUs) < this.sinceUs;
    const how = isRetainedItself ? tags.map(withRetain) : [...tags];
    this.held.push({ message: own, tags: how, kept: kept && { ...kept, tags: how, message: own } });
    this.heldBytes += bytes;
    this.timer ??= this.c.shared.ctx.clock.setTimeout(() => this.release(), HOLD_MS);
    return true;
  }

  private release(): void {
    this.isHolding = false;
    for (const { message, tags, kept } of this.held.splice(0)) {
      if (kept === undefined) this.c.deliver(message, tags);
      else if (!deliverKept(this.c, kept) && kept.packetId > 0) {
        this.c.session?.kept?.progress(kept.packetId, "acknowledged", REASON.unspecified);
      }
    }
    this.heldBytes = 0;
  }

  /** They are taken as fast as the client reads and acknowledges: none of them is dropped or queued. */
  private hasRoom(tag: number): boolean {
    const { c } = this;
    const { session } = c;
    if (tagQos(tag) > 0 && session !== undefined && (session.windowFull || session.isWaiting)) return false;
    const limit = c.scope.limits.maxWriteBufferBytes * ROOM;
    if (c.waiting <= limit) return true;
    c.flush();
    return c.waiting <= limit;
  }
}

function ownCopy(message: SubscriberMessage): SubscriberMessage {
  const { path, contentType, qos, retain, tenant, deviceId } = message;
  const bytes = Buffer.from(message.bytes.subarray(message.payloadStart, message.payloadEnd));
  const extras = message.extras();
  return {
    ...{ path, contentType, qos, retain, tenant, deviceId, bytes },
    ...{ payloadStart: 0, payloadEnd: bytes.length, extras: () => extras },
  };
}
