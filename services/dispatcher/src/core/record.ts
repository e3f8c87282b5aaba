/** Envelope records outside the hot path: tag, length and an envelope that was encoded whole. */

const TAG_ENVELOPE = 0x1a;

/** Wraps an encoded envelope as one record of `Batch.envelopes`; the bytes are copied. */
export function writeEnvelopeRecord(envelope: Uint8Array): Buffer {
  const head: number[] = [TAG_ENVELOPE];
  let rest = envelope.length;
  while (rest > 0x7f) {
    head.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  head.push(rest);
  return Buffer.concat([Buffer.from(head), envelope]);
}
