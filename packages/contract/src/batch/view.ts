/** Reads a batch in place: header once, envelopes by moving a cursor, fields only when asked for. */
import type { Kind, Lane, Protocol, Quality } from "../generated/myelin/envelope/v1/envelope.js";
import { Hop, Origin } from "../generated/myelin/envelope/v1/envelope.js";
import { strictDecode } from "../wire/strict-decode.js";
import { EnvelopeView } from "./envelope-view.js";
import { encodeHead, type Head } from "./head.js";
import {
  FIELD,
  HEAD_TAG_LIMIT,
  MAX_BATCH_BYTES,
  TAG_BATCH_ENVELOPE,
  TAG_BATCH_HOP,
  TAG_BATCH_ORIGIN,
  TAG_CHANNEL,
} from "./layout.js";
import { badEnvelope, lengthEnd, skipValue, varintEnd } from "./scan.js";
import { readVarint32 } from "./varint.js";

const NO_HOP = Hop.create();

/**
 * A reusable cursor over one batch. `reset` takes bytes without copying them: they must not change while the view is used,
 * and what `payload()` returns points into them.
 */
export class BatchView extends EnvelopeView {
  producer = "";
  producerIncarnation = 0;
  /** The hop as decoded; its strings are the link's identity. */
  hop: Hop = NO_HOP;
  /** Byte range of `Batch.origin` with its tag: copied as it is when the batch is passed on. */
  originStart = 0;
  originEnd = 0;
  /** Where the first envelope record starts. */
  envelopesStart = 0;
  /** The current record starts here, with tag and length; `recordEnd` is where its envelope ends. */
  recordStart = 0;
  /** Channel of the current envelope; 0 when it was not interned, and in a batch without origin, which has no scope for numbers. */
  channel = 0;

  private channelMask = 0;

  get lane(): Lane {
    return this.hop.lane;
  }

  /**
   * Takes a batch: decodes its header and places the cursor before the first envelope.
   * @throws AppError `contract.bad_envelope` when the header is broken, missing, or not in front
   */
  reset(data: Uint8Array): this {
    if (data.length > MAX_BATCH_BYTES)
      throw badEnvelope(`a batch of ${data.length} bytes, which is too long`, 0);
    const b = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.bytes = b;
    this.forgetHeader();
    let at = 0;
    while (at < b.length) {
      const tag = b[at]!;
      if (tag !== TAG_BATCH_ORIGIN && tag !== TAG_BATCH_HOP) break;
      const body = varintEnd(b, at + 1, b.length);
      const end = lengthEnd(b, at + 1, body, b.length);
      if (tag === TAG_BATCH_HOP) this.hop = decodeHeader(Hop, b.subarray(body, end), at);
      else this.takeOrigin(at, body, end);
      at = end;
    }
    if (this.hop === NO_HOP) throw badEnvelope("no hop before the first envelope", at);
    this.envelopesStart = at;
    this.rewind();
    return this;
  }

  /** Back to before the first envelope. */
  rewind(): void {
    this.recordStart = this.bodyStart = this.recordEnd = this.envelopesStart;
    this.channel = 0;
    this.scanned = false;
  }

  /**
   * Moves to the next envelope; false at the end. Fields of the batch that this version does not know are passed over.
   * @throws AppError `contract.bad_envelope` for bytes that are no field, for an envelope cut short, and for a second header
   */
  next(): boolean {
    const b = this.bytes;
    let at = this.recordEnd;
    if (at >= b.length) return false;
    if (b[at] !== TAG_BATCH_ENVELOPE) {
      at = this.skipUnknown(at);
      if (at >= b.length) return false;
    }
    let body = at + 1;
    let length = b[body++]!;
    if (length > 0x7f) {
      const second = b[body++]!;
      length = (length & 0x7f) | ((second & 0x7f) << 7);
      if (second > 0x7f) {
        body = varintEnd(b, at + 1, b.length);
        length = lengthEnd(b, at + 1, body, b.length) - body;
      }
    }
    const end = body + length;
    // Written this way round because `end` is NaN when the length was cut off.
    if (!(end <= b.length)) throw badEnvelope("an envelope that is longer than its batch", at);
    this.recordStart = at;
    this.bodyStart = body;
    this.recordEnd = end;
    this.scanned = false;
    this.channel =
      length >= 5 && b[body] === TAG_CHANNEL
        ? ((b[body + 1]! | (b[body + 2]! << 8) | (b[body + 3]! << 16) | (b[body + 4]! << 24)) &
            this.channelMask) >>>
          0
        : 0;
    return true;
  }

  get tenant(): string {
    return this.string(FIELD.tenant);
  }
  get deviceId(): string {
    return this.string(FIELD.deviceId);
  }
  get path(): string {
    return this.string(FIELD.path);
  }
  get kind(): Kind {
    return this.enum(FIELD.kind) as Kind;
  }
  get protocol(): Protocol {
    return this.enum(FIELD.protocol) as Protocol;
  }
  get contentType(): string {
    return this.string(FIELD.contentType);
  }
  get port(): string {
    return this.string(FIELD.port);
  }
  get profile(): string {
    return this.string(FIELD.profile);
  }
  get quality(): Quality {
    return this.enum(FIELD.quality) as Quality;
  }
  get qualityReason(): string {
    return this.string(FIELD.qualityReason);
  }
  get sourceTimeUs(): number {
    return this.fixed64(FIELD.sourceTimeUs);
  }
  get ingestTimeUs(): number {
    return this.fixed64(FIELD.ingestTimeUs);
  }
  get expiresAtUs(): number {
    return this.fixed64(FIELD.expiresAtUs);
  }
  get deviceSequence(): number {
    return this.uint64(FIELD.deviceSequence);
  }
  get replayed(): boolean {
    return this.bool(FIELD.replayed);
  }
  get senderId(): boolean {
    return this.bool(FIELD.senderId);
  }
  get retain(): boolean {
    return this.bool(FIELD.retain);
  }
  get qos(): number {
    return this.uint32(FIELD.qos);
  }
  get schemaVersion(): number {
    return this.uint32(FIELD.schemaVersion);
  }
  get traceparent(): string {
    return this.string(FIELD.traceparent);
  }
  get tracestate(): string {
    return this.string(FIELD.tracestate);
  }
  /** Their names and values are for whoever decodes the envelope. */
  get hasHeaders(): boolean {
    return this.has(FIELD.headers);
  }
  get payloadIsText(): boolean {
    return this.bool(FIELD.payloadIsText);
  }
  get responsePath(): string {
    return this.string(FIELD.responsePath);
  }

  /** The payload as a view into the batch: valid as long as the batch's bytes are. */
  payload(): Buffer {
    return this.slice(FIELD.payload);
  }

  /** The 16 id bytes as a view into the batch; empty when there is none. */
  id(): Buffer {
    return this.slice(FIELD.id);
  }

  /** As `payload`, for the correlation data of a request. */
  correlation(): Buffer {
    return this.slice(FIELD.correlation);
  }

  /** The whole envelope, without record tag and length: what the generated decoder takes. */
  envelopeBytes(): Buffer {
    return this.bytes.subarray(this.bodyStart, this.recordEnd);
  }

  /** Where the payload starts within `bytes`; it ends at `payloadEnd`. For readers that need no view. */
  get payloadStart(): number {
    return this.startOf(FIELD.payload);
  }
  get payloadEnd(): number {
    return this.endOf(FIELD.payload);
  }

  /** Decodes the whole head. Allocates; meant for once per channel. */
  head(): Head {
    return {
      tenant: this.tenant,
      deviceId: this.deviceId,
      path: this.path,
      kind: this.kind,
      protocol: this.protocol,
      contentType: this.contentType,
      port: this.port,
      profile: this.profile,
    };
  }

  /**
   * Bytes that are different for different heads, for envelopes without a channel: the head as it lies in the batch, or, where
   * its fields are not together in front, the head encoded anew.
   */
  headBytes(): Buffer {
    if (this.headScattered()) return encodeHead(this.head());
    const b = this.bytes;
    let at = this.bodyStart;
    if (at < this.recordEnd && b[at] === TAG_CHANNEL) at += 5;
    const start = at;
    while (at < this.recordEnd && b[at]! < HEAD_TAG_LIMIT) {
      at = skipValue(b, b[at]! & 7, at + 1, this.recordEnd);
    }
    return b.subarray(start, at);
  }

  private forgetHeader(): void {
    this.hop = NO_HOP;
    this.originStart = this.originEnd = 0;
    this.producer = "";
    this.producerIncarnation = 0;
    this.channelMask = 0;
    this.envelopesStart = this.bytes.length;
    this.rewind();
  }

  private takeOrigin(start: number, body: number, end: number): void {
    const origin = decodeHeader(Origin, this.bytes.subarray(body, end), start);
    this.producer = origin.producer;
    this.producerIncarnation = origin.incarnation;
    this.originStart = start;
    this.originEnd = end;
    this.channelMask = -1;
  }

  /** Passes over unknown fields of the batch; returns where the next envelope starts, or the end. */
  private skipUnknown(from: number): number {
    const b = this.bytes;
    let at = from;
    while (at < b.length && b[at] !== TAG_BATCH_ENVELOPE) {
      const value = varintEnd(b, at, b.length);
      const tag = readVarint32(b, at);
      if (tag >>> 3 <= 3) throw badEnvelope(`field ${tag >>> 3} where an envelope should be`, at);
      at = skipValue(b, tag & 7, value, b.length);
    }
    this.recordStart = this.bodyStart = this.recordEnd = at;
    this.scanned = false;
    return at;
  }
}

function decodeHeader<T>(codec: { decode(bytes: Uint8Array): T }, bytes: Buffer, at: number): T {
  try {
    return strictDecode(codec, bytes);
  } catch (cause) {
    throw badEnvelope("a broken header", at, cause);
  }
}

/**
 * Counts the envelopes of a batch by walking over them; leaves the view rewound.
 * @throws AppError `contract.bad_envelope`
 */
export function countEnvelopes(view: BatchView): number {
  let count = 0;
  view.rewind();
  while (view.next()) count++;
  view.rewind();
  return count;
}

/**
 * Makes sure that the hop tells the truth about its envelopes, on which the ledger of the next hop relies.
 * @throws AppError `contract.bad_envelope` when `Hop.count` is not the number of envelopes in the batch
 */
export function checkEnvelopeCount(view: BatchView): void {
  const count = countEnvelopes(view);
  if (count !== view.hop.count) {
    throw badEnvelope(`a hop that counts ${view.hop.count} envelopes where there are ${count}`, 0);
  }
}
