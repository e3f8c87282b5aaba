/** The statements that find readings. Whatever stands in them is a number, or comes from `sql.ts`. */
import type { SeriesFilter } from "../../data-store.js";
import type { SeriesName } from "../../series-ids.js";
import { deviceKey, nameKey } from "../../series-key.js";
import { keySql, textSql } from "./sql.js";

/** What is summed up: neither NaN, nor infinite, nor bad. */
const COUNTED = "kind <= 1 AND quality < 2";

/** Where a series goes on, and which place it has in the question. */
export interface From {
  readonly ord: number;
  readonly id: number;
  readonly timeUs: number;
  readonly ref: number;
}

/** Series of a device, one more than `limit` when there are more. */
export function seriesSql({ tenant, device, path, point }: SeriesFilter, limit: number): string {
  const of = path === undefined ? "" : ` AND path = ${textSql(path)}`;
  const at = point === undefined ? "" : ` AND point = ${textSql(point)}`;
  return `SELECT id, path, point FROM myelin_series WHERE device_key = ${keySql(deviceKey({ tenant, device }))}${of}${at} LIMIT ${limit + 1}`;
}

/** Makes series that are not there. */
export function addSeriesSql(names: readonly SeriesName[]): string {
  const rows = names.map((name) => {
    const { tenant, device, path, point } = name;
    const keys = `${keySql(deviceKey(name))}, ${keySql(nameKey(name))}`;
    return `(${keys}, ${[tenant, device, path, point].map(textSql).join(", ")})`;
  });
  return `INSERT IGNORE INTO myelin_series (device_key, name_key, tenant, device, path, point) VALUES ${rows.join(", ")}`;
}

/** Identities with their keys, see `nameKey`. */
export function findSeriesSql(names: readonly SeriesName[]): string {
  const keys = names.map((name) => keySql(nameKey(name)));
  return `SELECT id, LOWER(HEX(name_key)) AS name FROM myelin_series WHERE name_key IN (${keys.join(", ")})`;
}

const FOUND = "time, ref, kind, quality, number, size, reason FROM myelin_readings";

/** Of each series so many rows behind where it goes on; long values are left out. */
export function rangeSql(from: readonly From[], isUp: boolean, endUs: number, limit: number): string {
  const way = isUp ? "" : " DESC";
  const parts = from.map(({ ord, id, timeUs, ref }) => {
    const behind = isUp ? `time >= ${timeUs} AND time < ${endUs}` : `time <= ${timeUs} AND time >= ${endUs}`;
    // A comparison of rows would not use the index.
    const rest = `(time ${isUp ? ">" : "<"} ${timeUs} OR ref ${isUp ? ">" : "<"} ${ref})`;
    const order = `ORDER BY time${way}, ref${way} LIMIT ${limit}`;
    return `(SELECT ${ord} AS ord, ${FOUND} WHERE series = ${id} AND ${behind} AND ${rest} ${order})`;
  });
  return parts.join(" UNION ALL ");
}

/** The newest of each series. */
export function latestSql(series: readonly { readonly ord: number; readonly id: number }[]): string {
  const parts = series.map(
    ({ ord, id }) =>
      `(SELECT ${ord} AS ord, ${FOUND} WHERE series = ${id} ORDER BY time DESC, ref DESC LIMIT 1)`,
  );
  return parts.join(" UNION ALL ");
}

/** Values that are neither numbers nor truth values. `n` says whose. */
export function valuesSql(
  keys: readonly { readonly n: number; readonly id: number; readonly time: number; readonly ref: number }[],
): string {
  const wanted = keys.map(
    ({ n, id, time, ref }) => `SELECT ${n} AS n, ${id} AS s, ${time} AS t, ${ref} AS r`,
  );
  return `SELECT k.n, v.text, v.bytes FROM (${wanted.join(" UNION ALL ")}) k
    JOIN myelin_readings v ON v.series = k.s AND v.time = k.t AND v.ref = k.r`;
}

/** Time of the first number of a series from one time on. */
export function nextNumberSql(id: number, fromUs: number, toUs: number): string {
  return `SELECT time FROM myelin_readings WHERE series = ${id} AND time >= ${fromUs} AND time < ${toUs} AND ${COUNTED}
    ORDER BY time LIMIT 1`;
}

/** Sums of one series over stretches, at most so many of them. */
export function aggregatesSql(
  id: number,
  { from, to }: { readonly from: number; readonly to: number },
  everyUs: number | undefined,
  stretches: number,
): string {
  const start = everyUs === undefined ? `${from}` : `time - ((time % ${everyUs}) + ${everyUs}) % ${everyUs}`;
  const edge = (at: string, way: string): string =>
    `(SELECT number FROM myelin_readings WHERE series = ${id} AND time = g.${at} AND ${COUNTED} ORDER BY ref${way} LIMIT 1)`;
  return `SELECT g.start, g.count, g.sum, g.min, g.max, ${edge("from_time", "")} AS first, ${edge("to_time", " DESC")} AS last
    FROM (
      SELECT ${start} AS start, COUNT(*) AS count, SUM(number) AS sum, MIN(number) AS min, MAX(number) AS max,
        MIN(time) AS from_time, MAX(time) AS to_time
      FROM myelin_readings WHERE series = ${id} AND time >= ${from} AND time < ${to} AND ${COUNTED}
      GROUP BY start ORDER BY start LIMIT ${stretches}
    ) g ORDER BY g.start`;
}

/** The next series that have something older. */
export function oldSeriesSql(after: number, beforeUs: number, limit: number): string {
  return `SELECT id FROM myelin_series s WHERE id > ${after}
    AND EXISTS (SELECT 1 FROM myelin_readings WHERE series = s.id AND time < ${beforeUs}) ORDER BY id LIMIT ${limit}`;
}

/** A step of removing. */
export function removeSql(id: number, beforeUs: number, rows: number): string {
  return `DELETE FROM myelin_readings WHERE series = ${id} AND time < ${beforeUs} ORDER BY time, ref LIMIT ${rows}`;
}
