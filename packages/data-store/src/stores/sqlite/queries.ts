/** What the reading thread finds in the file. */
import type {
  Aggregate,
  AggregateQuery,
  LatestQuery,
  Page,
  RangeQuery,
  Reading,
  SeriesFilter,
} from "../../data-store.js";
import { afterOf, bySeries, encodePosition, type Position, tryDecodePosition } from "../../position.js";
import { isNumeric, readingOf } from "../../stored-reading.js";
import { Refusal } from "../../thread/serve-calls.js";
import { all, one } from "./file.js";

/** As in `data-store.ts`. */
const MAX_QUERY_SERIES = 1_000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
/** Time, quality, number and what stands between them. */
const ROW_BYTES = 48;
const SUM_BYTES = 96;
/** Text and bytes can be large, so they are read one by one. */
const COLUMNS =
  "SELECT time, ref, kind, quality, CASE WHEN kind <= 1 THEN value END AS value, reason FROM readings WHERE series = ?";
const COUNTED = `kind <= 1 AND quality < 2 AND value BETWEEN -${Number.MAX_VALUE} AND ${Number.MAX_VALUE}`;

interface Series {
  readonly id: number;
  readonly path: string;
  readonly point: string;
}

interface Row {
  readonly time: number;
  readonly ref: number;
  readonly kind: number;
  readonly quality: number;
  readonly value: number | string | Uint8Array | null;
  readonly reason: string | null;
}

function seriesOf({ tenant, device, path, point }: SeriesFilter): Series[] {
  const found = all<Series>(
    `SELECT id, path, point FROM series WHERE tenant = ?1 AND device = ?2
       AND (?3 IS NULL OR path = ?3) AND (?4 IS NULL OR point = ?4) LIMIT ?5`,
    tenant,
    device,
    path ?? null,
    point ?? null,
    MAX_QUERY_SERIES + 1,
  );
  if (found.length > MAX_QUERY_SERIES) {
    throw new Refusal(
      "history.too_many_series",
      `${device} has more than ${MAX_QUERY_SERIES} points: ask for a path or a point`,
    );
  }
  return found.sort(bySeries);
}

function toReading(series: Series, { time, ref, kind, quality, value: inline, reason }: Row): Reading {
  const value = isNumeric(kind) ? inline : storedValue(series.id, time, ref);
  return readingOf(series, { timeUs: time, kind, quality, value, reason });
}

function storedValue(id: number, time: number, ref: number): Row["value"] {
  return one<Pick<Row, "value">>(
    "SELECT value FROM readings WHERE series = ? AND time = ? AND ref = ?",
    id,
    time,
    ref,
  )!.value;
}

function sizeOf({ path, point, value, reason = "" }: Reading): number {
  const valueBytes = typeof value === "string" || value instanceof Uint8Array ? Buffer.byteLength(value) : 0;
  return (
    Buffer.byteLength(path) + Buffer.byteLength(point) + Buffer.byteLength(reason) + valueBytes + ROW_BYTES
  );
}

/** Takes from all series at once, in order; each is read ahead, but for values that can be large. */
export function range(query: RangeQuery): Page<Reading> {
  const { limit, maxBytes = MAX_PAGE_BYTES } = query;
  const isUp = query.order === "ascending";
  const sign = isUp ? 1 : -1;
  const start = startOf(query.cursor);
  const series = seriesOf(query);
  const ahead = Math.ceil(limit / Math.max(1, series.length)) + 16;
  const readers = series.map((of) => {
    const { timeUs: time, ref } = afterOf(of, query, start);
    return { of, time, ref, rows: [] as Row[], at: 0, isDone: false };
  });
  const refill = (reader: (typeof readers)[number]): void => {
    reader.rows = all<Row>(
      isUp
        ? `${COLUMNS} AND (time, ref) > (?, ?) AND time < ? ORDER BY time, ref LIMIT ?`
        : `${COLUMNS} AND (time, ref) < (?, ?) AND time >= ? ORDER BY time DESC, ref DESC LIMIT ?`,
      reader.of.id,
      reader.time,
      reader.ref,
      isUp ? query.toUs : query.fromUs,
      ahead,
    );
    reader.at = 0;
    reader.isDone = reader.rows.length < ahead;
    const last = reader.rows.at(-1);
    if (last !== undefined) Object.assign(reader, { time: last.time, ref: last.ref });
  };
  for (const reader of readers) refill(reader);
  const rows: Reading[] = [];
  let bytes = 0;
  let position: Position | undefined;
  for (;;) {
    let best: (typeof readers)[number] | undefined;
    for (const reader of readers) {
      const row = reader.rows[reader.at];
      if (row === undefined) continue;
      // Series are in ascending order, so of equal times the first one, or going down the last one, is next.
      const order = best === undefined ? -1 : sign * (row.time - best.rows[best.at]!.time);
      if (order < 0 || (order === 0 && !isUp)) best = reader;
    }
    if (best === undefined) return { rows };
    const row = best.rows[best.at++]!;
    const reading = toReading(best.of, row);
    bytes += sizeOf(reading);
    if (position !== undefined && (rows.length === limit || bytes > maxBytes)) {
      return { rows, cursor: encodePosition(position) };
    }
    rows.push(reading);
    position = { timeUs: row.time, path: best.of.path, point: best.of.point, ref: row.ref };
    if (best.at === best.rows.length && !best.isDone) refill(best);
  }
}

/** Seeks from one stretch that holds something to the next, so empty ones cost nothing. */
export function aggregate(query: AggregateQuery): Page<Aggregate> {
  const { fromUs, toUs, everyUs, limit, maxBytes = MAX_PAGE_BYTES } = query;
  const start = startOf(query.cursor);
  const rows: Aggregate[] = [];
  let bytes = 0;
  for (const { id, path, point } of seriesOf(query)) {
    const rowBytes = Buffer.byteLength(path) + Buffer.byteLength(point) + SUM_BYTES;
    const side = start === undefined ? 1 : bySeries({ path, point }, start);
    if (side < 0) continue;
    let at = side === 0 && start !== undefined ? start.timeUs : fromUs;
    for (;;) {
      const next = edge(id, at, toUs, "ASC");
      if (next === undefined) break;
      bytes += rowBytes;
      if (rows.length === limit || (rows.length > 0 && bytes > maxBytes)) {
        return { rows, cursor: encodePosition({ timeUs: at, path, point, ref: 0 }) };
      }
      const startUs = everyUs === undefined ? fromUs : Math.floor(next.time / everyUs) * everyUs;
      const from = Math.max(startUs, fromUs);
      const to = everyUs === undefined ? toUs : Math.min(startUs + everyUs, toUs);
      const sums = one<{ count: number; sum: number; min: number; max: number }>(
        `SELECT count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max FROM readings
          WHERE series = ? AND time >= ? AND time < ? AND ${COUNTED}`,
        id,
        from,
        to,
      )!;
      const last = edge(id, from, to, "DESC") ?? next;
      rows.push({
        path,
        point,
        startUs,
        ...sums,
        mean: sums.sum / sums.count,
        first: next.value,
        last: last.value,
      });
      at = to;
    }
  }
  return { rows };
}

function edge(
  id: number,
  from: number,
  to: number,
  way: "ASC" | "DESC",
): { time: number; value: number } | undefined {
  return one(
    `SELECT time, value FROM readings WHERE series = ? AND time >= ? AND time < ? AND ${COUNTED}
      ORDER BY time ${way}, ref ${way} LIMIT 1`,
    id,
    from,
    to,
  );
}

/** By path and point. */
export function latest(query: LatestQuery): Page<Reading> {
  const { limit, maxBytes = MAX_PAGE_BYTES } = query;
  const start = startOf(query.cursor);
  const rows: Reading[] = [];
  let bytes = 0;
  let position: Position | undefined;
  for (const series of seriesOf(query)) {
    const { id, path, point } = series;
    if (start !== undefined && bySeries(series, start) <= 0) continue;
    const row = one<Row>(`${COLUMNS} ORDER BY time DESC, ref DESC LIMIT 1`, id);
    if (row === undefined) continue;
    const reading = toReading(series, row);
    bytes += sizeOf(reading);
    if (position !== undefined && (rows.length === limit || bytes > maxBytes)) {
      return { rows, cursor: encodePosition(position) };
    }
    rows.push(reading);
    position = { timeUs: 0, path, point, ref: 0 };
  }
  return { rows };
}

function startOf(cursor: string | undefined): Position | undefined {
  if (cursor === undefined) return undefined;
  const position = tryDecodePosition(cursor);
  if (position !== undefined) return position;
  throw new Refusal("history.bad_query", "the cursor is not one that a query gave");
}
