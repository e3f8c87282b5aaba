/** The books of this process: per hop, lane and target, `received = forwarded + stored + dropped + expired + queued`. */
import type { control } from "@myelin/contract";
import { Lane } from "@myelin/contract";
import type { LaneWord } from "./words.js";

/** Places in the dispatcher where messages are counted. */
export const HOPS = ["route", "fanout", "drain", "unrouted", "sessions"] as const;

/** One of them: routing, per target, per target out of its overflow, what nobody wanted, and per MQTT session. */
export type Hop = (typeof HOPS)[number];

/** Why the dispatcher gives a message up. `requeued` is no loss: the event comes again from its stream. */
export const DROP_REASONS = [
  "app_deleted",
  "bad_envelope",
  "codec_error",
  "double",
  "lagging",
  "lost_in_transit",
  "no_local",
  "no_session",
  "queue_full",
  "released",
  "requeued",
  "routing_error",
  "session_ended",
  "session_queue_full",
  "target_away",
  "target_error",
  "unrouted",
] as const;

/** One of the reasons. */
export type DropReason = (typeof DROP_REASONS)[number];

/** One account. Hot code adds to the numbers directly. */
export class Account {
  received = 0;
  forwarded = 0;
  stored = 0;
  expired = 0;
  readonly dropped = new Map<DropReason, number>();
  private readonly holders = new Set<() => number>();

  constructor(
    readonly hop: Hop,
    readonly lane: LaneWord,
    readonly target: string,
  ) {}

  /** Adds a queue whose envelopes this account counts as held; returns how to take it out again. */
  hold(queued: () => number): () => void {
    this.holders.add(queued);
    return () => this.holders.delete(queued);
  }

  /** Envelopes held at the moment, asked of the queues themselves. */
  queued(): number {
    let sum = 0;
    for (const queued of this.holders) sum += queued();
    return sum;
  }

  /** Books `count` envelopes as dropped for a reason. */
  drop(reason: DropReason, count: number): void {
    if (count > 0) this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count);
  }

  /** Of a share that is booked as forwarded as a whole, some were not: too old, or refused by the target for good. */
  leaveOut(expired: number, refused: number): void {
    this.forwarded -= expired + refused;
    this.expired += expired;
    this.drop("target_error", refused);
  }

  /** All drops together. */
  get droppedInAll(): number {
    let sum = 0;
    for (const count of this.dropped.values()) sum += count;
    return sum;
  }

  /** What the equation leaves over; 0 unless a message was lost from the books. */
  get unaccounted(): number {
    return this.received - this.forwarded - this.stored - this.expired - this.droppedInAll - this.queued();
  }
}

/** All accounts of a process. The same hop, lane and target give the same account. */
export class Ledger {
  private readonly accounts = new Map<string, Account>();

  account(hop: Hop, lane: LaneWord, target = ""): Account {
    const key = `${hop}\0${lane}\0${target}`;
    let account = this.accounts.get(key);
    if (account === undefined) {
      account = new Account(hop, lane, target);
      this.accounts.set(key, account);
    }
    return account;
  }

  all(): Iterable<Account> {
    return this.accounts.values();
  }

  /** The accounts as the wire carries them, in a stable order; those nothing ever passed are left out. */
  snapshot(): control.LedgerAccount[] {
    return [...this.accounts.values()]
      .filter((account) => account.received > 0)
      .sort((a, b) => compare(a.hop, b.hop) || compare(a.lane, b.lane) || compare(a.target, b.target))
      .map((account) => ({
        hop: account.hop,
        lane: account.lane === "event" ? Lane.EVENT : Lane.TELEMETRY,
        target: account.target,
        received: account.received,
        forwarded: account.forwarded,
        stored: account.stored,
        expired: account.expired,
        queued: account.queued(),
        dropped: [...account.dropped].map(([reason, count]) => ({ reason, count })),
      }));
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
