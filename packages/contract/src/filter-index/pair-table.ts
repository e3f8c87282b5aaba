/** Which owner holds which filter: pairs in two doubly linked chains each, by filter and by owner. */
import { grow, growable, Records } from "./records.js";

const STRIDE = 7;
const FILTER = 0;
/** Word 1 also chains the pairs that are free. */
const NEXT_OF_FILTER = 1;
const PREVIOUS_OF_FILTER = 2;
const OWNER = 3;
const NEXT_OF_OWNER = 4;
const PREVIOUS_OF_OWNER = 5;
const TAG = 6;

/** Filters, owners and pairs are numbers; those of filters and pairs begin at 1. */
export class PairTable {
  size = 0;
  private readonly records: Records;
  private readonly words: Uint32Array;
  private readonly byFilter: Ends;
  private readonly byOwner: Ends;

  constructor(
    private readonly maxPairs: number,
    maxFilters: number,
  ) {
    this.records = new Records(STRIDE, maxPairs);
    this.words = this.records.words;
    this.byFilter = new Ends(maxFilters + 1, NEXT_OF_FILTER, PREVIOUS_OF_FILTER);
    this.byOwner = new Ends(maxPairs, NEXT_OF_OWNER, PREVIOUS_OF_OWNER);
  }

  get isFull(): boolean {
    return this.size >= this.maxPairs;
  }

  filterOf(pair: number): number {
    return this.words[pair * STRIDE + FILTER]!;
  }

  ownerOf(pair: number): number {
    return this.words[pair * STRIDE + OWNER]!;
  }

  tagOf(pair: number): number {
    return this.words[pair * STRIDE + TAG]!;
  }

  setTag(pair: number, tag: number): void {
    this.words[pair * STRIDE + TAG] = tag;
  }

  firstOfFilter(filter: number): number {
    return this.byFilter.first(filter);
  }

  nextOfFilter(pair: number): number {
    return this.words[pair * STRIDE + NEXT_OF_FILTER]!;
  }

  firstOfOwner(owner: number): number {
    return this.byOwner.first(owner);
  }

  nextOfOwner(pair: number): number {
    return this.words[pair * STRIDE + NEXT_OF_OWNER]!;
  }

  ownersOf(filter: number): number {
    return this.byFilter.count(filter);
  }

  filtersOf(owner: number): number {
    return this.byOwner.count(owner);
  }

  /** Looks through the shorter chain: a filter may have a million owners, an owner a million filters, but hardly both. */
  find(filter: number, owner: number): number {
    if (this.filtersOf(owner) < this.ownersOf(filter)) {
      let pair = this.firstOfOwner(owner);
      while (pair !== 0 && this.filterOf(pair) !== filter) pair = this.nextOfOwner(pair);
      return pair;
    }
    let pair = this.firstOfFilter(filter);
    while (pair !== 0 && this.ownerOf(pair) !== owner) pair = this.nextOfFilter(pair);
    return pair;
  }

  /** Whether owners of this number can be kept; there may be as many as pairs. */
  hasOwner(owner: number): boolean {
    return owner < this.maxPairs;
  }

  /** The pair must not be there, and the table not be full. */
  add(filter: number, owner: number, tag: number): void {
    const pair = this.records.take();
    const at = pair * STRIDE;
    const { words } = this;
    words[at + FILTER] = filter;
    words[at + OWNER] = owner;
    words[at + TAG] = tag;
    this.byFilter.push(words, filter, pair);
    this.byOwner.push(words, owner, pair);
    this.size++;
  }

  delete(pair: number): void {
    const { words } = this;
    this.byFilter.drop(words, this.filterOf(pair), pair);
    this.byOwner.drop(words, this.ownerOf(pair), pair);
    this.records.release(pair);
    this.size--;
  }
}

/** Where the chains of filters or of owners begin, and how long they are. */
class Ends {
  private readonly buffer: ArrayBuffer;
  private readonly words: Uint32Array;

  constructor(
    max: number,
    private readonly next: number,
    private readonly previous: number,
  ) {
    this.buffer = growable(512, Math.max(1, max) * 8);
    this.words = new Uint32Array(this.buffer);
  }

  first(of: number): number {
    return this.words[of * 2] ?? 0;
  }

  count(of: number): number {
    return this.words[of * 2 + 1] ?? 0;
  }

  push(pairs: Uint32Array, of: number, pair: number): void {
    if (of * 2 >= this.words.length) grow(this.buffer, (of + 1) * 8);
    const at = pair * STRIDE;
    const head = this.words[of * 2]!;
    pairs[at + this.next] = head;
    pairs[at + this.previous] = 0;
    if (head !== 0) pairs[head * STRIDE + this.previous] = pair;
    this.words[of * 2] = pair;
    this.words[of * 2 + 1]!++;
  }

  drop(pairs: Uint32Array, of: number, pair: number): void {
    const at = pair * STRIDE;
    const before = pairs[at + this.previous]!;
    const after = pairs[at + this.next]!;
    if (before !== 0) pairs[before * STRIDE + this.next] = after;
    else this.words[of * 2] = after;
    if (after !== 0) pairs[after * STRIDE + this.previous] = before;
    this.words[of * 2 + 1]!--;
  }
}
