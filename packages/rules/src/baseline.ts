/** What is usual for a point of a device, learned on the way, and how far a sample is from it. */

/** How a baseline learns. */
export interface BaselineOptions {
  /** Samples of a season before anything counts as odd. */
  readonly warmUp: number;
  /** Samples after which something new is usual. */
  readonly memory: number;
  readonly season: "none" | "day" | "week";
  readonly sensitivity: number;
  /** Least spread. */
  readonly floor: number;
}

const SEASONS = { none: 1, day: 24, week: 168 } as const;
/** Samples from whose median and median deviation a season begins. */
const FIRST = 16;
/** A median absolute deviation of 1 is a standard deviation of this, where values are normal. */
const NORMAL = 1.4826;
/** The mean absolute deviation of what is clipped at `CLIP` standard deviations is this share of one, where values are normal. */
const CLIPPED_SHARE = 0.7939;
/** What is further away counts as if it were here: one outlier hardly moves the baseline. */
const CLIP = 2.5;
const HOUR_MS = 3_600_000;
/** Of a season: count, centre, spread. */
const FIELDS = 3;

/**
 * Robust and bounded: per season a centre and a spread that begin as median and median absolute deviation of the first samples and follow
 * clipped deviations afterwards (Huber's estimator, step by step).
 */
export class Baseline {
  readonly #options: BaselineOptions;
  readonly #seasons: Float64Array;
  /** First samples of seasons that have too few yet. */
  #first: Map<number, number[]> | undefined;

  constructor(options: BaselineOptions) {
    this.#options = options;
    this.#seasons = new Float64Array(SEASONS[options.season] * FIELDS);
  }

  /** The score of a value by what was before it; the baseline has learned of it afterwards. 0 while it is too young. */
  take(value: number, atMs: number): number {
    const { memory, warmUp, sensitivity, floor } = this.#options;
    const season = Math.floor(Math.max(0, atMs) / HOUR_MS) % (this.#seasons.length / FIELDS);
    const at = season * FIELDS;
    const seasons = this.#seasons;
    const count = ++seasons[at]!;
    if (count <= FIRST) {
      this.#begin(season, value, count);
      return 0;
    }
    const centre = seasons[at + 1]!;
    const spread = Math.max(seasons[at + 2]!, floor, Math.abs(centre) * 1e-9, Number.MIN_VALUE);
    const distance = value - centre;
    const score = (Math.abs(distance) / spread) * sensitivity;
    // The younger it is the faster it learns.
    const step = 1 / Math.min(count, memory);
    const clipped = Math.min(Math.abs(distance), CLIP * spread);
    seasons[at + 1] = centre + step * Math.sign(distance) * clipped;
    seasons[at + 2] = spread + step * (clipped / CLIPPED_SHARE - spread);
    return count <= warmUp ? 0 : Math.min(score, Number.MAX_VALUE);
  }

  #begin(season: number, value: number, count: number): void {
    this.#first ??= new Map();
    const values = this.#first.get(season) ?? [];
    values.push(value);
    this.#first.set(season, values);
    if (count < FIRST) return;
    this.#first.delete(season);
    const centre = median(values);
    this.#seasons[season * FIELDS + 1] = centre;
    this.#seasons[season * FIELDS + 2] = NORMAL * median(values.map((one) => Math.abs(one - centre)));
  }

  /** What `load` takes. Seasons that have only begun are forgotten. */
  save(): readonly number[] {
    const out: number[] = [];
    for (let at = 0; at < this.#seasons.length; at += FIELDS)
      if (this.#seasons[at]! >= FIRST) out.push(at, ...this.#seasons.subarray(at, at + FIELDS));
    return out;
  }

  /** Takes what `save` of a baseline with the same seasons has made; anything else is left aside. */
  load(saved: readonly number[]): void {
    for (let from = 0; from + FIELDS < saved.length; from += FIELDS + 1) {
      const at = saved[from]!;
      if (at % FIELDS !== 0 || at >= this.#seasons.length) continue;
      this.#seasons.set(saved.slice(from + 1, from + 1 + FIELDS), at);
    }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
