/** Rate limits that cost two numbers per connection and nothing per message. */

/** What one bucket remembers; any object with these two fields can be one, so a connection needs no second object. */
export interface TokenBucketState {
  bucketTokens: number;
  bucketMs: number;
}

/** `perSecond` tokens flow in, `burst` is the most that can be saved up. */
export interface TokenBucketLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** Fills the bucket; call it once when the connection begins. */
export function fillBucket(state: TokenBucketState, limit: TokenBucketLimit, nowMs: number): void {
  state.bucketTokens = limit.burst;
  state.bucketMs = nowMs;
}

/**
 * Takes `count` tokens, or none and returns false. A count above `burst` never succeeds.
 * Time that goes backwards refills nothing.
 */
export function takeTokens(
  state: TokenBucketState,
  limit: TokenBucketLimit,
  nowMs: number,
  count: number,
): boolean {
  const elapsedMs = nowMs - state.bucketMs;
  if (elapsedMs > 0) {
    const tokens = state.bucketTokens + (elapsedMs * limit.perSecond) / 1000;
    state.bucketTokens = Math.min(tokens, limit.burst);
    state.bucketMs = nowMs;
  }
  if (state.bucketTokens < count) return false;
  state.bucketTokens -= count;
  return true;
}

/** Milliseconds until `count` tokens are there (0 when they are): how long to pause reading, or Retry-After. */
export function tokensReadyInMs(
  state: TokenBucketState,
  limit: TokenBucketLimit,
  nowMs: number,
  count: number,
): number {
  const missing = count - state.bucketTokens - (Math.max(0, nowMs - state.bucketMs) * limit.perSecond) / 1000;
  return missing <= 0 ? 0 : (missing * 1000) / limit.perSecond;
}

/** A bucket as an object of its own, for places that have nothing to embed it in. */
export class TokenBucket implements TokenBucketState {
  bucketTokens: number;
  bucketMs: number;
  readonly limit: TokenBucketLimit;

  constructor(limit: TokenBucketLimit, nowMs: number) {
    this.limit = limit;
    this.bucketTokens = limit.burst;
    this.bucketMs = nowMs;
  }

  /** See `takeTokens`. */
  take(nowMs: number, count = 1): boolean {
    return takeTokens(this, this.limit, nowMs, count);
  }
}
