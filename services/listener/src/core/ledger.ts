/** The listener's books: received = forwarded + stored + dropped + expired + queued, per hop and lane. */
import type { SenderCounters } from "@myelin/bus";
import type { control, Lane } from "@myelin/contract";

/** One account that the listener keeps itself. */
export class LedgerBook {
  received = 0;
  forwarded = 0;
  expired = 0;
  queued = 0;
  readonly dropped = new Map<string, number>();

  constructor(
    readonly hop: string,
    readonly lane: Lane,
  ) {}

  drop(reason: string, count = 1): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count);
  }

  account(): control.LedgerAccount {
    return {
      hop: this.hop,
      lane: this.lane,
      target: "",
      received: this.received,
      forwarded: this.forwarded,
      stored: 0,
      expired: this.expired,
      queued: this.queued,
      dropped: [...this.dropped].map(([reason, count]) => ({ reason, count })),
    };
  }
}

/** The ingress hop of one lane: what the sender counts, and what was stopped before it. */
export function ingressAccount(
  lane: Lane,
  sender: SenderCounters,
  refusals: ReadonlyMap<string, number>,
): control.LedgerAccount {
  const dropped = new Map(Object.entries(sender.dropped));
  let refused = 0;
  for (const [reason, count] of refusals) {
    refused += count;
    dropped.set(reason, (dropped.get(reason) ?? 0) + count);
  }
  return {
    hop: "ingress",
    lane,
    target: "",
    received: sender.received + refused,
    forwarded: sender.forwarded,
    stored: sender.stored,
    expired: 0,
    queued: sender.queued(),
    dropped: [...dropped].filter(([, count]) => count > 0).map(([reason, count]) => ({ reason, count })),
  };
}
