/** Medians and spreads of a few rounds. */

/** Middle value, or the mean of the two in the middle; undefined of nothing. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined || sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] as number) + upper) / 2;
}

/** What one round measured, or one system's medians: figure name to value, units in the names. */
export type Figures = Readonly<Record<string, number>>;

/** Per figure: the median over the rounds that have it, and the least and the greatest. */
export function summarize(rounds: readonly Figures[]): {
  readonly figures: Figures;
  readonly spread: Readonly<Record<string, readonly [least: number, greatest: number]>>;
} {
  const names = new Set(rounds.flatMap((round) => Object.keys(round)));
  const figures: Record<string, number> = {};
  const spread: Record<string, readonly [number, number]> = {};
  for (const name of names) {
    const values = rounds.map((round) => round[name]).filter((value) => value !== undefined);
    figures[name] = median(values) as number;
    spread[name] = [Math.min(...values), Math.max(...values)];
  }
  return { figures, spread };
}

/** The same figures under names that end in `_suffix`; an empty suffix changes nothing. */
export function suffixed(figures: Figures, suffix: string): Figures {
  if (suffix === "") return figures;
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${name}_${suffix}`, value]));
}

/** Rounded to `digits` significant digits, so that tables and JSON do not pretend to more than was measured. */
export function significant(value: number, digits = 4): number {
  return value === 0 ? 0 : Number(value.toPrecision(digits));
}
