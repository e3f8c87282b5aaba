/** Readings as the parameters of one statement: a list for each column, as text, which is several times as fast as rows. */
import { type Identified, sortRows } from "../../sorted-rows.js";
import { isNumeric } from "../../stored-reading.js";

/** Replaces what is there: a later one without a reference. The same reading again writes nothing. */
export const INSERT = `
  INSERT INTO myelin_readings AS r (series, time, ref, kind, quality, number, text, bytes, reason)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::smallint[], $6::float8[], $7::text[], $8::bytea[], $9::text[])
  ON CONFLICT (series, time, ref) DO UPDATE SET
    kind = excluded.kind, quality = excluded.quality, number = excluded.number, text = excluded.text, bytes = excluded.bytes,
    reason = excluded.reason
  WHERE (r.kind, r.quality, r.number, r.text, r.bytes, r.reason) IS DISTINCT FROM
    (excluded.kind, excluded.quality, excluded.number, excluded.text, excluded.bytes, excluded.reason)`;

/** A list for each column. A statement may not touch a row twice, and does not: of readings with the same key only the last one is left. */
export function toParameters(blocks: readonly Identified[]): string[] {
  const { count, of, row, id } = sortRows(blocks);
  const [series, times, refs, kinds, qualities, numbers, texts, bytes, reasons] = Array.from(
    { length: 9 },
    (): string[] => [],
  ) as [string[], string[], string[], string[], string[], string[], string[], string[], string[]];
  for (let i = 0; i < count; i++) {
    const { columns } = blocks[of[i]!]!;
    const at = row[i]!;
    const kind = columns.kind[at]!;
    const other = isNumeric(kind) ? undefined : columns.others[columns.value[at]!];
    series.push(String(id[i]));
    times.push(String(columns.timeUs[at]));
    refs.push(String(columns.ref[at]));
    kinds.push(String(kind));
    qualities.push(String(columns.quality[at]));
    numbers.push(isNumeric(kind) ? String(columns.value[at]) : "NULL");
    // Lists may be shorter than the others: where they end there is nothing.
    if (typeof other === "string") padded(texts, i).push(quoted(other));
    else if (other != null) padded(bytes, i).push(`"\\\\x${Buffer.from(other).toString("hex")}"`);
    const reason = columns.reasons.get(at);
    if (reason !== undefined) padded(reasons, i).push(quoted(reason));
  }
  const lists = [series, times, refs, kinds, qualities, numbers, texts, bytes, reasons];
  return lists.map((list) => `{${list.join(",")}}`);
}

function padded(list: string[], length: number): string[] {
  while (list.length < length) list.push("NULL");
  return list;
}

/** An element of a list (PostgreSQL, 8.15.6). */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
