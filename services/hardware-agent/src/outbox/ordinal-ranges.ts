/** Which samples are still owed to the hub: a few ranges of ordinals, in order. Pure. */

/** From, inclusive, to, exclusive. */
export type OrdinalRange = readonly [from: number, to: number];

/**
 * A bounded set of ordinals. Live records are settled at its end while a backlog is settled at its begin, so it is a handful of ranges. Where it would
 * become more than `limit`, the narrowest hole is closed: what lies in it is sent a second time, and the hub removes it by its id.
 */
export class OrdinalRanges {
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  #total = 0;

  constructor(readonly limit: number) {}

  /** Ordinals in it. */
  get total(): number {
    return this.#total;
  }

  get first(): number | undefined {
    return this.#from[0];
  }

  get ranges(): readonly OrdinalRange[] {
    return this.#from.map((from, i) => [from, this.#to[i]!]);
  }

  /** Adds `[from, to)`; what is in it already stays. */
  add(from: number, to: number): void {
    if (to <= from) return;
    // All that overlap or touch become one.
    const first = this.#indexOf(from - 1);
    let last = first;
    let begin = from;
    let end = to;
    while (last < this.#from.length && this.#from[last]! <= to) {
      begin = Math.min(begin, this.#from[last]!);
      end = Math.max(end, this.#to[last]!);
      this.#total -= this.#to[last]! - this.#from[last]!;
      last += 1;
    }
    this.#total += end - begin;
    if (last === first + 1) {
      this.#from[first] = begin;
      this.#to[first] = end;
      return;
    }
    this.#from.splice(first, last - first, begin);
    this.#to.splice(first, last - first, end);
    this.#bound();
  }

  /** Takes `[from, to)` out; returns how many of them were in it. */
  remove(from: number, to: number): number {
    if (to <= from) return 0;
    let i = this.#indexOf(from);
    let removed = 0;
    while (i < this.#from.length && this.#from[i]! < to) {
      const begin = this.#from[i]!;
      const end = this.#to[i]!;
      const cutFrom = Math.max(begin, from);
      const cutTo = Math.min(end, to);
      removed += cutTo - cutFrom;
      if (cutFrom === begin && cutTo === end) {
        this.#from.splice(i, 1);
        this.#to.splice(i, 1);
        continue;
      }
      if (cutFrom === begin) this.#from[i] = cutTo;
      else {
        this.#to[i] = cutFrom;
        if (cutTo < end) {
          this.#from.splice(i + 1, 0, cutTo);
          this.#to.splice(i + 1, 0, end);
        }
      }
      i += 1;
    }
    this.#total -= removed;
    this.#bound();
    return removed;
  }

  /** How many of `[from, to)` are in it. */
  count(from: number, to: number): number {
    let sum = 0;
    for (let i = this.#indexOf(from); i < this.#from.length && this.#from[i]! < to; i++) {
      sum += Math.min(this.#to[i]!, to) - Math.max(this.#from[i]!, from);
    }
    return sum;
  }

  /** The lowest ordinal in it that is at least `from`; undefined: there is none. */
  next(from: number): number | undefined {
    const i = this.#indexOf(from);
    return i < this.#from.length ? Math.max(this.#from[i]!, from) : undefined;
  }

  /** The first range that ends behind `at`. */
  #indexOf(at: number): number {
    let low = 0;
    let high = this.#to.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#to[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #bound(): void {
    if (this.#from.length <= this.limit) return;
    let narrowest = 1;
    for (let i = 2; i < this.#from.length; i++) {
      if (this.#from[i]! - this.#to[i - 1]! < this.#from[narrowest]! - this.#to[narrowest - 1]!)
        narrowest = i;
    }
    this.#total += this.#from[narrowest]! - this.#to[narrowest - 1]!;
    this.#to[narrowest - 1] = this.#to[narrowest]!;
    this.#from.splice(narrowest, 1);
    this.#to.splice(narrowest, 1);
  }
}
