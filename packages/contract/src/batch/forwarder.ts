/** Passes envelopes of a batch on over another link, byte for byte: runs of records are copied, nothing is decoded. */
import { HopHeader, type LinkIdentity } from "./header.js";
import type { BatchView } from "./view.js";

/** Builds the batches of one outgoing link out of runs of records of one source batch at a time. */
export class BatchForwarder {
  readonly link: LinkIdentity;
  sequence = 1;
  ordinal = 0;
  epoch = 0;
  /** Envelopes added since the last `finish`. */
  count = 0;

  private readonly hop: HopHeader;
  private readonly runs: number[] = [];
  private bytes = 0;

  constructor(link: LinkIdentity) {
    this.link = link;
    this.hop = new HopHeader(link);
  }

  /** Adds the records in `[start, end)` of the source's bytes; adjoining runs become one. */
  add(start: number, end: number, count: number): void {
    const last = this.runs.length - 1;
    if (last > 0 && this.runs[last] === start) this.runs[last] = end;
    else this.runs.push(start, end);
    this.bytes += end - start;
    this.count += count;
  }

  /**
   * Writes the batch: the source's origin, this link's hop, the runs. Undefined when nothing was added.
   * @param flags bits to set beside the source's
   */
  finish(source: BatchView, flags = 0): Buffer | undefined {
    if (this.count === 0) return undefined;
    const origin = source.originEnd - source.originStart;
    const out = Buffer.allocUnsafeSlow(origin + this.hop.bytes.length + this.bytes);
    let at = source.bytes.copy(out, 0, source.originStart, source.originEnd);
    at = this.hop.writeTo(out, at, {
      sequence: this.sequence,
      firstOrdinal: this.ordinal,
      count: this.count,
      flags: source.hop.flags | flags,
      epoch: this.epoch,
    });
    for (let i = 0; i < this.runs.length; i += 2) {
      at += source.bytes.copy(out, at, this.runs[i]!, this.runs[i + 1]!);
    }
    this.sequence += 1;
    this.ordinal += this.count;
    this.discard();
    return out;
  }

  /** Forgets the runs added since the last `finish`. */
  discard(): void {
    this.runs.length = 0;
    this.bytes = 0;
    this.count = 0;
  }
}
