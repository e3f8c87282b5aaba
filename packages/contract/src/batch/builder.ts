/** Appends envelopes to a batch without an object per message; the producer's half of the hot path. */
import { AppError } from "@myelin/kernel";
import type { Channel } from "./channel.js";
import { type EnvelopeExtras, extrasFlags, extrasSize, writeExtras } from "./extras.js";
import { encodeOrigin, HopHeader, type LinkIdentity } from "./header.js";
import { ID_BYTES, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES, TAG_BATCH_ENVELOPE } from "./layout.js";
import type { Stamp } from "./stamp.js";
import { varintSize, writeVarint } from "./varint.js";

const FIRST_CAPACITY = 16 * 1024;

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
  private buffer: Buffer;
  private readonly hop: HopHeader;
  private readonly hopOffset: number;
  private readonly headerSize: number;
  private readonly stamp: Stamp;

  constructor(link: LinkIdentity, stamp: Stamp) {
    const origin = encodeOrigin(link.sender, link.incarnation);
    this.hop = new HopHeader(link);
    this.hopOffset = origin.length;
    this.headerSize = origin.length + this.hop.bytes.length;
    this.buffer = Buffer.allocUnsafeSlow(FIRST_CAPACITY);
    origin.copy(this.buffer);
    this.hop.bytes.copy(this.buffer, origin.length);
    this.size = this.headerSize;
    this.stamp = stamp;
  }

  /**
   * Appends one message of `channel` with the payload `source[start, end)`; time and id come from the stamp.
   * The hot path: allocates nothing unless the buffer grows.
   * @throws AppError `contract.frame_too_large` for payloads over MAX_PAYLOAD_BYTES and when the batch would exceed MAX_BATCH_BYTES
   */
  append(channel: Channel, source: Uint8Array, start: number, end: number): void {
    this.write(channel, source, start, end, 0);
  }

  /** As `append`, with fields that few messages carry. `extras.id`, where given, replaces the generated id. */
  appendWith(channel: Channel, source: Uint8Array, start: number, end: number, extras: EnvelopeExtras): void {
    const bytes = extrasSize(extras);
    const idAt = this.write(channel, source, start, end, bytes);
    if (extras.id !== undefined) this.buffer.set(extras.id.subarray(0, ID_BYTES), idAt);
    if (bytes > 0) writeExtras(this.buffer, this.size - bytes, extras);
    this.flags |= extrasFlags(extras);
  }

  /** Closes the batch: returns a copy of its bytes and begins the next one. Undefined when nothing was appended. */
  finish(): Buffer | undefined {
    if (this.count === 0) return undefined;
    this.hop.patch(this.buffer, this.hopOffset, {
      sequence: this.sequence,
      firstOrdinal: this.ordinal,
      count: this.count,
      flags: this.flags,
      epoch: this.epoch,
    });
    const out = Buffer.allocUnsafeSlow(this.size);
    this.buffer.copy(out, 0, 0, this.size);
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
    return count;
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
    if (need > this.buffer.length) this.grow(need, payload);
    const b = this.buffer;
    let at = this.size;
    b[at++] = TAG_BATCH_ENVELOPE;
    at = writeVarint(b, at, envelope);
    b.set(prefix, at);
    const { idHead, timeBytes } = this.stamp;
    const id = at + channel.idOffset;
    b[id] = idHead[0]!;
    b[id + 1] = idHead[1]!;
    b[id + 2] = idHead[2]!;
    b[id + 3] = idHead[3]!;
    b[id + 4] = idHead[4]!;
    b[id + 5] = idHead[5]!;
    b[id + 6] = idHead[6]!;
    b[id + 7] = idHead[7]!;
    b[id + 8] = idHead[8]!;
    b[id + 9] = idHead[9]!;
    b[id + 10] = idHead[10]!;
    b[id + 11] = idHead[11]!;
    const counter = this.stamp.counter;
    this.stamp.counter = counter === 0xffff_ffff ? 0 : counter + 1;
    b[id + 12] = counter >>> 24;
    b[id + 13] = counter >>> 16;
    b[id + 14] = counter >>> 8;
    b[id + 15] = counter;
    const time = at + channel.timeOffset;
    b[time] = timeBytes[0]!;
    b[time + 1] = timeBytes[1]!;
    b[time + 2] = timeBytes[2]!;
    b[time + 3] = timeBytes[3]!;
    b[time + 4] = timeBytes[4]!;
    b[time + 5] = timeBytes[5]!;
    b[time + 6] = timeBytes[6]!;
    b[time + 7] = timeBytes[7]!;
    at = writeVarint(b, at + prefix.length, payload);
    copyBytes(b, at, source, start, end);
    this.size = at + payload + extraBytes;
    this.count += 1;
    return id;
  }

  private grow(need: number, payload: number): void {
    if (payload > MAX_PAYLOAD_BYTES || need > MAX_BATCH_BYTES) {
      throw new AppError(
        "contract.frame_too_large",
        `payload of ${payload} bytes does not fit a batch: a payload may have ${MAX_PAYLOAD_BYTES} bytes, a batch ${MAX_BATCH_BYTES}`,
        { details: { payload, need } },
      );
    }
    const next = Buffer.allocUnsafeSlow(Math.min(MAX_BATCH_BYTES, Math.max(need, this.buffer.length * 2)));
    this.buffer.copy(next, 0, 0, this.size);
    this.buffer = next;
  }
}

/** Short copies are faster in a loop than through the native call. */
const LOOP_COPY_BYTES = 48;

function copyBytes(target: Buffer, at: number, source: Uint8Array, start: number, end: number): void {
  if (end - start <= LOOP_COPY_BYTES) {
    for (let i = start, o = at; i < end; i++, o++) target[o] = source[i]!;
  } else {
    target.set(source.subarray(start, end), at);
  }
}
