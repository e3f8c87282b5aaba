/** Readings as statements of many rows, which is the fastest way that needs no right beyond writing. */
import type { ReadingColumns } from "../../reading-block.js";
import { type Identified, sortRows } from "../../sorted-rows.js";
import { codeOf, isNumeric } from "../../stored-reading.js";
import { bytesSql, textSql } from "./sql.js";

/** A statement ends behind the row that makes it longer. Servers take 16 MiB and more (`max_allowed_packet`). */
const STATEMENT_CHARACTERS = 1024 * 1024;

/** Replaces what is there: the same reading again, or a later one without a reference. */
const columnsOf = (columns: readonly string[]): readonly [head: string, tail: string] => [
  `INSERT INTO myelin_readings (${columns.join(", ")}) VALUES `,
  ` ON DUPLICATE KEY UPDATE ${["kind", "quality", "number", "size", "text", "bytes", "reason"]
    .map((column) => `${column} = VALUES(${column})`)
    .join(", ")}`,
];
const NUMBERS = columnsOf(["series", "time", "ref", "kind", "quality", "number"]);
const ALL = columnsOf([
  "series",
  "time",
  "ref",
  "kind",
  "quality",
  "number",
  "size",
  "text",
  "bytes",
  "reason",
]);

/** Statements that belong into one transaction when there is more than one. */
export function* insertSql(blocks: readonly Identified[]): Generator<string, void> {
  const isPlain = blocks.every(({ columns }) => columns.others.length === 0 && columns.reasons.size === 0);
  const [head, tail] = isPlain ? NUMBERS : ALL;
  const { count, of, row, id } = sortRows(blocks);
  let sql = head;
  for (let i = 0; i < count; i++) {
    const { columns } = blocks[of[i]!]!;
    const at = row[i]!;
    const comma = sql.length === head.length ? "(" : ",(";
    sql += `${comma}${id[i]},${columns.timeUs[at]},${columns.ref[at]},${numberSql(columns, at)}`;
    sql += isPlain ? ")" : `,${restSql(columns, at)})`;
    if (sql.length < STATEMENT_CHARACTERS) continue;
    yield sql + tail;
    sql = head;
  }
  if (sql.length > head.length) yield sql + tail;
}

/** Kind, quality and number. */
function numberSql({ kind, quality, value }: ReadingColumns, at: number): string {
  const code = codeOf(kind[at]!, value[at]!);
  return `${code},${quality[at]},${isNumeric(code) ? value[at] : "NULL"}`;
}

/** Size, text, bytes and reason. */
function restSql({ kind, value, others, reasons }: ReadingColumns, at: number): string {
  const other = isNumeric(kind[at]!) ? null : others[value[at]!];
  const reason = reasons.get(at);
  const reasonSql = reason === undefined ? "NULL" : textSql(reason);
  if (typeof other === "string") {
    return `${Buffer.byteLength(other)},${textSql(other)},NULL,${reasonSql}`;
  }
  return other == null ? `0,NULL,NULL,${reasonSql}` : `${other.length},NULL,${bytesSql(other)},${reasonSql}`;
}
