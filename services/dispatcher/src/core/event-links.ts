/** Puts the event batches of each producer back into the order in which it sent them, and knows which were seen. */
import type { BatchView } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { TrackedBatch } from "./event-tracker.js";

export interface EventLinksOptions {
  readonly clock: Clock;
  /** Called for each batch when its turn has come, in the producer's order. */
  readonly release: (batch: TrackedBatch, late: boolean) => void;
  /** A batch that was seen before: to be acknowledged and forgotten. */
  readonly double: (batch: TrackedBatch, count: number) => void;
  /**
   * Envelopes that a later batch announces and that did not come in time. What is missing behind a batch that an earlier owner
   * was given is not told: that owner has acknowledged it.
   */
  readonly missing: (envelopes: number) => void;
  /** How long a batch waits for those before it. */
  readonly waitMs?: number;
  /** After taking a partition: how long the first batches are gathered, since they may come out of order from the owner before. */
  readonly settleMs?: number;
  /** Batches that may be held, over all producers; beyond it nobody waits. */
  readonly maxHeld?: number;
  readonly maxLinks?: number;
}

interface Held {
  readonly batch: TrackedBatch;
  readonly sequence: number;
  readonly firstOrdinal: number;
  readonly count: number;
}

interface Link {
  /** The sequence that comes next, and the ordinal it should begin with. */
  next: number;
  ordinal: number;
  /** First sequence this owner knows of; what is below it is remembered one by one. */
  readonly base: number;
  readonly seenBelow: Set<number>;
  /** Given up, may still come. Bounded: beyond it, what comes late is taken for new, which doubles it but never loses it. */
  readonly givenUp: Set<number>;
  readonly held: Map<number, Held>;
  waitingSince: number;
  /** The last batch that passed had been given to an earlier owner, and so may be what is missing behind it. */
  inherited: boolean;
}

const MAX_GIVEN_UP = 4096;

/** One per owned partition. */
export class EventLinks {
  private readonly links = new Map<string, Link>();
  private held = 0;
  private gathered: { readonly key: string; readonly held: Held }[] | undefined;
  private timer: Timer | undefined;
  private settleTimer: Timer | undefined;
  private readonly waitMs: number;
  private readonly maxHeld: number;
  private readonly maxLinks: number;

  constructor(private readonly options: EventLinksOptions) {
    this.waitMs = options.waitMs ?? 5_000;
    this.maxHeld = options.maxHeld ?? 256;
    this.maxLinks = options.maxLinks ?? 1024;
    const settleMs = options.settleMs ?? 100;
    if (settleMs > 0) {
      this.gathered = [];
      this.settleTimer = options.clock.setTimeout(() => this.settle(), settleMs);
    }
  }

  /** Envelopes held for their turn. */
  get heldEnvelopes(): number {
    let sum = 0;
    for (const { held } of this.gathered ?? []) sum += held.count;
    for (const link of this.links.values()) for (const held of link.held.values()) sum += held.count;
    return sum;
  }

  /** Batches held for their turn. */
  get heldBatches(): number {
    return this.held + (this.gathered?.length ?? 0);
  }

  /** Takes a batch whose header the view has read; the view may be reset during the call. */
  accept(view: BatchView, batch: TrackedBatch): void {
    const { hop } = view;
    const key = `${hop.sender}\0${hop.incarnation}`;
    const held: Held = { batch, sequence: hop.sequence, firstOrdinal: hop.firstOrdinal, count: hop.count };
    if (this.gathered !== undefined) {
      this.gathered.push({ key, held });
      if (this.gathered.length >= this.maxHeld) this.settle();
    } else this.offer(key, held);
  }

  /** Forgets everything; nothing is released any more. */
  close(): void {
    this.options.clock.clear(this.timer);
    this.options.clock.clear(this.settleTimer);
    this.timer = this.settleTimer = undefined;
    this.gathered = undefined;
    this.links.clear();
    this.held = 0;
  }

  private settle(): void {
    const gathered = this.gathered ?? [];
    this.gathered = undefined;
    this.options.clock.clear(this.settleTimer);
    // Stable: batches of different producers keep the order in which they came.
    const firsts = new Map<string, number>();
    for (const { key, held } of gathered) {
      firsts.set(key, Math.min(firsts.get(key) ?? Number.POSITIVE_INFINITY, held.sequence));
    }
    for (const [key, first] of firsts) this.links.set(key, createLink(first));
    for (const { key, held } of gathered) this.offer(key, held);
  }

  private offer(key: string, held: Held): void {
    let link = this.links.get(key);
    if (link === undefined) {
      if (this.links.size >= this.maxLinks) this.forgetIdle();
      link = createLink(held.sequence);
      this.links.set(key, link);
    }
    if (held.sequence < link.next) {
      if (wasSeen(link, held.sequence)) this.options.double(held.batch, held.count);
      // Stored and therefore acknowledged to its sender: late is better than lost.
      else this.options.release(held.batch, true);
      return;
    }
    if (link.held.has(held.sequence)) {
      this.options.double(held.batch, held.count);
      return;
    }
    if (held.sequence > link.next && !link.inherited) {
      if (link.held.size === 0) link.waitingSince = this.options.clock.nowMs();
      link.held.set(held.sequence, held);
      this.held++;
      if (this.held > this.maxHeld) this.giveUp(link);
      else this.timer ??= this.options.clock.setTimeout(() => this.expire(), this.waitMs);
      return;
    }
    this.skip(link, held.sequence);
    this.pass(link, held);
    this.drain(link);
  }

  private pass(link: Link, held: Held): void {
    if (link.ordinal >= 0 && held.firstOrdinal > link.ordinal && !link.inherited)
      this.options.missing(held.firstOrdinal - link.ordinal);
    link.inherited = held.batch.delivery.redelivered;
    link.next = held.sequence + 1;
    link.ordinal = held.firstOrdinal + held.count;
    this.options.release(held.batch, false);
  }

  private drain(link: Link): void {
    for (let held = link.held.get(link.next); held !== undefined; held = link.held.get(link.next)) {
      link.held.delete(held.sequence);
      this.held--;
      this.pass(link, held);
    }
    link.waitingSince = this.options.clock.nowMs();
  }

  private giveUp(link: Link): void {
    let lowest = Number.POSITIVE_INFINITY;
    for (const sequence of link.held.keys()) lowest = Math.min(lowest, sequence);
    if (lowest === Number.POSITIVE_INFINITY) return;
    this.skip(link, lowest);
    this.drain(link);
  }

  /** Waits no longer for what comes before a sequence. */
  private skip(link: Link, to: number): void {
    for (let s = link.next; s < to && link.givenUp.size < MAX_GIVEN_UP; s++) link.givenUp.add(s);
    link.next = to;
  }

  private expire(): void {
    this.timer = undefined;
    const now = this.options.clock.nowMs();
    let soonest = Number.POSITIVE_INFINITY;
    for (const link of this.links.values()) {
      if (link.held.size === 0) continue;
      if (now - link.waitingSince >= this.waitMs) this.giveUp(link);
      if (link.held.size > 0) soonest = Math.min(soonest, this.waitMs - (now - link.waitingSince));
    }
    if (soonest !== Number.POSITIVE_INFINITY) {
      this.timer = this.options.clock.setTimeout(() => this.expire(), Math.max(1, soonest));
    }
  }

  private forgetIdle(): void {
    for (const [key, link] of this.links) {
      if (link.held.size > 0) continue;
      this.links.delete(key);
      return;
    }
  }
}

/** Of a sequence whose turn is over. Remembers it as seen. */
function wasSeen(link: Link, sequence: number): boolean {
  if (sequence >= link.base) return !link.givenUp.delete(sequence);
  if (link.seenBelow.has(sequence)) return true;
  if (link.seenBelow.size < MAX_GIVEN_UP) link.seenBelow.add(sequence);
  return false;
}

function createLink(first: number): Link {
  return {
    next: first,
    ordinal: -1,
    base: first,
    seenBelow: new Set(),
    givenUp: new Set(),
    held: new Map(),
    waitingSince: 0,
    inherited: false,
  };
}
