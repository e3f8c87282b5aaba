/** A hash table over records: chains through them, and buckets that become more one at a time. */
import { grow, growable, type Records } from "./records.js";

const FIRST_BUCKETS = 64;
const HASH = 0;
const NEXT = 1;
const PREVIOUS = 2;

/** The first three words of each linked record are the table's: its hash, and its neighbours in the chain. */
export class HashChains {
  private readonly buffer: ArrayBuffer;
  private readonly heads: Uint32Array;
  /** A power of two; there are at least as many buckets and fewer than twice as many. */
  private base = FIRST_BUCKETS;
  private buckets = FIRST_BUCKETS;
  private linked = 0;

  constructor(
    private readonly records: Records,
    max: number,
  ) {
    this.buffer = growable(FIRST_BUCKETS * 4, Math.max(max, FIRST_BUCKETS) * 4);
    this.heads = new Uint32Array(this.buffer);
  }

  /** The first record of the chain with this hash; 0 when there is none. */
  first(hash: number): number {
    return this.seek(this.heads[this.bucketOf(hash)]!, hash);
  }

  /** The next one with the same hash. */
  after(record: number): number {
    const { words, stride } = this.records;
    const at = record * stride;
    return this.seek(words[at + NEXT]!, words[at + HASH]!);
  }

  hashOf(record: number): number {
    return this.records.words[record * this.records.stride + HASH]!;
  }

  link(record: number, hash: number): void {
    this.records.words[record * this.records.stride + HASH] = hash;
    this.push(record, this.bucketOf(hash));
    if (++this.linked > this.buckets) this.split();
  }

  unlink(record: number): void {
    const { words, stride } = this.records;
    const at = record * stride;
    const before = words[at + PREVIOUS]!;
    const after = words[at + NEXT]!;
    if (before !== 0) words[before * stride + NEXT] = after;
    else this.heads[this.bucketOf(words[at + HASH]!)] = after;
    if (after !== 0) words[after * stride + PREVIOUS] = before;
    this.linked--;
  }

  /** Takes all records out at once. */
  clear(): void {
    this.buffer.resize(FIRST_BUCKETS * 4);
    this.heads.fill(0);
    this.base = FIRST_BUCKETS;
    this.buckets = FIRST_BUCKETS;
    this.linked = 0;
  }

  private seek(from: number, hash: number): number {
    const { words, stride } = this.records;
    let record = from;
    while (record !== 0 && words[record * stride + HASH] !== hash) record = words[record * stride + NEXT]!;
    return record;
  }

  /** Linear hashing: a bucket that is not split yet holds what belongs to its twin, too. */
  private bucketOf(hash: number): number {
    const bucket = hash & (this.base * 2 - 1);
    return bucket < this.buckets ? bucket : bucket - this.base;
  }

  private push(record: number, bucket: number): void {
    const { words, stride } = this.records;
    const head = this.heads[bucket]!;
    const at = record * stride;
    words[at + NEXT] = head;
    words[at + PREVIOUS] = 0;
    if (head !== 0) words[head * stride + PREVIOUS] = record;
    this.heads[bucket] = record;
  }

  /** One bucket more for one record more: there is no pause in which everything is hashed again. */
  private split(): void {
    const twin = this.buckets;
    if (twin >= this.heads.length && !grow(this.buffer, (twin + 1) * 4)) return;
    const { words, stride } = this.records;
    const bucket = twin - this.base;
    this.buckets++;
    let record = this.heads[bucket]!;
    this.heads[bucket] = 0;
    const mask = this.base * 2 - 1;
    while (record !== 0) {
      const at = record * stride;
      const next = words[at + NEXT]!;
      this.push(record, words[at + HASH]! & mask);
      record = next;
    }
    if (this.buckets === this.base * 2) this.base = this.buckets;
  }
}
