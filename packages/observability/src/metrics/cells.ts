/** Plain numbers that the hot path adds to; prom-client sees them at scrape time only. */

/** Goes up only. Hot code may also write `cell.value += n`. */
export class CounterCell {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }
}

/** Goes up and down. */
export class GaugeCell {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  inc(by = 1): void {
    this.value += by;
  }

  dec(by = 1): void {
    this.value -= by;
  }
}

/** Counts observations per bucket; `observe` walks the few bounds and allocates nothing. */
export class HistogramCell {
  readonly bounds: readonly number[];
  /** Per bucket, not cumulative; the last one is above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** `times` adds one value for a whole batch at once. */
  observe(value: number, times = 1): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] as number)) i++;
    counts[i] = (counts[i] as number) + times;
    this.sum += value * times;
  }
}

/** From 100 µs to 10 s, in seconds: fits what happens between a socket and a database. */
export const LATENCY_BUCKETS_SECONDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
