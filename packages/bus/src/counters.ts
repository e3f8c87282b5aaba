/** The books of a sender, as plain numbers. */
import { type control, Lane } from "@myelin/contract";
import type { EventSender, SenderCounters, TelemetrySender } from "./api.js";

/** Counters whose `queued` is asked of the queues themselves. */
export function senderCounters(queued: () => number): SenderCounters {
  return { received: 0, forwarded: 0, stored: 0, dropped: {}, queued };
}

/** Books `count` messages as dropped. Reasons are a closed set: names of the catalogue or of the ledger. */
export function drop(counters: SenderCounters, reason: string, count: number): void {
  if (count > 0) counters.dropped[reason] = (counters.dropped[reason] ?? 0) + count;
}

/** The accounts of what a process sends on both lanes; those of a lane that nothing was sent on are left out. */
export function sentAccounts(
  hop: string,
  telemetry: Pick<TelemetrySender, "counters">,
  events: Pick<EventSender, "counters">,
): control.LedgerAccount[] {
  const accounts = [
    sentAccount(hop, Lane.TELEMETRY, telemetry.counters),
    sentAccount(hop, Lane.EVENT, events.counters),
  ];
  return accounts.filter(({ received }) => received > 0);
}

function sentAccount(hop: string, lane: Lane, counters: SenderCounters): control.LedgerAccount {
  const { received, forwarded, stored } = counters;
  const dropped = Object.entries(counters.dropped).map(([reason, count]) => ({ reason, count }));
  const queued = counters.queued();
  return { hop, lane, target: "", received, forwarded, stored, expired: 0, queued, dropped };
}
