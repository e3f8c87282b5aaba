/** Appends envelopes to a batch without an object per message; the producer's half of the hot path. */
import { AppError } from "@myelin/kernel";
import type { Channel } from "./channel.js";
import { type EnvelopeExtras, extrasFlags, extrasSize, writeExtras } from "./extras.js";
import { encodeOrigin, HopHeader, type LinkIdentity } from "./header.js";
import { MAX_BUILT_BATCH_BYTES, MAX_PAYLOAD_BYTES, TAG_BATCH_ENVELOPE } from "./layout.js";
import type { Stamp } from "./stamp.js";
import { varintSize, writeVarint } from "./varint.js";

const FIRST_CAPACITY = 16 * 1024;
// What a builder keeps between batches. A larger buffer goes away with the batch that needed it.
const KEPT_CAPACITY = 256 * 1024;
const NO_SOURCE = new Uint8Array(0);
const NO_WORDS: DataView = new DataView(NO_SOURCE.buffer);
// Tag and length of the record, length of the payload.
const MAX_RECORD_OVERHEAD = 1 + 5 + 5;

/**
 * Builds the batches of one link. Not shared between links: sequence and ordinals are the link's.
 * Payload bytes are copied on append; nothing of the arguments is kept.
 */
export class BatchBuilder {
  /** Envelopes appended since the last `finish`. */
  count = 0;
  /** Bytes of the batch so far, header included. */
  size: number;
  /** Epoch written into the next batch; producers before the owner leave it 0. */
  epoch = 0;
  /** Number of the next batch and count of envelopes before it. */
  sequence = 1;
  ordinal = 0;

  private flags = 0;
  private buffer: Buffer = Buffer.alloc(0);
  private words = NO_WORDS;
  /** The last source and its words: one input chunk mostly holds many messages. Let go with the batch. */
  private source: Uint8Array = NO_SOURCE;
  private sourceWords = NO_WORDS;
  private readonly origin: Buffer;
  private readonly hop: HopHeader;
  private readonly headerSize: number;
  private readonly stamp: Stamp;

  constructor(link: LinkIdentity, stamp: Stamp) {
    this.origin = encodeOrigin(link.sender, link.incarnation);
    this.hop = new HopHeader(link);
    this.headerSize = this.origin.length + this.hop.bytes.length;
    this.size = this.headerSize;
    this.stamp = stamp;
    this.begin();
  }

  /** True when `append` would take a payload of so many bytes now; false: finish the batch first, then ask again. */
  fits(channel: Channel, payloadBytes: number, extraBytes = 0): boolean {
    const record = channel.prefix.length + payloadBytes + extraBytes + MAX_RECORD_OVERHEAD;
    return payloadBytes <= MAX_PAYLOAD_BYTES && this.size + record <= MAX_BUILT_BATCH_BYTES;
  }

  /**
   * Appends one message of `channel` with the payload `source[start, end)`; time and id come from the stamp.
   * The hot path: allocates nothing unless the buffer grows.
   * @throws AppError `contract.frame_too_large` for payloads over MAX_PAYLOAD_BYTES and when the batch is too full for it (see
   * `fits`); nothing was appended then
   */
  append(channel: Channel, source: Uint8Array, start: number, end: number): void {
    this.write(channel, source, start, end, 0);
  }

  /**
   * As `append`, with fields that few messages carry. `extras.id`, where given, replaces the generated id.
   * @throws AppError as `append`, and `contract.bad_envelope` for extras that the wire cannot carry
   */
  appendWith(channel: Channel, source: Uint8Array, start: number, end: number, extras: EnvelopeExtras): void {
    const bytes = extrasSize(extras);
    const idAt = this.write(channel, source, start, end, bytes);
    if (extras.id !== undefined) this.buffer.set(extras.id, idAt);
    if (bytes > 0) writeExtras(this.buffer, this.size - bytes, extras);
    this.flags |= extrasFlags(extras);
  }

  /** Closes the batch: returns its bytes, the caller's to keep, and begins the next one. Undefined when nothing was appended. */
  finish(): Buffer | undefined {
    if (this.count === 0) return undefined;
    this.hop.patch(this.buffer, this.origin.length, {
      sequence: this.sequence,
      firstOrdinal: this.ordinal,
      count: this.count,
      flags: this.flags,
      epoch: this.epoch,
    });
    const out = this.takeBytes();
    this.sequence += 1;
    this.ordinal += this.count;
    this.discard();
    return out;
  }

  /** Forgets what was appended since the last `finish`; sequence and ordinal stay. Returns how many envelopes that were. */
  discard(): number {
    const count = this.count;
    this.count = 0;
    this.flags = 0;
    this.size = this.headerSize;
    this.source = NO_SOURCE;
    this.sourceWords = NO_WORDS;
    if (this.buffer.length > KEPT_CAPACITY) this.begin();
    return count;
  }

  private takeBytes(): Buffer {
    const whole = this.buffer;
    // `discard` takes a fresh one then.
    if (whole.length > KEPT_CAPACITY) return whole.subarray(0, this.size);
    const out = Buffer.allocUnsafeSlow(this.size);
    whole.copy(out, 0, 0, this.size);
    return out;
  }

  /** Takes a fresh buffer and writes the header into it. */
  private begin(): void {
    this.use(Buffer.allocUnsafeSlow(Math.max(FIRST_CAPACITY, this.headerSize)));
    this.origin.copy(this.buffer);
    this.hop.bytes.copy(this.buffer, this.origin.length);
  }

  /** Writes the record, leaving `extraBytes` free at its end; returns the offset of the id. */
  private write(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    extraBytes: number,
  ): number {
    const payload = end - start;
    const prefix = channel.prefix;
    const envelope = prefix.length + varintSize(payload) + payload + extraBytes;
    const need = this.size + 1 + varintSize(envelope) + envelope;
    if (need > this.buffer.length || payload > MAX_PAYLOAD_BYTES) this.grow(need, payload);
    const b = this.buffer;
    const words = this.words;
    const stamp = this.stamp;
    let at = this.size;
    b[at++] = TAG_BATCH_ENVELOPE;
    at = writeVarint(b, at, envelope);
    b.set(prefix, at);
    const id = at + channel.idOffset;
    words.setInt32(id, stamp.idWord0);
    words.setInt32(id + 4, stamp.idWord1);
    words.setInt32(id + 8, stamp.idWord2);
    words.setInt32(id + 12, stamp.counter);
    stamp.counter = (stamp.counter + 1) | 0;
    const time = at + channel.timeOffset;
    words.setInt32(time, stamp.timeLow, true);
    words.setInt32(time + 4, stamp.timeHigh, true);
    at = writeVarint(b, at + prefix.length, payload);
    this.copy(at, source, start, end);
    this.size = at + payload + extraBytes;
    this.count += 1;
    this.flags |= channel.flags;
    return id;
  }

  /** Eight bytes at a time, or one native call: never a sub-array, which would be garbage per message. */
  private copy(offset: number, source: Uint8Array, start: number, end: number): void {
    if (end - start > WORD_COPY_BYTES) {
      nativeCopy.call(source as Buffer, this.buffer, offset, start, end);
      return;
    }
    if (source !== this.source) {
      this.source = source;
      this.sourceWords = new DataView(source.buffer, source.byteOffset, source.byteLength);
    }
    const from = this.sourceWords;
    const words = this.words;
    let at = start;
    let to = offset;
    for (const last = end - 8; at <= last; at += 8, to += 8) {
      words.setBigInt64(to, from.getBigInt64(at, true), true);
    }
    const b = this.buffer;
    for (; at < end; at++, to++) b[to] = source[at]!;
  }

  private grow(need: number, payload: number): void {
    if (payload > MAX_PAYLOAD_BYTES || need > MAX_BUILT_BATCH_BYTES) {
      throw new AppError(
        "contract.frame_too_large",
        `payload of ${payload} bytes does not fit: a payload may have ${MAX_PAYLOAD_BYTES} bytes, a batch ${MAX_BUILT_BATCH_BYTES}`,
        { details: { payload, need } },
      );
    }
    const next = Buffer.allocUnsafeSlow(
      Math.min(MAX_BUILT_BATCH_BYTES, Math.max(need, this.buffer.length * 2)),
    );
    this.buffer.copy(next, 0, 0, this.size);
    this.use(next);
  }

  private use(buffer: Buffer): void {
    this.buffer = buffer;
    this.words = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }
}

/** Longer payloads are faster through one native call. */
const WORD_COPY_BYTES = 96;

// Works on every Uint8Array.
const nativeCopy = Buffer.prototype.copy;
