/** What the writing thread does with the file. */
import type { SQLInputValue } from "node:sqlite";
import type { ReadingColumns } from "../../reading-block.js";
import { all, one, PAGE_BYTES, seriesIds, statement, transaction } from "./file.js";
import type { Removed, Written } from "./protocol.js";

/** Rows that one statement inserts: it is half as dear as one each, and more gain nothing. */
const ROWS_AT_ONCE = 16;
const COLUMNS = ["series", "time", "ref", "kind", "quality", "value"];
const WITH_REASON = [...COLUMNS, "reason"];
const MAX_CACHED_SERIES = 500_000;
/** Series that one call of `remove` looks at. */
const SERIES_AT_ONCE = 10_000;

function seriesId(names: readonly string[], at: number): number {
  const [tenant = "", device = "", path = "", point = ""] = names.slice(at, at + 4);
  const key = `${tenant}\0${device}\0${path}\0${point}`;
  let id = seriesIds.get(key);
  if (id !== undefined) return id;
  const found = one<{ id: number }>(
    "SELECT id FROM series WHERE tenant = ? AND device = ? AND path = ? AND point = ?",
    tenant,
    device,
    path,
    point,
  );
  id =
    found?.id ??
    Number(
      statement("INSERT INTO series (tenant, device, path, point) VALUES (?, ?, ?, ?)").run(
        tenant,
        device,
        path,
        point,
      ).lastInsertRowid,
    );
  if (seriesIds.size >= MAX_CACHED_SERIES) seriesIds.clear();
  seriesIds.set(key, id);
  return id;
}

/** All of it or nothing. */
export function write(blocks: readonly ReadingColumns[]): Written {
  transaction(() => {
    for (const block of blocks) insert(block);
  });
  return { bytes: usedBytes() };
}

function insert(block: ReadingColumns): void {
  const { count, series, seriesOf, timeUs, ref, kind, quality, value, others, reasons } = block;
  const ids = Float64Array.from({ length: series.length / 4 }, (_, i) => seriesId(series, i * 4));
  // In the order of the tree: neighbours are written to the same page, and a page is written once. Of equal ones the later wins.
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) =>
      ids[seriesOf[a]!]! - ids[seriesOf[b]!]! || timeUs[a]! - timeUs[b]! || ref[a]! - ref[b]! || a - b,
  );
  // Hardly any block has reasons, so most are spared the column.
  const hasReasons = reasons.size > 0;
  const columns = hasReasons ? WITH_REASON : COLUMNS;
  let values: SQLInputValue[] = new Array(Math.min(count, ROWS_AT_ONCE) * columns.length);
  for (let from = 0; from < count; from += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, count - from);
    if (rows * columns.length !== values.length) values = new Array(rows * columns.length);
    for (let i = 0, to = 0; i < rows; i++) {
      const at = order[from + i]!;
      values[to++] = ids[seriesOf[at]!]!;
      values[to++] = timeUs[at]!;
      values[to++] = ref[at]!;
      values[to++] = kind[at]!;
      values[to++] = quality[at]!;
      values[to++] = kind[at]! > 1 ? others[value[at]!]! : value[at]!;
      if (hasReasons) values[to++] = reasons.get(at) ?? null;
    }
    statement(insertSql(columns, rows)).run(...values);
  }
}

const insertSqls: string[] = [];

function insertSql(columns: readonly string[], rows: number): string {
  const at = columns.length * (ROWS_AT_ONCE + 1) + rows;
  const known = insertSqls[at];
  if (known !== undefined) return known;
  const row = `(${columns.map(() => "?").join(", ")})`;
  const sql = `INSERT OR REPLACE INTO readings (${columns.join(", ")}) VALUES ${new Array(rows).fill(row).join(", ")}`;
  insertSqls[at] = sql;
  return sql;
}

function usedBytes(): number {
  const { pages = 0 } = one<{ pages: number }>("SELECT page_count AS pages FROM pragma_page_count") ?? {};
  const { free = 0 } =
    one<{ free: number }>("SELECT freelist_count AS free FROM pragma_freelist_count") ?? {};
  return (pages - free) * PAGE_BYTES;
}

/** A step: other calls come between two of them. */
export function remove(beforeUs: number, afterSeries: number, rows: number): Removed {
  const ids = all<{ id: number }>(
    "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?",
    afterSeries,
    SERIES_AT_ONCE,
  );
  let removed = 0;
  let done = afterSeries;
  transaction(() => {
    for (const { id } of ids) {
      const left = rows - removed;
      if (left <= 0) return;
      const last = one<{ time: number }>(
        "SELECT time FROM readings WHERE series = ? AND time < ? ORDER BY time LIMIT 1 OFFSET ?",
        id,
        beforeUs,
        left,
      );
      removed += Number(
        statement("DELETE FROM readings WHERE series = ? AND time < ?").run(id, last?.time ?? beforeUs)
          .changes,
      );
      if (last !== undefined) {
        // More than `left` at one time: they go together, or this would go on for ever.
        removed += Number(
          statement("DELETE FROM readings WHERE series = ? AND time = ?").run(id, last.time).changes,
        );
        return;
      }
      done = id;
      const isEmpty = one("SELECT 1 FROM readings WHERE series = ? LIMIT 1", id) === undefined;
      if (isEmpty && Number(statement("DELETE FROM series WHERE id = ?").run(id).changes) > 0)
        seriesIds.clear();
    }
  });
  const isLeft = ids.length === SERIES_AT_ONCE || done !== (ids.at(-1)?.id ?? done);
  return isLeft ? { rows: removed, afterSeries: done } : { rows: removed };
}
