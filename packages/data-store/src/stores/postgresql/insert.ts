/** Readings as the parameters of one statement: a list for each column, as text, which is several times as fast as rows. */
import type { ReadingColumns } from "../../reading-block.js";

/** Replaces what is there: the same reading again, or a later one without a reference. */
export const INSERT = `
  INSERT INTO myelin_readings (series, time, ref, kind, quality, number, text, bytes, reason)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::smallint[], $6::float8[], $7::text[], $8::bytea[], $9::text[])
  ON CONFLICT (series, time, ref) DO UPDATE SET
    kind = excluded.kind, quality = excluded.quality, number = excluded.number, text = excluded.text, bytes = excluded.bytes,
    reason = excluded.reason`;

/** A block, and the identity of each of its series in the database. */
export interface Identified {
  readonly columns: ReadingColumns;
  readonly ids: readonly number[];
}

/**
 * In the order of the index, which writes neighbours to the same page and keeps two writers from waiting for each other; of readings
 * with the same key the last one, since a statement may not touch a row twice.
 */
export function toParameters(blocks: readonly Identified[]): string[] {
  const at: (readonly [block: Identified, row: number])[] = [];
  for (const block of blocks) for (let row = 0; row < block.columns.count; row++) at.push([block, row]);
  const order = at.map((_, i) => i).sort((a, b) => byKey(at[a]!, at[b]!) || a - b);
  const lists: string[][] = [[], [], [], [], [], [], [], [], []];
  const [series, times, refs, kinds, qualities, numbers, texts, bytes, reasons] = lists as [
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
  ];
  for (const [i, index] of order.entries()) {
    const one = at[index]!;
    const next = order[i + 1];
    if (next !== undefined && byKey(one, at[next]!) === 0) continue;
    const [{ columns, ids }, row] = one;
    const kind = columns.kind[row]!;
    const other = kind > 1 ? columns.others[columns.value[row]!] : undefined;
    series.push(String(ids[columns.seriesOf[row]!]));
    times.push(String(columns.timeUs[row]));
    refs.push(String(columns.ref[row]));
    kinds.push(String(kind));
    qualities.push(String(columns.quality[row]));
    numbers.push(kind > 1 ? "NULL" : String(columns.value[row]));
    // Lists may be shorter than the others: where they end there is nothing.
    if (typeof other === "string") padded(texts, series.length - 1).push(quoted(other));
    else if (other !== undefined && other !== null) {
      padded(bytes, series.length - 1).push(`"\\\\x${Buffer.from(other).toString("hex")}"`);
    }
    const reason = columns.reasons.get(row);
    if (reason !== undefined) padded(reasons, series.length - 1).push(quoted(reason));
  }
  return lists.map((list) => `{${list.join(",")}}`);
}

function byKey([a, i]: readonly [Identified, number], [b, j]: readonly [Identified, number]): number {
  return (
    a.ids[a.columns.seriesOf[i]!]! - b.ids[b.columns.seriesOf[j]!]! ||
    a.columns.timeUs[i]! - b.columns.timeUs[j]! ||
    a.columns.ref[i]! - b.columns.ref[j]!
  );
}

function padded(list: string[], length: number): string[] {
  while (list.length < length) list.push("NULL");
  return list;
}

/** An element of a list (PostgreSQL, 8.15.6). */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
