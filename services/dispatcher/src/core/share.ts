/** A target's part of one source batch: collected as byte ranges, written once. */
import type { BatchView, HopCounters, HopHeader } from "@myelin/contract";
import { BATCH_FLAGS } from "@myelin/contract";
import type { Account } from "./ledger.js";
import { writeEnvelopeRecord } from "./record.js";

/** Told when a share needs its source no longer. */
export interface ShareSource {
  /** The share is in safe hands; called exactly once per share that was given this source. */
  done(): void;
}

/** One encoded batch on its way to one target. Belongs to the queue that holds it. */
export interface Share {
  /** Origin, hop, envelopes. The hop's counters are written when it is sent. */
  data: Buffer;
  /** The header inside `data`, undefined when another process wrote it, and where header and records lie. */
  header: HopHeader | undefined;
  readonly hopStart: number;
  recordsStart: number;
  count: number;
  flags: number;
  /** When it was last looked through for envelopes that have become too old; on the monotonic clock. */
  lookedMs: number;
  /** Number of the source batch in its stream; 0 for telemetry. */
  readonly sourceSequence: number;
  readonly source: ShareSource | undefined;
  /** Where it is booked. */
  readonly account: Account;
  /** In the overflow: for whom, see `Target.keptFor`. */
  keptFor?: string;
  /** Also stored in the overflow: only the overflow's copy counts from now on. */
  shadowed: boolean;
}

/** Bytes a share takes in a queue. */
export function shareBytes(share: Share): number {
  return share.data.length;
}

/**
 * Writes the counters of the hop; puts another header in when the receiver has changed since the share was written.
 * A share that was sent once may still lie in the connection's write buffer, so it is copied (`again`) and never patched twice.
 */
export function stampShare(share: Share, header: HopHeader, counters: HopCounters, again: boolean): Buffer {
  if (share.header !== header || again) {
    const records = share.hopStart + header.bytes.length;
    const data = Buffer.allocUnsafeSlow(records + share.data.length - share.recordsStart);
    share.data.copy(data, 0, 0, share.hopStart);
    header.writeTo(data, share.hopStart, counters);
    share.data.copy(data, records, share.recordsStart);
    share.data = data;
    share.header = header;
    share.recordsStart = records;
  } else {
    header.patch(share.data, share.hopStart, counters);
  }
  return share.data;
}

/** Collects what one target gets of the batch that is being routed. */
export class ShareBuilder {
  /** Envelopes collected. */
  count = 0;
  private bytes = 0;
  private flags = 0;
  /** Pairs of start and end in the source; a start below 0 is the index of a rewritten record, negated, less one. */
  private readonly runs: number[] = [];
  private readonly rewritten: Buffer[] = [];

  /** Adds the records in `[start, end)` of the source; adjoining runs become one. The hot path. */
  add(start: number, end: number, count: number): void {
    const runs = this.runs;
    const last = runs.length - 1;
    if (last > 0 && runs[last] === start && runs[last - 1]! >= 0) runs[last] = end;
    else runs.push(start, end);
    this.bytes += end - start;
    this.count += count;
  }

  /** Adds an envelope that was rewritten; it carries its head itself. */
  addRewritten(envelope: Uint8Array): void {
    const record = writeEnvelopeRecord(envelope);
    this.rewritten.push(record);
    this.runs.push(-this.rewritten.length, 0);
    this.bytes += record.length;
    this.count++;
    this.flags |= BATCH_FLAGS.uninterned;
  }

  /** Writes the share and begins the next one. The source's bytes are copied. */
  build(
    view: BatchView,
    header: HopHeader,
    flags: number,
    sourceSequence: number,
    account: Account,
    source: ShareSource | undefined,
  ): Share {
    const origin = view.originEnd - view.originStart;
    const data = Buffer.allocUnsafeSlow(origin + header.bytes.length + this.bytes);
    let at = view.bytes.copy(data, 0, view.originStart, view.originEnd);
    data.set(header.bytes, at);
    at += header.bytes.length;
    const recordsStart = at;
    const runs = this.runs;
    for (let i = 0; i < runs.length; i += 2) {
      const start = runs[i]!;
      if (start >= 0) at += view.bytes.copy(data, at, start, runs[i + 1]!);
      else at += this.rewritten[-start - 1]!.copy(data, at);
    }
    const share: Share = {
      data,
      header,
      hopStart: origin,
      recordsStart,
      count: this.count,
      flags: view.hop.flags | this.flags | flags,
      lookedMs: Number.POSITIVE_INFINITY,
      sourceSequence,
      account,
      source,
      shadowed: false,
    };
    this.discard();
    return share;
  }

  /** Forgets what was collected. */
  discard(): void {
    this.runs.length = 0;
    this.rewritten.length = 0;
    this.bytes = 0;
    this.count = 0;
    this.flags = 0;
  }
}
