/** Closes the books of processes that died by what their receivers know: the number of each message of a link tells how many were sent. */
import { control, Lane } from "@myelin/contract";
import { MAX_CLOSED } from "./ledger-keeper.js";
import { sendingHopOf } from "./sender-names.js";

/** Where the receiver counts it. */
const RECEIVING_HOP = "route";

interface Taken {
  readonly start: number;
  readonly end: number;
}

/**
 * The same books, completed. What a dead producer had sent after it last wrote its books is added to them, and what it had sent and nobody
 * took is booked by the receiver as lost in transit, as is what no owner of a partition has in its books. Give it the answers of all
 * services: what is not among them is taken for lost.
 */
export function closeByLinks(snapshots: readonly control.LedgerSnapshot[]): control.LedgerSnapshot[] {
  const links = takenOf(snapshots);
  // Where earlier books are forgotten, nothing can be said about what is not in the others.
  const complete = snapshots.every(({ closed }) => closed.length < MAX_CLOSED);
  const lost = new Map<Lane, number>();
  const book = (lane: Lane, count: number): void => void lost.set(lane, (lost.get(lane) ?? 0) + count);
  for (const { lane, taken } of links.values()) {
    if (lane === Lane.TELEMETRY && complete) for (const ranges of taken.values()) book(lane, gaps(ranges));
  }
  const closedOf = (snapshot: control.LedgerSnapshot): control.LedgerSnapshot => {
    const sending = sendingHopOf(snapshot.service);
    if (sending === undefined) return snapshot;
    const { hop } = sending;
    const sender = sending.senderOf(snapshot.instance);
    let { accounts } = snapshot;
    for (const lane of [Lane.TELEMETRY, Lane.EVENT]) {
      const taken = links.get(keyOf(lane, snapshot.incarnation, sender))?.taken;
      const arrived = sum([...(taken ?? new Map<number, Taken[]>()).values()].map(furthest));
      const own = accounts.filter((account) => account.hop === hop && account.lane === lane);
      const sent = sum(own.map((account) => account[sentField(lane)]));
      if (arrived > sent) accounts = withSent(accounts, hop, lane, arrived - sent);
      else if (lane === Lane.TELEMETRY && complete) book(lane, sent - arrived);
    }
    return { ...snapshot, accounts };
  };
  const completed = snapshots.map((snapshot) => ({ ...snapshot, closed: snapshot.closed.map(closedOf) }));
  const accounts = [...lost]
    .filter(([, count]) => count > 0)
    .map(([lane, count]) => lostAccount(lane, count));
  return accounts.length === 0
    ? completed
    : [...completed, control.LedgerSnapshot.fromPartial({ service: "dispatcher", accounts })];
}

function sentField(lane: Lane): "stored" | "forwarded" {
  return lane === Lane.EVENT ? "stored" : "forwarded";
}

function keyOf(lane: Lane, incarnation: number, sender: string): string {
  return `${lane} ${incarnation} ${sender}`;
}

/** Everything that any process has taken of each link, by partition. */
function takenOf(snapshots: readonly control.LedgerSnapshot[]) {
  const links = new Map<string, { readonly lane: Lane; readonly taken: Map<number, Taken[]> }>();
  for (const snapshot of snapshots.flatMap((one) => [one, ...one.closed])) {
    for (const { lane, incarnation, sender, partitions, starts, ends } of snapshot.links) {
      const key = keyOf(lane, incarnation, sender);
      const link = links.get(key) ?? { lane, taken: new Map<number, Taken[]>() };
      links.set(key, link);
      partitions.forEach((partition, i) => {
        const ranges = link.taken.get(partition) ?? [];
        ranges.push({ start: starts[i] ?? 0, end: ends[i] ?? 0 });
        link.taken.set(partition, ranges);
      });
    }
  }
  return links;
}

function furthest(ranges: readonly Taken[]): number {
  return ranges.reduce((max, { end }) => Math.max(max, end), 0);
}

/** How many numbers below the last one are in none of the ranges. */
function gaps(ranges: readonly Taken[]): number {
  let upTo = 0;
  let missing = 0;
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    if (start > upTo) missing += start - upTo;
    upTo = Math.max(upTo, end);
  }
  return missing;
}

/** Books messages as sent by a dead producer: those that were in its hands when it last wrote, then some that came later. */
function withSent(accounts: readonly control.LedgerAccount[], hop: string, lane: Lane, count: number) {
  const at = accounts.findIndex((account) => account.hop === hop && account.lane === lane);
  const empty = control.LedgerAccount.fromPartial({ hop, lane });
  const account = accounts[at] ?? empty;
  let inHand = 0;
  const dropped = account.dropped.map((drop) => {
    if (drop.reason !== "requeued" && drop.reason !== "process_died") return drop;
    const taken = Math.min(drop.count, count - inHand);
    inHand += taken;
    return { ...drop, count: drop.count - taken };
  });
  const field = sentField(lane);
  const changed = {
    ...account,
    dropped,
    received: account.received + count - inHand,
    [field]: account[field] + count,
  };
  return at === -1 ? [...accounts, changed] : accounts.with(at, changed);
}

function lostAccount(lane: Lane, count: number): control.LedgerAccount {
  const dropped = [{ reason: "lost_in_transit", count }];
  return control.LedgerAccount.fromPartial({ hop: RECEIVING_HOP, lane, received: count, dropped });
}

function sum(counts: readonly number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}
