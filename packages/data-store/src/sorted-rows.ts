/** Readings of several blocks in the order of a store's index. */
import type { ReadingColumns } from "./reading-block.js";

/** A block, and the identity of each of its series in the store. */
export interface Identified {
  readonly columns: ReadingColumns;
  readonly ids: ArrayLike<number>;
}

/** Rows in order: block `of[i]` has row `row[i]`, of the series with the identity `id[i]`. */
export interface SortedRows {
  readonly count: number;
  readonly of: Uint32Array;
  readonly row: Uint32Array;
  readonly id: Float64Array;
}

/**
 * By series, time and reference, which writes neighbours to the same page and keeps two writers from waiting for each other; of readings
 * with the same key only the last one.
 */
export function sortRows(blocks: readonly Identified[]): SortedRows {
  const count = blocks.reduce((sum, { columns }) => sum + columns.count, 0);
  const of = new Uint32Array(count);
  const row = new Uint32Array(count);
  const id = new Float64Array(count);
  const time = new Float64Array(count);
  const ref = new Float64Array(count);
  let at = 0;
  for (const [i, { columns, ids }] of blocks.entries()) {
    time.set(columns.timeUs.subarray(0, columns.count), at);
    ref.set(columns.ref.subarray(0, columns.count), at);
    for (let j = 0; j < columns.count; j++, at++) {
      of[at] = i;
      row[at] = j;
      id[at] = ids[columns.seriesOf[j]!]!;
    }
  }
  const compare = (a: number, b: number): number =>
    id[a]! - id[b]! || time[a]! - time[b]! || ref[a]! - ref[b]!;
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => compare(a, b) || a - b);
  const kept = order.filter((one, i) => i + 1 === count || compare(one, order[i + 1]!) !== 0);
  return {
    count: kept.length,
    of: kept.map((one) => of[one]!),
    row: kept.map((one) => row[one]!),
    id: Float64Array.from(kept, (one) => id[one]!),
  };
}
