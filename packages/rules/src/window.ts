/** A sliding window over the samples of one point, in memory that does not depend on how many there are. */

/** Stretches of a window: what is older than the window leaves it one stretch at a time. */
const STRETCHES = 32;
const FIELDS = 10;
/** Columns, a cell per stretch: its number, count, sum, sum of squares, min, max, and time and value of its first and last sample. */
const [NUMBER, COUNT, SUM, SQUARES, MIN, MAX, FIRST_MS, FIRST, LAST_MS, LAST] = [
  0, 32, 64, 96, 128, 160, 192, 224, 256, 288,
] as const;

/** What a window can say. */
export type WindowFunction = "average" | "min" | "max" | "sum" | "count" | "deviation" | "rate";

/** One per device, point and length. Samples must come in the order of their times. */
export class Window {
  readonly #stretchMs: number;
  #cells = new Float64Array(0);
  /** Squares are summed up around the first value, or large values would swallow small differences. */
  #origin = Number.NaN;

  constructor(readonly overMs: number) {
    this.#stretchMs = overMs / STRETCHES;
  }

  take(value: number, atMs: number): void {
    if (this.#cells.length === 0) {
      this.#cells = new Float64Array(STRETCHES * FIELDS).fill(Number.NaN, 0, STRETCHES);
      this.#origin = value;
    }
    const number = Math.max(0, Math.floor(atMs / this.#stretchMs));
    const at = number % STRETCHES;
    const cells = this.#cells;
    const off = value - this.#origin;
    if (cells[NUMBER + at] !== number) {
      cells[NUMBER + at] = number;
      cells[COUNT + at] = 0;
      cells[SUM + at] = 0;
      cells[SQUARES + at] = 0;
      cells[MIN + at] = value;
      cells[MAX + at] = value;
      cells[FIRST_MS + at] = atMs;
      cells[FIRST + at] = value;
    }
    cells[COUNT + at]! += 1;
    cells[SUM + at]! += off;
    cells[SQUARES + at]! += off * off;
    if (value < cells[MIN + at]!) cells[MIN + at] = value;
    if (value > cells[MAX + at]!) cells[MAX + at] = value;
    cells[LAST_MS + at] = atMs;
    cells[LAST + at] = value;
  }

  /** At a time that is not before the last sample; undefined: there are too few samples to say. */
  read(what: WindowFunction, nowMs: number): number | undefined {
    // What is older than this is not of the window; what was never used is not a number, and so never newer.
    const oldest = Math.floor(nowMs / this.#stretchMs) - STRETCHES + 1;
    const count = this.#total(COUNT, oldest);
    if (what === "count") return count;
    if (count === 0) return undefined;
    switch (what) {
      case "average":
        return this.#origin + this.#total(SUM, oldest) / count;
      case "sum":
        return this.#origin * count + this.#total(SUM, oldest);
      case "min":
        return -this.#most(MIN, oldest, -1);
      case "max":
        return this.#most(MAX, oldest, 1);
      case "deviation": {
        const mean = this.#total(SUM, oldest) / count;
        return Math.sqrt(Math.max(0, this.#total(SQUARES, oldest) / count - mean * mean));
      }
      case "rate":
        return this.#rate(oldest);
    }
  }

  #total(column: number, oldest: number): number {
    const cells = this.#cells;
    let sum = 0;
    if (cells.length > 0)
      for (let at = 0; at < STRETCHES; at++) if (cells[NUMBER + at]! >= oldest) sum += cells[column + at]!;
    return sum;
  }

  #most(column: number, oldest: number, sign: 1 | -1): number {
    const cells = this.#cells;
    let most = Number.NEGATIVE_INFINITY;
    for (let at = 0; at < STRETCHES; at++)
      if (cells[NUMBER + at]! >= oldest) most = Math.max(most, sign * cells[column + at]!);
    return most;
  }

  #rate(oldest: number): number | undefined {
    const cells = this.#cells;
    let [first, last] = [-1, -1];
    for (let at = 0; at < STRETCHES; at++) {
      const number = cells[NUMBER + at]!;
      if (!(number >= oldest)) continue;
      if (first < 0 || number < cells[NUMBER + first]!) first = at;
      if (last < 0 || number > cells[NUMBER + last]!) last = at;
    }
    const passedMs = cells[LAST_MS + last]! - cells[FIRST_MS + first]!;
    return passedMs > 0 ? ((cells[LAST + last]! - cells[FIRST + first]!) * 1000) / passedMs : undefined;
  }

  /** What `load` takes, as plain numbers; stretches that were never used are left out. */
  save(): readonly number[] {
    const cells = this.#cells;
    const out = [this.#origin];
    for (let at = 0; at < STRETCHES && cells.length > 0; at++)
      if (!Number.isNaN(cells[NUMBER + at]!))
        for (let field = 0; field < FIELDS; field++) out.push(cells[field * STRETCHES + at]!);
    return out;
  }

  /** Takes what `save` of a window of the same length has made; anything else leaves it empty. */
  load([origin = Number.NaN, ...saved]: readonly number[]): void {
    if (!Number.isFinite(origin) || saved.length % FIELDS !== 0) return;
    this.#origin = origin;
    this.#cells = new Float64Array(STRETCHES * FIELDS).fill(Number.NaN, 0, STRETCHES);
    for (let from = 0; from < saved.length; from += FIELDS) {
      const at = saved[from]! % STRETCHES;
      for (let field = 0; field < FIELDS; field++) this.#cells[field * STRETCHES + at] = saved[from + field]!;
    }
  }
}
