/** When a message is too old to be delivered. */

/**
 * From the time to live that a sender gave: whole microseconds since the Unix epoch, and never more than an envelope can say, which is
 * as good as for ever.
 */
export function expiryUs(fromUs: number, ttlMs: number): number {
  return Math.min(Math.floor(fromUs + ttlMs * 1000), Number.MAX_SAFE_INTEGER);
}
