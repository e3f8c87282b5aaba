/** Recognises messages that a sender repeated, by the ids it gave; survives a change of owner. */
import type { BatchView } from "@myelin/contract";
import { readRecord, writeRecord } from "./dedupe-record.js";
import type { DoubleCheck } from "./router.js";

/**
 * The last ids of one partition, each with the number of the source batch that brought it: a batch that the stream delivers
 * again is not a double of itself.
 */
export class DedupeWindow implements DoubleCheck {
  // Insertion order is age order.
  private readonly seen = new Map<string, number>();
  private fresh: string[] = [];
  private readonly inBatch = new Set<string>();
  private source = 0;

  constructor(private readonly maxIds = 262_144) {}

  get size(): number {
    return this.seen.size;
  }

  /** Takes a record of an earlier owner. Broken ones are skipped: at worst a double passes. */
  load(record: Uint8Array): void {
    readRecord(record, (id, source) => this.remember(id, source));
  }

  /** The batch whose envelopes are asked about next. */
  begin(sourceSequence: number): void {
    this.source = sourceSequence;
    this.fresh = [];
    this.inBatch.clear();
  }

  isDouble(view: BatchView): boolean {
    if (!view.senderId) return false;
    const bytes = view.id();
    if (bytes.length === 0) return false;
    const id = bytes.toString("latin1");
    const source = this.seen.get(id);
    if ((source !== undefined && source !== this.source) || this.inBatch.has(id)) return true;
    this.inBatch.add(id);
    this.fresh.push(id);
    return false;
  }

  /** The record of the batch's new ids, to be stored before the batch is acknowledged; undefined when it brought none. */
  commit(): Uint8Array | undefined {
    if (this.fresh.length === 0) return undefined;
    for (const id of this.fresh) this.remember(id, this.source);
    return writeRecord(this.source, this.fresh);
  }

  private remember(id: string, source: number): void {
    this.seen.delete(id);
    this.seen.set(id, source);
    if (this.seen.size <= this.maxIds) return;
    for (const oldest of this.seen.keys()) {
      this.seen.delete(oldest);
      return;
    }
  }
}
