/** Numbers for new channels: how fast one client may use them up, and what happens when they run out. */
import { MAX_CHANNEL_NUMBER } from "@myelin/contract";
import {
  type Clock,
  type ErrorCode,
  fillBucket,
  type TokenBucketLimit,
  takeTokens,
  tokensReadyInMs,
} from "@myelin/kernel";
import { ChannelTable } from "./channel-table.js";
import type { ChannelSource } from "./ingress.js";

/** What is left when the process is asked to end: minutes of the wildest traffic, while a stop takes seconds. */
const RESERVE = 2 ** 24;

/** `onScarce` is called once, when the numbers of this start come to an end: another start has new ones. */
export interface NewChannelOptions {
  readonly clock: Clock;
  /** New channels of one connection; undefined: no limit. */
  readonly rate: TokenBucketLimit | undefined;
  readonly onScarce: () => void;
  /** The first number; for tests. */
  readonly first?: number;
}

/** Numbers are never used twice: dispatchers know each of them by its first head until this process ends. */
export class NewChannels {
  private next: number;
  private scarce = false;

  constructor(private readonly options: NewChannelOptions) {
    this.next = options.first ?? 1;
  }

  /**
   * A number, or why there is none. A client that makes channels too fast is slowed down where its protocol can wait, else refused.
   * @param source who wants it; undefined for senders whose rate somebody else bounds
   */
  take(source: ChannelSource | undefined): number | ErrorCode {
    const { rate, onScarce } = this.options;
    if (source !== undefined && rate !== undefined && !this.pay(source.owner ?? source, rate))
      return "limit.rate";
    if (this.next > MAX_CHANNEL_NUMBER) return "queue.closed";
    if (!this.scarce && this.next > MAX_CHANNEL_NUMBER - RESERVE) {
      this.scarce = true;
      onScarce();
    }
    return this.next++;
  }

  private pay(payer: ChannelSource, rate: TokenBucketLimit): boolean {
    const nowMs = this.options.clock.nowMs();
    payer.channels ??= new ChannelTable(-1);
    const bucket = payer.channels;
    if (bucket.bucketMs < 0) fillBucket(bucket, rate, nowMs);
    if (takeTokens(bucket, rate, nowMs, 1)) return true;
    if (payer.slowDown === undefined) return false;
    bucket.bucketTokens -= 1;
    payer.slowDown(tokensReadyInMs(bucket, rate, nowMs, 1));
    return true;
  }
}
