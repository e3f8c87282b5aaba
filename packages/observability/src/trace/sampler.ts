/** Decides at ingress which messages are traced, for the price of an addition. */
import { AppError, type Clock, TokenBucket } from "@myelin/kernel";

/** `ratio` of 0 traces nothing, 1 everything, as far as `maxPerSecond` allows. */
export interface SamplerOptions {
  readonly ratio: number;
  readonly maxPerSecond: number;
  readonly clock: Clock;
}

/** Spreads samples evenly instead of drawing lots: the ratio is kept exactly and no random number is needed. */
export class Sampler {
  readonly #ratio: number;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  #credit = 0;

  constructor(options: SamplerOptions) {
    if (!(options.ratio >= 0 && options.ratio <= 1)) {
      throw new AppError(
        "internal.invalid_argument",
        `a sampling ratio is within 0 and 1, not ${options.ratio}`,
      );
    }
    this.#ratio = options.ratio;
    this.#clock = options.clock;
    const burst = Math.max(1, options.maxPerSecond);
    this.#bucket = new TokenBucket({ perSecond: options.maxPerSecond, burst }, options.clock.nowMs());
  }

  /** Asked once per message that brings no trace context of its own. */
  sample(): boolean {
    if (this.#ratio === 0) return false;
    this.#credit += this.#ratio;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return this.admit();
  }

  /** For a message whose sender wants it traced: only the limit per second counts, so a stranger cannot flood us. */
  admit(): boolean {
    return this.#bucket.take(this.#clock.nowMs());
  }
}
