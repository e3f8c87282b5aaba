/** When numbered readings arrived for the first time, of the latest ones only. */

/** More than is sent in the time after which a measurement gives up. */
const KEPT = 10_000;

export class Arrivals {
  readonly #at = new Map<number, number>();

  /** A reading that comes again keeps its first time. */
  note(n: number, atMs: number): void {
    if (this.#at.has(n)) return;
    this.#at.set(n, atMs);
    if (this.#at.size > KEPT) this.#at.delete(this.#at.keys().next().value as number);
  }

  /** The earliest arrival among the numbers from `first` on that leave `remainder` when divided by `of`; undefined: none yet. */
  firstFrom(first: number, of: number, remainder: number): number | undefined {
    let earliest: number | undefined;
    for (const [n, at] of this.#at) {
      if (n < first || n % of !== remainder) continue;
      if (earliest === undefined || at < earliest) earliest = at;
    }
    return earliest;
  }
}
