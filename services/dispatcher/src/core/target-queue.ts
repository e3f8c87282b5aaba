/** What waits for one target, in one partition and lane: bounded, in order, never in the way of another target. */
import { BATCH_FLAGS, type BatchView } from "@myelin/contract";
import { Deque } from "./deque.js";
import { dropExpired, mayHaveExpired } from "./expiry.js";
import type { Account, DropReason } from "./ledger.js";
import type { LeftOut, Outlet, OutletEvents, WhenLagging } from "./outlet.js";
import type { OverflowFeed, OverflowQueue } from "./overflow.js";
import { type Share, ShareBuilder, type ShareSource, shareBytes } from "./share.js";

export interface TargetQueueOptions {
  readonly lane: "telemetry" | "event";
  /** Bytes that may wait here; what is on the way to the target is bounded by its credit. */
  readonly maxBytes: number;
  /** How long telemetry waits for a target that is away before it is dropped; from then on it is dropped at once. */
  readonly awayGraceMs: number;
  readonly nowMs: () => number;
  /** The wall clock, against which expiry is measured. */
  readonly nowUs: () => number;
  readonly account: Account;
  readonly whenLagging: WhenLagging;
  /** See `Target.keptFor`. */
  readonly keptFor?: (() => string | undefined) | undefined;
  readonly createOutlet: (events: OutletEvents) => Outlet;
  /** For events that go to the overflow when the target lags. */
  readonly createOverflow?: ((feed: OverflowFeed) => OverflowQueue) | undefined;
}

/**
 * Invariant that order rests on: what is in the overflow is older than everything that is only here, so a later owner
 * delivers the overflow first and then what the stream gives again.
 */
export class TargetQueue implements OutletEvents, OverflowFeed {
  /** What the router collects for this target out of the batch at hand. */
  readonly builder = new ShareBuilder();
  private readonly waiting = new Deque<Share>();
  private readonly flying = new Deque<Share>();
  private waitingBytes = 0;
  private awaySinceMs: number | undefined;
  private opened = false;
  private closed = false;
  private pumping = false;
  /** What the target did without of the shadowed share that is settled next. */
  private shadowLeftOut: LeftOut | undefined;
  private readonly outlet: Outlet;
  private readonly overflow: OverflowQueue | undefined;
  private readonly unhold: () => void;

  constructor(private readonly options: TargetQueueOptions) {
    // An outlet may report that it is ready while it is being opened; there is nothing to send then.
    this.outlet = options.createOutlet(this);
    this.opened = true;
    this.overflow = options.createOverflow?.(this);
    this.unhold = options.account.hold(() => this.queued(options.account));
  }

  /** Bytes that wait, without those on the way. */
  get bytes(): number {
    return this.waitingBytes;
  }

  /** True while events take the way through the overflow. */
  get overflowing(): boolean {
    return this.overflow?.active === true;
  }

  /** Nothing waits, flies, or is being stored. */
  get idle(): boolean {
    return this.waiting.length === 0 && this.flying.length === 0 && this.overflow?.storing !== true;
  }

  /** As `idle`, and nothing is kept in the overflow either: the queue can be closed without giving anything up. */
  get finished(): boolean {
    return this.idle && this.overflow?.active !== true && this.overflow?.loading !== true;
  }

  get open(): boolean {
    return this.outlet.state === "open" && this.waiting.length === 0;
  }

  get flyingCount(): number {
    return this.flying.length;
  }

  queued(account: Account): number {
    let sum = 0;
    for (const share of this.waiting) if (share.account === account) sum += share.count;
    for (const share of this.flying) if (share.account === account && !share.shadowed) sum += share.count;
    return sum;
  }

  /** Takes what the builder collected; `source` is told when it is in safe hands. Called once per batch by the router. */
  take(view: BatchView, redelivered: boolean, sourceSequence: number, source: ShareSource | undefined): void {
    const { account } = this.options;
    const flags = redelivered ? BATCH_FLAGS.redelivered : 0;
    const share = this.builder.build(view, this.outlet.header, flags, sourceSequence, account, source);
    account.received += share.count;
    if ((share.flags & BATCH_FLAGS.expiry) !== 0) share.lookedMs = this.options.nowMs();
    if (this.closed) account.drop(this.closeReason, share.count);
    else if (this.overflow?.active && !this.nobodyIsThere) this.overflow.put(share);
    else {
      this.push(share);
      this.pump();
      if (this.waiting.length > 0) this.limit();
    }
  }

  /** Books envelopes that a transformation kept from this target: dropped for a reason, or put aside with the unrouted. */
  refuse(count: number, reason: DropReason | undefined): void {
    const { account } = this.options;
    account.received += count;
    if (reason === undefined) account.stored += count;
    else account.drop(reason, count);
  }

  freshen(share: Share): boolean {
    const nowMs = this.options.nowMs();
    if (mayHaveExpired(share, nowMs)) dropExpired(share, nowMs, this.options.nowUs());
    return share.count > 0;
  }

  sendStored(share: Share): boolean {
    if (this.closed || this.outlet.state === "away") return false;
    const answer = this.outlet.trySend(share, false);
    if (answer === "later") return false;
    this.sent(share, answer);
    return true;
  }

  ready(): void {
    if (this.closed || !this.opened) return;
    this.awaySinceMs = this.outlet.state === "away" ? (this.awaySinceMs ?? this.options.nowMs()) : undefined;
    this.pump();
    if (this.waiting.length > 0) this.limit();
    this.overflow?.drain();
  }

  settled(count: number): void {
    for (let i = 0; i < count; i++) {
      const share = this.flying.shift();
      if (share === undefined) break;
      if (share.shadowed) this.overflow?.delivered(share.sourceSequence, this.shadowLeftOut);
      else finish(share);
      this.shadowLeftOut = undefined;
    }
    this.ready();
  }

  refused(reason: DropReason): void {
    const share = this.flying.shift();
    if (share === undefined) return;
    if (share.shadowed) this.overflow?.delivered(share.sourceSequence, { expired: 0, refused: share.count });
    else discard(share, reason);
    this.ready();
  }

  leftOut(what: LeftOut): void {
    const share = this.flying.peek();
    if (share === undefined) return;
    // Of a shadowed share the copy in the overflow is what is booked.
    if (share.shadowed) this.shadowLeftOut = what;
    else share.account.leaveOut(what.expired, what.refused);
  }

  lost(): void {
    for (let share = this.flying.pop(); share !== undefined; share = this.flying.pop()) {
      // A shadowed share waits in the overflow already.
      if (share.shadowed) continue;
      share.flags |= BATCH_FLAGS.redelivered;
      this.waiting.unshift(share);
      this.waitingBytes += shareBytes(share);
    }
    this.ready();
  }

  /** What the overflow calls once it knows whether an earlier owner left something there. */
  overflowLoaded(): void {
    if (this.closed) return;
    if (this.overflow?.active) this.moveWaiting(this.overflow);
    this.ready();
  }

  /** Source batch of the oldest share that waits or flies; undefined when none holds one. */
  get oldestSource(): number | undefined {
    for (const share of this.flying) if (!share.shadowed) return share.sourceSequence;
    return this.waiting.peek()?.sourceSequence;
  }

  /** Lets go of the sources of everything that is not settled: by the overflow, or by dropping it where there is none. */
  relieve(): void {
    if (this.closed || this.options.whenLagging === "hold") return;
    if (this.overflow !== undefined && !this.nobodyIsThere) {
      this.spill(this.overflow);
      return;
    }
    for (const share of this.flying) {
      if (share.shadowed) continue;
      share.shadowed = true;
      discard(share, "lagging");
    }
    this.dropWaiting("lagging", 0);
  }

  /** Gives up what waits here and in the overflow, for a reason. What is on the way to the target is left to it. */
  abandon(reason: DropReason): void {
    if (this.closed) return;
    this.dropWaiting(reason, 0);
    this.overflow?.abandon(reason);
  }

  private spill(overflow: OverflowQueue): void {
    if (overflow.active || overflow.loading) return;
    overflow.begin();
    for (const share of this.flying) {
      share.shadowed = true;
      overflow.put({ ...share, shadowed: false, flags: share.flags | BATCH_FLAGS.redelivered });
    }
    this.moveWaiting(overflow);
  }

  /** Ends it: what is not settled is given up, to come again from the stream; telemetry is booked as dropped. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.outlet.close();
    this.overflow?.close();
    for (const share of this.waiting) share.account.drop(this.closeReason, share.count);
    for (const share of this.flying) if (!share.shadowed) share.account.drop(this.closeReason, share.count);
    this.waiting.clear();
    this.flying.clear();
    this.waitingBytes = 0;
    this.unhold();
  }

  private get nobodyIsThere(): boolean {
    const { keptFor } = this.options;
    return keptFor !== undefined && keptFor() === undefined;
  }

  private get closeReason(): DropReason {
    return this.options.lane === "telemetry" ? "released" : "requeued";
  }

  private push(share: Share): void {
    this.waiting.push(share);
    this.waitingBytes += shareBytes(share);
  }

  private shiftWaiting(): Share | undefined {
    const share = this.waiting.shift();
    if (share !== undefined) this.waitingBytes -= shareBytes(share);
    return share;
  }

  private moveWaiting(overflow: OverflowQueue): void {
    for (let share = this.shiftWaiting(); share !== undefined; share = this.shiftWaiting())
      overflow.put(share);
  }

  private sent(share: Share, answer: "taken" | "done"): void {
    if (answer === "taken") this.flying.push(share);
    else finish(share);
  }

  private pump(): void {
    if (this.pumping || this.overflow?.loading) return;
    this.pumping = true;
    try {
      while (this.outlet.state === "open" && this.sendFirst());
    } finally {
      this.pumping = false;
    }
  }

  /** False when nothing waits, or the target takes nothing now. */
  private sendFirst(): boolean {
    const share = this.waiting.peek();
    if (share === undefined) return false;
    const before = shareBytes(share);
    const isLeft = this.freshen(share);
    const bytes = shareBytes(share);
    this.waitingBytes -= before - bytes;
    if (!isLeft) {
      this.shiftWaiting();
      share.source?.done();
      return true;
    }
    const answer = this.outlet.trySend(share, (share.flags & BATCH_FLAGS.redelivered) !== 0);
    if (answer === "later") return false;
    this.waiting.shift();
    this.waitingBytes -= bytes;
    this.sent(share, answer);
    return true;
  }

  private limit(): void {
    const { lane, maxBytes, awayGraceMs, nowMs } = this.options;
    const away = this.outlet.state === "away";
    if (lane === "event" && this.overflow !== undefined) {
      if (this.nobodyIsThere) this.dropWaiting("target_away", 0);
      else if (away || this.waitingBytes > maxBytes) this.spill(this.overflow);
      return;
    }
    if (this.options.whenLagging === "hold") return;
    if (away) {
      this.awaySinceMs ??= nowMs();
      if (nowMs() - this.awaySinceMs >= (lane === "event" ? 0 : awayGraceMs))
        this.dropWaiting("target_away", 0);
    }
    if (this.waitingBytes > maxBytes) this.dropWaiting("queue_full", maxBytes);
  }

  private dropWaiting(reason: DropReason, downToBytes: number): void {
    while (this.waitingBytes > downToBytes) {
      const share = this.shiftWaiting();
      if (share === undefined) return;
      discard(share, reason);
    }
  }
}

function finish(share: Share): void {
  if (share.account.hop === "unrouted") share.account.stored += share.count;
  else share.account.forwarded += share.count;
  share.source?.done();
}

function discard(share: Share, reason: DropReason): void {
  share.account.drop(reason, share.count);
  share.source?.done();
}
