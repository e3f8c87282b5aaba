/** How fast one device may send over all its connections together. */
import {
  fillBucket,
  type TokenBucketLimit,
  type TokenBucketState,
  takeTokens,
  tokensReadyInMs,
} from "@myelin/kernel";
import type { Identity } from "./admission.js";
import { deviceKey } from "./disconnect-log.js";

/** Devices remembered; one that is forgotten starts with a full bucket, so the bound only ever favours a device. */
const MAX_DEVICES = 100_000;

/** One per process. */
export class DeviceRates {
  private readonly buckets = new Map<string, TokenBucketState>();

  constructor(private readonly limit: TokenBucketLimit) {}

  /**
   * Books `count` messages that are taken in any case; returns for how many milliseconds nothing more should be read from the
   * device, 0 when it is within its rate.
   */
  spend(identity: Identity, count: number, nowMs: number): number {
    const bucket = this.bucketOf(identity, nowMs);
    if (takeTokens(bucket, this.limit, nowMs, count)) return 0;
    bucket.bucketTokens -= count;
    return tokensReadyInMs(bucket, this.limit, nowMs, 1);
  }

  /** For protocols that can say no: takes the tokens and returns 0, or takes none and returns when to try again. */
  take(identity: Identity, count: number, nowMs: number): number {
    const bucket = this.bucketOf(identity, nowMs);
    if (takeTokens(bucket, this.limit, nowMs, count)) return 0;
    return Math.max(1, tokensReadyInMs(bucket, this.limit, nowMs, Math.min(count, this.limit.burst)));
  }

  private bucketOf(identity: Identity, nowMs: number): TokenBucketState {
    const key = deviceKey(identity.tenant, identity.deviceId);
    let bucket = this.buckets.get(key);
    if (bucket === undefined) {
      if (this.buckets.size >= MAX_DEVICES) this.buckets.delete(this.buckets.keys().next().value!);
      bucket = { bucketTokens: 0, bucketMs: 0 };
      fillBucket(bucket, this.limit, nowMs);
      this.buckets.set(key, bucket);
    }
    return bucket;
  }
}
