/** The bridge's ledger: plain counters per hop, lane and app. */
import { type control, Lane } from "@myelin/contract";

/** Why the bridge gives a message up. `requeued` is no loss: the owner keeps the event and delivers it again. */
export const DROP_REASONS = [
  "app_gone",
  "lost_in_transit",
  "no_session",
  "queue_full",
  "requeued",
  "stale_epoch",
] as const;

/** One of the reasons. */
export type DropReason = (typeof DROP_REASONS)[number];

/** received = forwarded + dropped + queued; `forwarded` counts what the app is done with. */
export class Account {
  readonly hop: string;
  readonly lane: Lane;
  readonly target: string;
  received = 0;
  forwarded = 0;
  queued = 0;
  readonly dropped: Record<DropReason, number> = {
    app_gone: 0,
    lost_in_transit: 0,
    no_session: 0,
    queue_full: 0,
    requeued: 0,
    stale_epoch: 0,
  };

  constructor(hop: string, lane: Lane, target: string) {
    this.hop = hop;
    this.lane = lane;
    this.target = target;
  }

  /** Books envelopes that came and are given up at once. */
  refuse(count: number, reason: DropReason): void {
    this.received += count;
    this.dropped[reason] += count;
  }

  /** Books envelopes that waited and are given up now. */
  giveUp(count: number, reason: DropReason): void {
    this.queued -= count;
    this.dropped[reason] += count;
  }

  toMessage(): control.LedgerAccount {
    const dropped = DROP_REASONS.filter((reason) => this.dropped[reason] > 0).map((reason) => ({
      reason,
      count: this.dropped[reason],
    }));
    return {
      hop: this.hop,
      lane: this.lane,
      target: this.target,
      received: this.received,
      forwarded: this.forwarded,
      stored: 0,
      expired: 0,
      queued: this.queued,
      dropped,
    };
  }
}

/** Accounts of more apps than this are kept together under `*`. */
const MAX_APPS = 1_024;
const REST = "*";

/** The accounts of hop `deliver`, one pair per app name, kept for the process's life so that the books never shrink. */
export class Books {
  readonly #apps = new Map<string, readonly [Account, Account]>();

  /** Telemetry has its own account; everything else is booked as event. */
  deliver(app: string, lane: Lane): Account {
    const name = this.#apps.has(app) || this.#apps.size < MAX_APPS ? app : REST;
    let pair = this.#apps.get(name);
    if (pair === undefined) {
      pair = [new Account("deliver", Lane.TELEMETRY, name), new Account("deliver", Lane.EVENT, name)];
      this.#apps.set(name, pair);
    }
    return lane === Lane.TELEMETRY ? pair[0] : pair[1];
  }

  *[Symbol.iterator](): Iterator<Account> {
    for (const pair of this.#apps.values()) yield* pair;
  }
}
