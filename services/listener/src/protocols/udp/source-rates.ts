/** One token bucket per address, for as many as fit. */
import { type Clock, TokenBucket, type TokenBucketLimit } from "@myelin/kernel";

export class SourceRates {
  private readonly buckets = new Map<string, TokenBucket>();

  /** @param limit undefined: everybody may */
  constructor(
    private readonly clock: Clock,
    private readonly limit: TokenBucketLimit | undefined,
    private readonly capacity: number,
  ) {}

  allows(address: string): boolean {
    if (this.limit === undefined) return true;
    const nowMs = this.clock.nowMs();
    let bucket = this.buckets.get(address);
    if (bucket === undefined) {
      if (this.buckets.size >= this.capacity) this.buckets.delete(this.buckets.keys().next().value!);
      bucket = new TokenBucket(this.limit, nowMs);
      this.buckets.set(address, bucket);
    }
    return bucket.take(nowMs);
  }
}
