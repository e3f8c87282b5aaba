/** Reads a batch in place: header once, envelopes by moving a cursor, fields only when asked for. */
import { AppError } from "@myelin/kernel";
import type { Kind, Lane, Protocol, Quality } from "../generated/myelin/envelope/v1/envelope.js";
import { Hop, Origin } from "../generated/myelin/envelope/v1/envelope.js";
import type { Head } from "./head.js";
import {
  FIELD,
  HEAD_TAG_LIMIT,
  MAX_BATCH_BYTES,
  MAX_FIELD,
  TAG_BATCH_ENVELOPE,
  TAG_BATCH_HOP,
  TAG_BATCH_ORIGIN,
  TAG_CHANNEL,
} from "./layout.js";
import { readFixed64 } from "./varint.js";

const EMPTY = Buffer.alloc(0);

function bad(what: string, at: number): AppError {
  return new AppError("contract.bad_envelope", `${what} at byte ${at} of a batch`, { details: { at } });
}

/**
 * A reusable cursor over one batch. `reset` takes bytes without copying them: they must not change while the view is used,
 * and what `payload()` returns points into them.
 */
export class BatchView {
  bytes: Buffer = EMPTY;
  producer = "";
  producerIncarnation = 0;
  /** The hop as decoded; its strings are the link's identity. */
  hop: Hop = Hop.create();
  /** Byte range of `Batch.origin` with its tag: copied as it is when the batch is passed on. */
  originStart = 0;
  originEnd = 0;
  /** Where the first envelope record starts. */
  envelopesStart = 0;
  /** The current record, tag and length included, and where its envelope starts. */
  recordStart = 0;
  recordEnd = 0;
  bodyStart = 0;
  /** Channel of the current envelope; 0 when it was not interned. */
  channel = 0;

  private scannedAt = -1;
  private readonly starts = new Int32Array(MAX_FIELD + 1);
  /** End of length-delimited fields; for numbers the value is decoded from `starts`. */
  private readonly ends = new Int32Array(MAX_FIELD + 1);

  get lane(): Lane {
    return this.hop.lane;
  }

  /**
   * Takes a batch: decodes its header and places the cursor before the first envelope.
   * @throws AppError `contract.bad_envelope` when the header is broken or missing
   */
  reset(data: Uint8Array): this {
    if (data.length > MAX_BATCH_BYTES) throw bad(`a batch of ${data.length} bytes is over the limit`, 0);
    const b = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.bytes = b;
    this.scannedAt = -1;
    this.channel = 0;
    let at = 0;
    let hop: Hop | undefined;
    this.originStart = this.originEnd = 0;
    this.producer = "";
    this.producerIncarnation = 0;
    while (at < b.length) {
      const tag = b[at]!;
      if (tag !== TAG_BATCH_ORIGIN && tag !== TAG_BATCH_HOP) break;
      const bodyStart = this.afterLength(at + 1, b.length);
      const end = this.lengthEnd;
      try {
        if (tag === TAG_BATCH_HOP) hop = Hop.decode(b.subarray(bodyStart, end));
        else {
          const origin = Origin.decode(b.subarray(bodyStart, end));
          this.producer = origin.producer;
          this.producerIncarnation = origin.incarnation;
          this.originStart = at;
          this.originEnd = end;
        }
      } catch (cause) {
        throw new AppError("contract.bad_envelope", "broken batch header", { cause });
      }
      at = end;
    }
    if (hop === undefined) throw bad("no hop header before the first envelope", at);
    this.hop = hop;
    this.envelopesStart = at;
    this.recordStart = this.recordEnd = this.bodyStart = at;
    return this;
  }

  /** Back to before the first envelope. */
  rewind(): void {
    this.recordStart = this.recordEnd = this.bodyStart = this.envelopesStart;
    this.scannedAt = -1;
  }

  /**
   * Moves to the next envelope; false at the end.
   * @throws AppError `contract.bad_envelope` for anything that is not an envelope record
   */
  next(): boolean {
    const b = this.bytes;
    let at = this.recordEnd;
    if (at >= b.length) return false;
    this.recordStart = at;
    if (b[at] !== TAG_BATCH_ENVELOPE) throw bad(`field tag ${b[at]} where an envelope should be`, at);
    let body = at + 1;
    let length = b[body++]!;
    if (length > 0x7f) {
      const second = b[body++]!;
      length = (length & 0x7f) | ((second & 0x7f) << 7);
      if (second > 0x7f) {
        body = this.afterLength(at + 1, b.length);
        length = this.lengthEnd - body;
      }
    }
    at = body + length;
    if (!(at <= b.length)) throw bad("an envelope is longer than its batch", this.recordStart);
    this.bodyStart = body;
    this.recordEnd = at;
    this.channel =
      length >= 5 && b[body] === TAG_CHANNEL
        ? (b[body + 1]! | (b[body + 2]! << 8) | (b[body + 3]! << 16) | (b[body + 4]! << 24)) >>> 0
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
    return this.uint(FIELD.kind) as Kind;
  }
  get protocol(): Protocol {
    return this.uint(FIELD.protocol) as Protocol;
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
    return this.uint(FIELD.quality) as Quality;
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
    return this.uint(FIELD.deviceSequence);
  }
  get replayed(): boolean {
    return this.uint(FIELD.replayed) !== 0;
  }
  get senderId(): boolean {
    return this.uint(FIELD.senderId) !== 0;
  }
  get retain(): boolean {
    return this.uint(FIELD.retain) !== 0;
  }
  get qos(): number {
    return this.uint(FIELD.qos);
  }
  get traceparent(): string {
    return this.string(FIELD.traceparent);
  }

  /** The payload as a view into the batch: valid as long as the batch's bytes are. */
  payload(): Buffer {
    return this.slice(FIELD.payload);
  }

  /** The 16 id bytes as a view into the batch; empty when there is none. */
  id(): Buffer {
    return this.slice(FIELD.id);
  }

  /** The whole envelope, without record tag and length: what the generated decoder takes. */
  envelopeBytes(): Buffer {
    return this.bytes.subarray(this.bodyStart, this.recordEnd);
  }

  /** Payload range within `bytes`, for readers that need no view: start, and end by `payloadEnd`. */
  get payloadStart(): number {
    this.scan();
    return this.starts[FIELD.payload]! === 0 ? this.bodyStart : this.starts[FIELD.payload]!;
  }
  get payloadEnd(): number {
    this.scan();
    return this.starts[FIELD.payload]! === 0 ? this.bodyStart : this.ends[FIELD.payload]!;
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

  /** Bytes of the head as they lie in the batch, for comparing heads of envelopes without a channel. */
  headBytes(): Buffer {
    const b = this.bytes;
    let at = this.channel === 0 && b[this.bodyStart] !== TAG_CHANNEL ? this.bodyStart : this.bodyStart + 5;
    const start = at;
    while (at < this.recordEnd && b[at]! < HEAD_TAG_LIMIT) at = this.skip(b[at]! & 7, at + 1);
    return b.subarray(start, at);
  }

  private string(field: number): string {
    this.scan();
    const start = this.starts[field]!;
    return start === 0 ? "" : this.bytes.toString("utf8", start, this.ends[field]!);
  }

  private slice(field: number): Buffer {
    this.scan();
    const start = this.starts[field]!;
    return start === 0 ? EMPTY : this.bytes.subarray(start, this.ends[field]!);
  }

  private fixed64(field: number): number {
    this.scan();
    const start = this.starts[field]!;
    return start === 0 ? 0 : readFixed64(this.bytes, start);
  }

  private uint(field: number): number {
    this.scan();
    let at = this.starts[field]!;
    if (at === 0) return 0;
    let value = 0;
    let scale = 1;
    let byte: number;
    do {
      byte = this.bytes[at++]!;
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte > 0x7f);
    return value;
  }

  /** Notes where each field of the current envelope lies. A repeated field keeps its last place, as Protobuf says. */
  private scan(): void {
    if (this.scannedAt === this.recordStart) return;
    const b = this.bytes;
    this.starts.fill(0);
    let at = this.bodyStart;
    while (at < this.recordEnd) {
      let tag = b[at++]!;
      if (tag > 0x7f) {
        const high = b[at++]!;
        tag = (tag & 0x7f) | ((high & 0x7f) << 7);
        if (high > 0x7f) throw bad("a field number over 2047", at);
      }
      const field = tag >>> 3;
      const wireType = tag & 7;
      if (field === 0) throw bad("field number 0", at);
      const end = this.skip(wireType, at);
      if (field <= MAX_FIELD && wireType === WIRE_TYPES[field]) {
        this.starts[field] = wireType === 2 ? this.skippedBody : at;
        this.ends[field] = end;
      }
      at = end;
    }
    this.scannedAt = this.recordStart;
  }

  private lengthEnd = 0;
  private skippedBody = 0;

  /** Reads a length at `at`; returns where its bytes start and leaves their end in `lengthEnd`. */
  private afterLength(start: number, limit: number): number {
    const b = this.bytes;
    let at = start;
    let length = 0;
    let scale = 1;
    let byte: number;
    do {
      if (at >= limit || scale > 0x1000_0000) throw bad("a broken length", start);
      byte = b[at++]!;
      length += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte > 0x7f);
    if (at + length > limit) throw bad(`a length of ${length} that runs over the end`, start);
    this.lengthEnd = at + length;
    return at;
  }

  /** Returns the offset behind the value at `at`. */
  private skip(wireType: number, at: number): number {
    let end: number;
    if (wireType === 2) {
      this.skippedBody = this.afterLength(at, this.recordEnd);
      return this.lengthEnd;
    }
    if (wireType === 1) end = at + 8;
    else if (wireType === 5) end = at + 4;
    else if (wireType === 0) {
      end = at;
      while (end < this.recordEnd && this.bytes[end]! > 0x7f) end++;
      end++;
      if (end - at > 10) throw bad("a varint of over ten bytes", at);
    } else throw bad(`wire type ${wireType}`, at);
    if (end > this.recordEnd) throw bad("a field that runs over the end of its envelope", at);
    return end;
  }
}

/** The wire type each field must have; another is skipped as unknown, as generated decoders do. */
const WIRE_TYPES = wireTypes();

function wireTypes(): Uint8Array {
  const types = new Uint8Array(MAX_FIELD + 1).fill(2);
  types[FIELD.channel] = 5;
  for (const f of [FIELD.sourceTimeUs, FIELD.ingestTimeUs, FIELD.expiresAtUs]) types[f] = 1;
  for (const f of [
    FIELD.kind,
    FIELD.protocol,
    FIELD.deviceSequence,
    FIELD.quality,
    FIELD.replayed,
    FIELD.schemaVersion,
    FIELD.senderId,
    FIELD.retain,
    FIELD.qos,
  ]) {
    types[f] = 0;
  }
  return types;
}

/** Lowest count of envelopes a batch of these bytes can hold more than: used to check `Hop.count` on receipt. */
export function countEnvelopes(view: BatchView): number {
  let count = 0;
  view.rewind();
  while (view.next()) count++;
  view.rewind();
  return count;
}
