/** Walks over all connections without keeping messages waiting, and picks a page of them. */
import type { Clock } from "@myelin/kernel";
import { type Connection, NOBODY } from "./connection.js";

/** Then the event loop turns. */
const LONGEST_TURN_MS = 3;
const LOOK_AT_CLOCK_EVERY = 256;

/**
 * Visits every connection whose client is known and has not been told goodbye, in no order. Those that come meanwhile are left out; those that go may be.
 * A visit must be short.
 */
export async function scanConnections(
  connections: readonly Connection[],
  clock: Clock,
  visit: (connection: Connection) => void,
): Promise<void> {
  // The array changes its order when connections end, so that one could be passed over.
  const all = connections.slice();
  let turnedMs = clock.nowMs();
  for (let i = 0; i < all.length; i++) {
    const connection = all[i]!;
    if (!connection.isClosing && connection.identity !== NOBODY) visit(connection);
    if (i % LOOK_AT_CLOCK_EVERY !== 0 || clock.nowMs() - turnedMs < LONGEST_TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    turnedMs = clock.nowMs();
  }
}

/** The connections with the lowest numbers of those it was shown. */
export class LowestNumbers {
  /** In the order of their numbers; at most one more than `limit`. */
  readonly picked: Connection[] = [];

  constructor(private readonly limit: number) {}

  add(connection: Connection): void {
    const { picked, limit } = this;
    const { number } = connection;
    if (picked.length > limit && number > picked[limit]!.number) return;
    let low = 0;
    let high = picked.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (picked[middle]!.number < number) low = middle + 1;
      else high = middle;
    }
    picked.splice(low, 0, connection);
    if (picked.length > limit + 1) picked.pop();
  }
}
