/** The events of a lagging target, kept in a stream until it takes work again; in order, and behind them what comes meanwhile. */
import { BATCH_FLAGS, BatchView, HopHeader, type LinkIdentity } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import { Deque } from "./deque.js";
import type { Account, DropReason } from "./ledger.js";
import type { LeftOut } from "./outlet.js";
import { type Share, stampShare } from "./share.js";

/** One stored batch. */
export interface StoredBatch {
  readonly sequence: number;
  readonly data: Buffer;
}

/** The part of the stream that belongs to one target and partition. */
export interface OverflowPort {
  /** Resolves with the stream sequence once stored. Rejects when it is not, or not known to be. */
  store(data: Uint8Array, messageId: string): Promise<number>;
  /** Sequence of the newest batch that is still there; 0 when there is none. */
  lastSequence(): Promise<number>;
  /** The oldest batches from a sequence on, some of them; empty when there are none. */
  read(from: number): Promise<readonly StoredBatch[]>;
  /** Everything up to a sequence is done with. */
  remove(upTo: number): Promise<void>;
}

/** The queue whose target the overflow is for. */
export interface OverflowFeed {
  /** The target may be there and nothing waits before the overflow. */
  readonly open: boolean;
  /** Shares on the way. */
  readonly flyingCount: number;
  /** Takes out of a share what has become too old, booked as expired; false when nothing is left of it. */
  freshen(share: Share): boolean;
  /** Puts a share that came out of the overflow on its way; false: not now. */
  sendStored(share: Share): boolean;
  overflowLoaded(): void;
  queued(account: Account): number;
}

export interface OverflowOptions {
  readonly port: OverflowPort;
  readonly feed: OverflowFeed;
  readonly clock: Clock;
  readonly link: Omit<LinkIdentity, "targetInstance">;
  /** See `Target.keptFor`; it is written as the target's instance. */
  readonly keptFor?: (() => string | undefined) | undefined;
  /** Prefix of message ids: the stream removes what is stored twice after a change of owner. */
  readonly idPrefix: string;
  readonly epoch: number;
  /** Where shares are booked that are moved here, and where those that come out again. */
  readonly account: Account;
  readonly drained: Account;
  readonly onError: (error: unknown) => void;
}

/** Batches kept ready to be sent. */
const READ_AHEAD = 32;

/** One target's overflow in one partition, as its owner sees it. Only for the event lane. */
export class OverflowQueue {
  /** False: nothing is stored, the direct way may be used. */
  active = false;
  /** True until it is known whether an earlier owner left something. */
  loading = true;
  private readonly pending = new Deque<Share>();
  private readonly arrived = new Deque<Share>();
  /** Sources that were stored while they were on the way and arrived after all. */
  private readonly skip = new Map<number, LeftOut | undefined>();
  /** Why what is stored is not sent but given up, as long as there is any. */
  private discarding: DropReason | undefined;
  private readonly view = new BatchView();
  private header: { readonly keptFor: string; readonly header: HopHeader } | undefined;
  /** Stream sequences: newest stored, left by an earlier owner, last read, last settled, last removed. */
  private lastStored = 0;
  private inherited = 0;
  private lastRead = 0;
  private lastSettled = 0;
  private lastRemoved = 0;
  private draining = false;
  private readonly busy = { store: false, read: false, remove: false };
  private closed = false;
  private readonly unhold: (() => void)[];

  constructor(private readonly options: OverflowOptions) {
    const { account, drained, feed } = options;
    this.unhold = [
      account.hold(() => sum(this.pending)),
      drained.hold(() => sum(this.arrived) + feed.queued(drained)),
    ];
    void this.load();
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
    share.keptFor = this.options.keptFor?.() ?? "";
    this.pending.push(share);
    void this.run("store", () => this.storeNext());
  }

  /** A share that was put here while it was on the way has arrived after all: the stored copy is not sent. */
  delivered(sourceSequence: number, leftOut: LeftOut | undefined): void {
    this.skip.set(sourceSequence, leftOut);
  }

  /** Gives up everything that is stored or about to be, for a reason; what comes later is kept again. */
  abandon(reason: DropReason): void {
    if (this.closed || (!this.active && !this.loading)) return;
    this.discarding = reason;
    // The first one is perhaps being written, and goes the way of those that are.
    while (this.pending.length > 1) giveUp(this.pending.pop(), reason);
    this.drain();
  }

  /** Sends what is stored as far as the target takes it. Called whenever something may have changed. */
  drain(): void {
    if (!this.active || this.closed || this.draining) return;
    this.draining = true;
    while (this.mayTake && this.passFirst());
    this.draining = false;
    if (this.isEmpty()) {
      this.skip.clear();
      this.active = false;
      this.discarding = undefined;
    } else if (this.mayRead()) void this.run("read", () => this.readNext());
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // What is not stored comes again from the event stream, what is stored but not settled from the overflow.
    this.options.account.drop("requeued", sum(this.pending));
    this.options.drained.drop("requeued", sum(this.arrived));
    this.pending.clear();
    this.arrived.clear();
    for (const release of this.unhold) release();
  }

  private get mayTake(): boolean {
    const { keptFor, feed } = this.options;
    return this.discarding !== undefined || feed.open || (keptFor !== undefined && keptFor() === undefined);
  }

  /** False when there is nothing, or it is not the time for it. */
  private passFirst(): boolean {
    const { feed, keptFor } = this.options;
    const share = this.arrived.peek();
    if (share === undefined) return false;
    const { account, count, sourceSequence } = share;
    if (this.skip.has(sourceSequence)) {
      const leftOut = this.skip.get(sourceSequence);
      this.skip.delete(sourceSequence);
      account.forwarded += count;
      if (leftOut !== undefined) account.leaveOut(leftOut.expired, leftOut.refused);
      share.source?.done();
    } else if (this.discarding !== undefined) giveUp(share, this.discarding);
    else if (keptFor !== undefined && keptFor() !== share.keptFor) giveUp(share, "target_away");
    else if (!feed.freshen(share)) {
      // Settled ones are removed up to the last: what is older must not be on its way.
      if (feed.flyingCount > 0) return false;
      share.source?.done();
    } else if (!feed.sendStored(share)) return false;
    this.arrived.shift();
    return true;
  }

  private isEmpty(): boolean {
    return this.lastSettled >= this.lastStored && !this.storing && this.options.feed.flyingCount === 0;
  }

  private mayRead(): boolean {
    const { feed } = this.options;
    if (this.lastRead >= this.lastStored || this.arrived.length >= READ_AHEAD || !this.mayTake) return false;
    // What went the direct way must be settled first, so that it is known which stored copies are not needed.
    return this.lastRead > this.lastSettled || feed.flyingCount === 0;
  }

  private async load(): Promise<void> {
    const last = await this.persist(() => this.options.port.lastSequence());
    if (last === undefined) return;
    this.loading = false;
    this.lastStored = this.inherited = last;
    this.active = last > 0;
    if (!this.active) this.discarding = undefined;
    this.options.feed.overflowLoaded();
  }

  /** One task of a kind at a time; a task says whether there is more to do. */
  private async run(kind: "store" | "read" | "remove", task: () => Promise<boolean>): Promise<void> {
    if (this.busy[kind]) return;
    this.busy[kind] = true;
    while (!this.closed && (await task()));
    this.busy[kind] = false;
    if (kind === "read" && !this.closed) this.drain();
  }

  /** The order of events is more than their speed: nothing behind a share is stored before it. */
  private async storeNext(): Promise<boolean> {
    const share = this.pending.peek();
    if (share === undefined) return false;
    const { port, account, epoch, idPrefix } = this.options;
    const { sourceSequence: sequence, count, flags } = share;
    const again = (flags & BATCH_FLAGS.redelivered) !== 0;
    const header = this.headerFor(share.keptFor ?? "");
    const data = stampShare(share, header, { sequence, firstOrdinal: 0, count, flags, epoch }, again);
    const stored = await this.persist(() => port.store(data, `${idPrefix}.${sequence}`));
    if (stored === undefined || this.closed) return false;
    this.pending.shift();
    if (stored > this.lastStored) this.lastStored = stored;
    account.stored += count;
    share.source?.done();
    this.drain();
    return true;
  }

  private headerFor(keptFor: string): HopHeader {
    if (this.header?.keptFor !== keptFor) {
      const header = new HopHeader({ ...this.options.link, targetInstance: keptFor });
      this.header = { keptFor, header };
    }
    return this.header.header;
  }

  private async readNext(): Promise<boolean> {
    const { port, clock } = this.options;
    const batches = await this.persist(() => port.read(this.lastRead + 1));
    if (batches === undefined || this.closed) return false;
    if (batches.length === 0) {
      const last = await this.persist(() => port.lastSequence());
      // Whatever was stored up to here is gone: an operator has emptied the stream. Otherwise a replica is behind.
      if (last !== undefined && last <= this.lastRead) this.lastSettled = this.lastRead = this.lastStored;
      else await clock.sleep(50);
    }
    for (const batch of batches) {
      this.lastRead = batch.sequence;
      this.arrive(batch);
    }
    return false;
  }

  private arrive({ sequence, data }: StoredBatch): void {
    const { drained } = this.options;
    const done = (): void => this.settled(sequence);
    let view: BatchView;
    try {
      view = this.view.reset(data);
    } catch (error) {
      this.options.onError(error);
      done();
      return;
    }
    const { hop } = view;
    drained.received += hop.count;
    this.arrived.push({
      data,
      header: undefined,
      hopStart: view.originEnd - view.originStart,
      recordsStart: view.envelopesStart,
      count: hop.count,
      lookedMs: Number.NEGATIVE_INFINITY,
      // An earlier owner may have sent it.
      flags: hop.flags | (sequence <= this.inherited ? BATCH_FLAGS.redelivered : 0),
      sourceSequence: hop.sequence,
      keptFor: hop.targetInstance,
      account: drained,
      source: { done },
      shadowed: false,
    });
  }

  private settled(sequence: number): void {
    if (sequence > this.lastSettled) this.lastSettled = sequence;
    void this.run("remove", () => this.removeNext());
  }

  private async removeNext(): Promise<boolean> {
    const upTo = this.lastSettled;
    if (upTo <= this.lastRemoved) return false;
    await this.persist(() => this.options.port.remove(upTo));
    this.lastRemoved = upTo;
    return true;
  }

  /** Tries until it succeeds or the queue is closed. */
  private async persist<T>(task: () => Promise<T>): Promise<T | undefined> {
    for (let waitMs = 50; !this.closed; waitMs = Math.min(5_000, waitMs * 2)) {
      try {
        return await task();
      } catch (error) {
        this.options.onError(error);
        await this.options.clock.sleep(waitMs);
      }
    }
    return undefined;
  }
}

function giveUp(share: Share | undefined, reason: DropReason): void {
  if (share === undefined) return;
  share.account.drop(reason, share.count);
  share.source?.done();
}

function sum(shares: Iterable<Share>): number {
  let count = 0;
  for (const share of shares) count += share.count;
  return count;
}
