/** The header of a batch, origin and hop, in a fixed layout whose counters are patched in place. */
import { AppError } from "@myelin/kernel";
import { Hop, Origin } from "../generated/myelin/envelope/v1/envelope.js";
import { MAX_BATCH_HEADER_BYTES, TAG_BATCH_HOP, TAG_BATCH_ORIGIN } from "./layout.js";
import { varintSize, writeFixed32, writeFixed64, writeVarint } from "./varint.js";

/** What stays the same for all batches of a link. `incarnation` is a safe integer, random per start. */
export interface LinkIdentity {
  readonly sender: string;
  readonly incarnation: number;
  readonly partition: number;
  readonly lane: Hop["lane"];
  readonly target: string;
  readonly targetInstance: string;
}

/** What each batch of a link changes. */
export interface HopCounters {
  readonly sequence: number;
  readonly firstOrdinal: number;
  readonly count: number;
  readonly flags: number;
  readonly epoch: number;
}

/** Encodes `Batch.origin` with its tag. */
export function encodeOrigin(producer: string, incarnation: number): Buffer {
  const body = Origin.encode({ producer, incarnation }).finish();
  if (body.length > MAX_BATCH_HEADER_BYTES / 4) {
    throw new AppError("internal.invalid_argument", `the name of a producer takes ${body.length} bytes`);
  }
  const out = Buffer.allocUnsafe(1 + varintSize(body.length) + body.length);
  out[0] = TAG_BATCH_ORIGIN;
  out.set(body, writeVarint(out, 1, body.length));
  return out;
}

/**
 * `Batch.hop` with its tag, in a layout of constant size: tags as the generated encoder writes them, but counters present
 * even when zero, so that they can be patched.
 */
export class HopHeader {
  readonly bytes: Buffer;
  private readonly counters: number;

  constructor(link: LinkIdentity) {
    const tail = Hop.encode({
      sender: link.sender,
      incarnation: link.incarnation,
      sequence: 0,
      firstOrdinal: 0,
      count: 0,
      flags: 0,
      epoch: 0,
      partition: link.partition,
      lane: link.lane,
      target: link.target,
      targetInstance: link.targetInstance,
    }).finish();
    // Counters first: 3 fixed64 and 2 fixed32, each with a one-byte tag. Protobuf allows any field order.
    const size = 3 * 9 + 2 * 5 + tail.length;
    if (size > MAX_BATCH_HEADER_BYTES / 2) {
      throw new AppError("internal.invalid_argument", `the names of a link take ${size} bytes of header`);
    }
    const out = Buffer.alloc(1 + varintSize(size) + size);
    out[0] = TAG_BATCH_HOP;
    this.counters = writeVarint(out, 1, size);
    const c = this.counters;
    out[c] = (3 << 3) | 1;
    out[c + 9] = (4 << 3) | 1;
    out[c + 18] = (5 << 3) | 5;
    out[c + 23] = (6 << 3) | 5;
    out[c + 28] = (7 << 3) | 1;
    out.set(tail, c + 37);
    this.bytes = out;
  }

  /** Writes header and counters at `offset` of `target`; returns the offset behind. */
  writeTo(target: Buffer, offset: number, counters: HopCounters): number {
    target.set(this.bytes, offset);
    this.patch(target, offset, counters);
    return offset + this.bytes.length;
  }

  /** Patches the counters of a header that lies at `offset` of `target`. */
  patch(target: Buffer, offset: number, counters: HopCounters): void {
    const c = offset + this.counters;
    writeFixed64(target, c + 1, counters.sequence);
    writeFixed64(target, c + 10, counters.firstOrdinal);
    writeFixed32(target, c + 19, counters.count);
    writeFixed32(target, c + 24, counters.flags);
    writeFixed64(target, c + 29, counters.epoch);
  }
}
