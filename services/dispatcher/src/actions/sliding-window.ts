/** At most so many within any stretch of a length, told by two counts: exact to the share of the stretch before that still counts. */
export class SlidingWindow {
  #number = Number.NEGATIVE_INFINITY;
  #count = 0;
  #before = 0;

  constructor(
    private readonly most: number,
    private readonly perMs: number,
  ) {}

  /** Takes one, or says that there is none left. */
  take(nowMs: number): boolean {
    const number = Math.floor(nowMs / this.perMs);
    if (number > this.#number) {
      this.#before = number === this.#number + 1 ? this.#count : 0;
      this.#number = number;
      this.#count = 0;
    }
    const share = 1 - (nowMs / this.perMs - number);
    if (this.#before * share + this.#count + 1 > this.most) return false;
    this.#count++;
    return true;
  }
}
