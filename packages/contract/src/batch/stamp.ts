/** Time and id of new envelopes: computed once per event-loop turn, stored as whole words per message. */

/**
 * Makes the ids of one producer: 48 bits of Unix milliseconds, 48 random bits per producer start, a 32-bit counter.
 * The counter starts at random and wraps; 2^32 messages within one millisecond would be needed for a double.
 * The words are signed, so that they stay small integers in the engine.
 */
export class Stamp {
  /** The first 12 bytes of an id, as big-endian words. */
  idWord0 = 0;
  idWord1 = 0;
  readonly idWord2: number;
  /** The last 4 bytes of the next id. */
  counter: number;
  /** `Envelope.ingest_time_us`, as little-endian words. */
  timeLow = 0;
  timeHigh = 0;

  private readonly random: number;

  /**
   * The first six bytes of `random` become the producer's part of its ids, the other four the first counter.
   * @param random 10 bytes of a cryptographic source
   */
  constructor(random: Uint8Array) {
    const r = (at: number): number => random[at] ?? 0;
    this.random = (r(0) << 8) | r(1);
    this.idWord2 = (r(2) << 24) | (r(3) << 16) | (r(4) << 8) | r(5);
    this.counter = (r(6) << 24) | (r(7) << 16) | (r(8) << 8) | r(9);
  }

  /**
   * Sets the time for the messages that follow.
   * @param nowUs microseconds since the Unix epoch
   */
  tick(nowUs: number): void {
    this.timeLow = nowUs | 0;
    this.timeHigh = Math.floor(nowUs / 0x1_0000_0000) | 0;
    const ms = Math.floor(nowUs / 1000);
    this.idWord0 = Math.floor(ms / 0x1_0000) | 0;
    this.idWord1 = ((ms & 0xffff) << 16) | this.random;
  }
}
