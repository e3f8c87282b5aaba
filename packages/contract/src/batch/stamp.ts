/** Time and id bytes of new envelopes, computed once per event-loop turn and stored byte by byte per message. */

/**
 * Makes the ids of one producer: 48 bits of Unix milliseconds, 48 random bits per producer start, a 32-bit counter.
 * The counter starts at random and wraps; 2^32 messages within one millisecond would be needed for a double.
 */
export class Stamp {
  /** Little-endian microseconds, as `Envelope.ingest_time_us` carries them. */
  readonly timeBytes = new Uint8Array(8);
  /** Big-endian milliseconds and the random part: the first 12 bytes of an id. */
  readonly idHead = new Uint8Array(12);
  counter: number;

  /** @param random 10 bytes of a cryptographic source; the first six become the producer's part, the rest the counter. */
  constructor(random: Uint8Array) {
    this.idHead.set(random.subarray(0, 6), 6);
    this.counter =
      (((random[6]! << 24) | (random[7]! << 16) | (random[8]! << 8) | random[9]!) >>> 0) % 0xffff_ffff;
  }

  /** Sets the time for the messages that follow. @param nowUs microseconds since the Unix epoch */
  tick(nowUs: number): void {
    const low = nowUs >>> 0;
    const high = Math.floor(nowUs / 0x1_0000_0000) >>> 0;
    const t = this.timeBytes;
    t[0] = low;
    t[1] = low >>> 8;
    t[2] = low >>> 16;
    t[3] = low >>> 24;
    t[4] = high;
    t[5] = high >>> 8;
    t[6] = high >>> 16;
    t[7] = high >>> 24;
    const ms = Math.floor(nowUs / 1000);
    const msHigh = Math.floor(ms / 0x1_0000_0000);
    const h = this.idHead;
    h[0] = msHigh >>> 8;
    h[1] = msHigh;
    h[2] = ms >>> 24;
    h[3] = ms >>> 16;
    h[4] = ms >>> 8;
    h[5] = ms;
  }
}
