/** The statements that find readings. */

/** What is summed up: neither NaN, nor infinite, nor bad. */
const COUNTED = `kind <= 1 AND quality < 2 AND number BETWEEN -${Number.MAX_VALUE} AND ${Number.MAX_VALUE}`;

/** What a reading takes in a page: names, value, and time, quality and what stands between them. */
const SIZE = `s.names + coalesce(octet_length(v.text), 0) + coalesce(octet_length(v.bytes), 0)
  + coalesce(octet_length(r.reason), 0) + 48`;

/** What stands in the index, */
const INDEXED = "SELECT time, ref, kind, quality, number, reason FROM myelin_readings";
/** and the values that do not. */
const OTHERS = `LEFT JOIN LATERAL (
    SELECT text, bytes FROM myelin_readings WHERE series = s.id AND time = r.time AND ref = r.ref AND r.kind BETWEEN 2 AND 5
  ) v ON true`;

/** Makes series that are not there. Parameters: tenants, devices, paths, points, and the keys of `series-key.ts`. */
export const ADD_SERIES = `
  INSERT INTO myelin_series (tenant, device, path, point, device_key, name_key)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
  ON CONFLICT DO NOTHING`;

/** Identities with their keys. Parameter: the keys. */
export const FIND_SERIES = `
  SELECT encode(name_key, 'hex') AS name, id::float8 FROM myelin_series WHERE name_key = ANY($1::bytea[])`;

/** Series of a device. Parameters: its key, path and point or null, most rows. */
export const SERIES = `
  SELECT id::float8, path, point FROM myelin_series WHERE device_key = $1::bytea
    AND ($2::text IS NULL OR path = $2) AND ($3::text IS NULL OR point = $3) LIMIT $4`;

/** Rows of the series in $1 (with the bytes of their names in $2) behind the times in $3 and references in $4, up to $5. */
const range = (isUp: boolean): string => {
  const way = isUp ? "" : "DESC";
  const compare = isUp ? ">" : "<";
  const end = isUp ? "time < $5" : "time >= $5";
  return `
    SELECT ord::float8, time::float8, ref::float8, kind, quality, number, text, bytes, reason, found::float8 FROM (
      SELECT x.*, row_number() OVER w AS n, sum(size) OVER w AS total, count(*) OVER () AS found FROM (
        SELECT s.ord, r.*, v.text, v.bytes, ${SIZE} AS size
        FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS s(id, names, after_time, after_ref, ord)
        CROSS JOIN LATERAL (
          ${INDEXED}
          WHERE series = s.id AND (time, ref) ${compare} (s.after_time, s.after_ref) AND ${end}
          ORDER BY time ${way}, ref ${way} LIMIT $6 + 1
        ) r ${OTHERS}
      ) x WINDOW w AS (ORDER BY time ${way}, ord ${way}, ref ${way} ROWS UNBOUNDED PRECEDING)
    ) y WHERE n = 1 OR (n <= $6 AND total <= $7) ORDER BY n`;
};

/** Parameters: series, bytes of their names, time and reference behind which each goes on, end, limit, bytes. */
export const RANGE_UP = range(true);
/** As `RANGE_UP`. */
export const RANGE_DOWN = range(false);

/** The newest of each series. Parameters: series, bytes of their names, limit, bytes. */
export const LATEST = `
  SELECT ord::float8, time::float8, ref::float8, kind, quality, number, text, bytes, reason, found::float8 FROM (
    SELECT x.*, row_number() OVER w AS n, sum(size) OVER w AS total, count(*) OVER () AS found FROM (
      SELECT s.ord, r.*, v.text, v.bytes, ${SIZE} AS size
      FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS s(id, names, ord)
      CROSS JOIN LATERAL (
        ${INDEXED} WHERE series = s.id ORDER BY time DESC, ref DESC LIMIT 1
      ) r ${OTHERS}
    ) x WINDOW w AS (ORDER BY ord ROWS UNBOUNDED PRECEDING)
  ) y WHERE n = 1 OR (n <= $3 AND total <= $4) ORDER BY n`;

/** Time of the first number of a series from one time on. Parameters: series, from, to. */
export const NEXT_NUMBER = `
  SELECT time::float8 FROM myelin_readings WHERE series = $1 AND time >= $2 AND time < $3 AND ${COUNTED}
  ORDER BY time LIMIT 1`;

/** Sums of one series. Parameters: series, from, to, length of a stretch or null, most stretches. */
export const AGGREGATES = `
  SELECT g.start::float8, g.count::float8, g.sum, g.min, g.max, f.number AS first, l.number AS last
  FROM (
    SELECT coalesce(time - ((time % $4) + $4) % $4, $2) AS start, count(*) AS count, sum(number) AS sum,
      min(number) AS min, max(number) AS max, min(time) AS from_time, max(time) AS to_time
    FROM myelin_readings WHERE series = $1::bigint AND time >= $2::bigint AND time < $3::bigint AND ${COUNTED}
    GROUP BY 1 ORDER BY 1 LIMIT $5
  ) g
  CROSS JOIN LATERAL (
    SELECT number FROM myelin_readings WHERE series = $1 AND time = g.from_time AND ${COUNTED} ORDER BY ref LIMIT 1
  ) f
  CROSS JOIN LATERAL (
    SELECT number FROM myelin_readings WHERE series = $1 AND time = g.to_time AND ${COUNTED} ORDER BY ref DESC LIMIT 1
  ) l
  ORDER BY g.start`;

/** A step of removing: the oldest of some series. Parameters: series behind which it begins, how many, time, most rows. */
export const REMOVE = `
  WITH part AS (SELECT id FROM myelin_series WHERE id > $1 ORDER BY id LIMIT $2),
  old AS (
    SELECT r.series, r.time, r.ref FROM part CROSS JOIN LATERAL (
      SELECT series, time, ref FROM myelin_readings WHERE series = part.id AND time < $3 ORDER BY time, ref LIMIT $4
    ) r LIMIT $4
  ),
  gone AS (
    DELETE FROM myelin_readings m USING old
    WHERE m.series = old.series AND m.time = old.time AND m.ref = old.ref RETURNING 1
  )
  SELECT (SELECT count(*) FROM gone)::float8 AS removed, (SELECT max(id) FROM part)::float8 AS last`;
