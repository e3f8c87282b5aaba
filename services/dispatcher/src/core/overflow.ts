/** The events of a lagging target, kept in a stream until it takes work again; in order, and behind them what comes meanwhile. */
import { BATCH_FLAGS, BatchView, type HopHeader } from "@myelin/contract";
import { type Backoff, backoff, type Clock, type Timer } from "@myelin/kernel";
import { Deque } from "./deque.js";
import { EventTracker, type SourceDelivery } from "./event-tracker.js";
import type { Account } from "./ledger.js";
import { type Share, type ShareSource, stampShare } from "./share.js";

/** The part of the stream that belongs to one target and partition. */
export interface OverflowPort {
  /** Resolves with the stream sequence once stored. Rejects when it is not, or not known to be. */
  store(data: Uint8Array, messageId: string): Promise<number>;
  /** Sequence of the newest batch that is still there; 0 when there is none. */
  lastSequence(): Promise<number>;
  /** Delivers what is there, oldest first, starting with what was not acknowledged; bounded in what is under way. */
  consume(handler: (delivery: SourceDelivery) => void): OverflowReader;
}

/** A running consumer of the overflow. */
export interface OverflowReader {
  /** Resolves when nothing more is delivered. */
  stop(): Promise<void>;
}

/** The queue whose target the overflow is for. */
export interface OverflowFeed {
  /** The target may be there and nothing waits before the overflow. */
  readonly open: boolean;
  /** Shares on the way. */
  readonly flyingCount: number;
  /** Puts a share that came out of the overflow on its way; false: not now. */
  sendStored(share: Share): boolean;
  overflowLoaded(): void;
  queued(account: Account): number;
}

export interface OverflowOptions {
  readonly port: OverflowPort;
  readonly feed: OverflowFeed;
  readonly clock: Clock;
  readonly header: HopHeader;
  /** Prefix of message ids: the stream removes what is stored twice after a change of owner. */
  readonly idPrefix: string;
  readonly epoch: number;
  /** Where shares are booked that are moved here, and where those that come out again. */
  readonly account: Account;
  readonly drained: Account;
  readonly onError: (error: unknown) => void;
}

/** One target's overflow in one partition, as its owner sees it. Only for the event lane. */
export class OverflowQueue {
  /** False: nothing is stored, the direct way may be used. */
  active = false;
  /** True until it is known whether an earlier owner left something. */
  loading = true;
  private readonly pending = new Deque<Share>();
  private storingNow = false;
  private lastStored = 0;
  private lastSettled = 0;
  private readonly arrived = new Deque<Share>();
  private readonly skip = new Set<number>();
  private readonly view = new BatchView();
  private readonly tracker: EventTracker;
  private reader: OverflowReader | undefined;
  private stopping = false;
  private closed = false;
  private draining = false;
  private retryTimer: Timer | undefined;
  private readonly waits: Backoff = backoff({ initialMs: 50, maxMs: 5_000 });
  private readonly unhold: (() => void)[];

  constructor(private readonly options: OverflowOptions) {
    const { account, drained, feed, clock } = options;
    this.tracker = new EventTracker(clock);
    this.unhold = [
      account.hold(() => sum(this.pending)),
      drained.hold(() => sum(this.arrived) + feed.queued(drained)),
    ];
    this.load();
  }

  /** Shares that are not in the stream yet. */
  get storing(): boolean {
    return this.pending.length > 0;
  }

  /** From now on events take the way through the stream. */
  begin(): void {
    this.active = true;
  }

  /** Stores a share behind all others; its source is told when it is there. */
  put(share: Share): void {
    this.pending.push(share);
    if (!this.storingNow) void this.storeAll();
  }

  /** A share that was put here while it was on the way has arrived after all: the stored copy is not sent. */
  delivered(sourceSequence: number): void {
    this.skip.add(sourceSequence);
  }

  /** Sends what is stored as far as the target takes it. Called whenever something may have changed. */
  drain(): void {
    if (!this.active || this.closed || this.draining || this.stopping) return;
    this.draining = true;
    if (this.reader === undefined) this.openReader();
    while (this.options.feed.open) {
      const share = this.arrived.peek();
      if (share === undefined) break;
      if (this.skip.delete(share.sourceSequence)) {
        this.arrived.shift();
        this.options.drained.forwarded += share.count;
        share.source?.done();
      } else if (this.options.feed.sendStored(share)) this.arrived.shift();
      else break;
    }
    this.draining = false;
    this.finishIfEmpty();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.options.clock.clear(this.retryTimer);
    // What is not stored comes again from the event stream, what is stored but not settled from the overflow.
    this.options.account.drop("requeued", sum(this.pending));
    this.options.drained.drop("requeued", sum(this.arrived) + this.options.feed.queued(this.options.drained));
    this.pending.clear();
    this.arrived.clear();
    this.tracker.close();
    for (const release of this.unhold) release();
    this.reader?.stop().catch(this.options.onError);
    this.reader = undefined;
  }

  private load(): void {
    this.options.port.lastSequence().then(
      (last) => {
        if (this.closed) return;
        this.loading = false;
        this.waits.reset();
        this.lastStored = last;
        this.active = last > 0;
        this.options.feed.overflowLoaded();
      },
      (error) => {
        this.options.onError(error);
        if (!this.closed)
          this.retryTimer = this.options.clock.setTimeout(() => this.load(), this.waits.nextMs());
      },
    );
  }

  private async storeAll(): Promise<void> {
    this.storingNow = true;
    const { port, clock, account, header, epoch, idPrefix, onError } = this.options;
    while (!this.closed) {
      const share = this.pending.peek();
      if (share === undefined) break;
      const counters = {
        sequence: share.sourceSequence,
        firstOrdinal: 0,
        count: share.count,
        flags: share.flags,
        epoch,
      };
      const again = (share.flags & BATCH_FLAGS.redelivered) !== 0;
      const data = stampShare(share, header, counters, again);
      try {
        const sequence = await port.store(data, `${idPrefix}.${share.sourceSequence}`);
        if (this.closed) break;
        this.waits.reset();
        this.pending.shift();
        if (sequence > this.lastStored) this.lastStored = sequence;
        account.stored += share.count;
        share.source?.done();
        this.drain();
      } catch (error) {
        onError(error);
        // The order of events is more than their speed: nothing behind it is stored before it.
        await new Promise<void>((resolve) => {
          this.retryTimer = clock.setTimeout(resolve, this.waits.nextMs());
        });
      }
    }
    this.storingNow = false;
  }

  private openReader(): void {
    // What went the direct way must be settled first, so that it is known which stored copies are not needed.
    if (!this.options.feed.open || this.options.feed.flyingCount > 0 || this.lastStored <= this.lastSettled)
      return;
    this.reader = this.options.port.consume((delivery) => this.onDelivery(delivery));
  }

  private onDelivery(delivery: SourceDelivery): void {
    if (this.closed) return;
    const tracked = this.tracker.begin(delivery);
    if (tracked === undefined) return;
    const { drained } = this.options;
    const view = this.view.reset(delivery.data);
    const source: ShareSource = {
      done: () => {
        this.lastSettled = Math.max(this.lastSettled, delivery.streamSequence);
        tracked.done();
      },
    };
    const { hop } = view;
    drained.received += hop.count;
    const share: Share = {
      data: delivery.data,
      header: undefined,
      hopStart: view.originEnd - view.originStart,
      recordsStart: view.envelopesStart,
      count: hop.count,
      flags: hop.flags | (delivery.redelivered ? BATCH_FLAGS.redelivered : 0),
      sourceSequence: hop.sequence,
      account: drained,
      source,
      shadowed: false,
    };
    this.arrived.push(share);
    this.drain();
  }

  private finishIfEmpty(): void {
    const { feed } = this.options;
    const empty =
      this.lastSettled >= this.lastStored &&
      !this.storing &&
      this.arrived.length === 0 &&
      feed.flyingCount === 0;
    if (!empty || this.closed || !this.active) return;
    const reader = this.reader;
    this.reader = undefined;
    this.skip.clear();
    this.active = false;
    if (reader === undefined) return;
    this.stopping = true;
    reader
      .stop()
      .catch(this.options.onError)
      .finally(() => {
        this.stopping = false;
        this.drain();
      });
  }
}

function sum(shares: Iterable<Share>): number {
  let count = 0;
  for (const share of shares) count += share.count;
  return count;
}
