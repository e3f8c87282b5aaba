/** Where the fields of one envelope lie: found by one walk, the first time one of them is asked for. */
import { FIELD, MAX_FIELD } from "./layout.js";
import { badEnvelope, lengthEnd, skipValue, varintEnd } from "./scan.js";
import { readFixed64, readVarint32, readVarint64 } from "./varint.js";

const EMPTY = Buffer.alloc(0);

/** The wire type each field must have; a field with another one is skipped as unknown, as generated decoders do. */
const WIRE_TYPES = wireTypes();

/** Reads the fields of the envelope in `[bodyStart, recordEnd)` of `bytes`; subclasses move it from one to the next. */
export class EnvelopeView {
  bytes: Buffer = EMPTY;
  bodyStart = 0;
  recordEnd = 0;

  /** False after every move: the positions are those of another envelope. */
  protected scanned = false;

  private readonly starts = new Int32Array(MAX_FIELD + 1);
  private readonly ends = new Int32Array(MAX_FIELD + 1);
  // Which fields are there, in place of clearing the positions: fields 0 to 31, and those from 32 on.
  private present = 0;
  private presentHigh = 0;
  private scattered = false;

  protected string(field: number): string {
    return this.has(field) ? this.bytes.toString("utf8", this.starts[field]!, this.ends[field]!) : "";
  }

  protected slice(field: number): Buffer {
    return this.has(field) ? this.bytes.subarray(this.starts[field]!, this.ends[field]!) : EMPTY;
  }

  /** Start and end of a field that is not there are both the envelope's start. */
  protected startOf(field: number): number {
    return this.has(field) ? this.starts[field]! : this.bodyStart;
  }

  protected endOf(field: number): number {
    return this.has(field) ? this.ends[field]! : this.bodyStart;
  }

  protected fixed64(field: number): number {
    return this.has(field) ? this.safe(readFixed64(this.bytes, this.starts[field]!), field) : 0;
  }

  protected uint64(field: number): number {
    return this.has(field) ? this.safe(readVarint64(this.bytes, this.starts[field]!), field) : 0;
  }

  protected uint32(field: number): number {
    return this.has(field) ? readVarint32(this.bytes, this.starts[field]!) : 0;
  }

  protected enum(field: number): number {
    return this.uint32(field) | 0;
  }

  protected bool(field: number): boolean {
    return this.has(field) && readVarint64(this.bytes, this.starts[field]!) !== 0;
  }

  /** True when a field of the head follows one that is not of the head. */
  protected headScattered(): boolean {
    this.scan();
    return this.scattered;
  }

  protected has(field: number): boolean {
    this.scan();
    return ((field < 32 ? this.present >>> field : this.presentHigh >>> (field - 32)) & 1) !== 0;
  }

  private safe(value: number, field: number): number {
    if (value > Number.MAX_SAFE_INTEGER)
      throw badEnvelope(`a number over 2^53 in field ${field}`, this.bodyStart);
    return value;
  }

  /** Notes where each field lies. A repeated field keeps its last place, as Protobuf says. */
  private scan(): void {
    if (this.scanned) return;
    const b = this.bytes;
    const limit = this.recordEnd;
    const { starts, ends } = this;
    let present = 0;
    let presentHigh = 0;
    let scattered = false;
    let bodySeen = false;
    let at = this.bodyStart;
    while (at < limit) {
      const from = at;
      let tag = b[at++]!;
      if (tag > 0x7f) {
        const high = b[at]!;
        if (high <= 0x7f && at < limit) {
          tag = (tag & 0x7f) | (high << 7);
          at++;
        } else {
          at = varintEnd(b, from, limit);
          tag = readVarint32(b, from);
        }
      }
      const field = tag >>> 3;
      const wireType = tag & 7;
      if (field === 0) throw badEnvelope("field number 0", from);
      let start = at;
      if (wireType === 2) {
        const length = b[at]!;
        if (length <= 0x7f && at < limit) {
          start = at + 1;
          at = start + length;
          if (at > limit) throw badEnvelope("a field that runs over the end", from);
        } else {
          start = varintEnd(b, at, limit);
          at = lengthEnd(b, at, start, limit);
        }
      } else at = skipValue(b, wireType, at, limit);
      if (field > MAX_FIELD || wireType !== WIRE_TYPES[field]) continue;
      starts[field] = start;
      ends[field] = at;
      if (field >= 32) presentHigh |= 1 << (field - 32);
      else present |= 1 << field;
      if (field >= FIELD.id) bodySeen = true;
      else if (bodySeen && field !== FIELD.channel) scattered = true;
    }
    this.present = present;
    this.presentHigh = presentHigh;
    this.scattered = scattered;
    this.scanned = true;
  }
}

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
    FIELD.payloadIsText,
  ]) {
    types[f] = 0;
  }
  // No such fields: never equal to a wire type.
  for (let f = 0; f <= MAX_FIELD; f++) if (f === 0 || (f > FIELD.profile && f < FIELD.id)) types[f] = 8;
  return types;
}
