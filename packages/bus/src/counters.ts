/** The books of a sender, as plain numbers. */
import type { SenderCounters } from "./api.js";

/** Counters whose `queued` is asked of the queues themselves. */
export function senderCounters(queued: () => number): SenderCounters {
  return { received: 0, forwarded: 0, stored: 0, dropped: {}, queued };
}

/** Books `count` messages as dropped. Reasons are a closed set: names of the catalogue or of the ledger. */
export function drop(counters: SenderCounters, reason: string, count: number): void {
  if (count > 0) counters.dropped[reason] = (counters.dropped[reason] ?? 0) + count;
}
