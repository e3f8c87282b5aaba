/** Readings in a MySQL or MariaDB database. */
import { AppError, abortError, type Clock } from "@myelin/kernel";
import {
  type Aggregate,
  type AggregateQuery,
  type DataStore,
  type LatestQuery,
  MAX_QUERY_SERIES,
  type Page,
  type RangeQuery,
  type Reading,
  type SeriesFilter,
} from "../../data-store.js";
import { GroupWriter } from "../../group-writer.js";
import { afterOf, bySeries, encodePosition } from "../../position.js";
import { checkPage, checkRange, pageBytes, positionOf, windowOf } from "../../queries.js";
import { KIND_CODES, type ReadingBlock, storable } from "../../reading-block.js";
import { SeriesIds, type SeriesName } from "../../series-ids.js";
import { nameKey } from "../../series-key.js";
import { isNumeric, readingOf } from "../../stored-reading.js";
import { MysqlConnections, type MysqlServer, type Query } from "./connections.js";
import { insertSql } from "./insert.js";
import {
  addSeriesSql,
  aggregatesSql,
  findSeriesSql,
  latestSql,
  nextNumberSql,
  oldSeriesSql,
  rangeSql,
  removeSql,
  seriesSql,
  valuesSql,
} from "./queries.js";
import { ensureTables } from "./schema.js";

/** Where the database is, and how it is written. */
export interface MysqlStoreOptions extends MysqlServer {
  /** Readings that are written in one transaction, at most, and how long the first of them waits for others. */
  readonly batchReadings: number;
  readonly batchWaitMs: number;
  readonly clock: Clock;
}

interface Series {
  readonly id: number;
  readonly path: string;
  readonly point: string;
}

interface Row {
  readonly ord: number;
  readonly time: number;
  readonly ref: number;
  readonly kind: number;
  readonly quality: number;
  readonly number: number | null;
  readonly size: number;
  readonly reason: string | null;
}

interface Value {
  readonly n: number;
  readonly text: string | null;
  readonly bytes: Buffer | null;
}

type Sums = Omit<Aggregate, "path" | "point" | "startUs" | "mean"> & { readonly start: number };

/** Rows of all series together that a page is chosen from: with many series a page is shorter. */
const MAX_CANDIDATES = 100_000;
/** What one statement asks for: each part opens the table once more. */
const SERIES_AT_ONCE = 50;
const VALUES_AT_ONCE = 200;
const NAMES_AT_ONCE = 2_000;
const ROW_BYTES = 48;
const SUM_BYTES = 96;
const REMOVE_SERIES = 1_000;
const REMOVE_ROWS = 20_000;
const WRITE_TRIES = 4;

/** Connections that break are replaced at the next use. Any number of processes may use one database. */
export class MysqlStore implements DataStore {
  readonly name: string;
  private readonly connections: MysqlConnections;
  private readonly series = new SeriesIds((names) => this.findSeries(names));
  private readonly groups: GroupWriter;
  private opening: Promise<void> | undefined;

  constructor(options: MysqlStoreOptions) {
    const { host, port, database, clock, batchReadings: maxReadings, batchWaitMs: waitMs } = options;
    this.name = `mysql:${host}:${port}/${database}`;
    this.connections = new MysqlConnections(options, this.name, clock);
    this.groups = new GroupWriter({ clock, maxReadings, waitMs, write: (blocks) => this.writeGroup(blocks) });
  }

  async start(): Promise<void> {
    await this.opened();
  }

  async stop(): Promise<void> {
    this.groups.stop();
    this.opening = undefined;
    await this.connections.end();
  }

  write(block: ReadingBlock): Promise<void> {
    return this.groups.write(block);
  }

  async range(query: RangeQuery): Promise<Page<Reading>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const isUp = query.order === "ascending";
    const sign = isUp ? 1 : -1;
    return this.read(async (ask) => {
      const series = await seriesOf(ask, query);
      const limit = Math.min(query.limit, Math.max(1, Math.floor(MAX_CANDIDATES / series.length)));
      const from = series.map((one, ord) => ({ ord, id: one.id, ...afterOf(one, query, start) }));
      const found: Row[] = [];
      for (const some of chunks(from, SERIES_AT_ONCE)) {
        const endUs = isUp ? query.toUs : query.fromUs;
        found.push(...(await ask<Row>(rangeSql(some, isUp, endUs, limit + 1))));
      }
      found.sort((a, b) => sign * (a.time - b.time || a.ord - b.ord || a.ref - b.ref));
      return pageOf(ask, found, series, { ...query, limit });
    });
  }

  async latest(query: LatestQuery): Promise<Page<Reading>> {
    checkPage(query);
    const start = positionOf(query.cursor);
    return this.read(async (ask) => {
      const all = await seriesOf(ask, query);
      const series = all.filter((one) => start === undefined || bySeries(one, start) > 0);
      const found: Row[] = [];
      const wanted = series.map(({ id }, ord) => ({ ord, id }));
      for (const some of chunks(wanted, SERIES_AT_ONCE)) found.push(...(await ask<Row>(latestSql(some))));
      found.sort((a, b) => a.ord - b.ord);
      return pageOf(ask, found, series, query);
    });
  }

  async aggregate(query: AggregateQuery): Promise<Page<Aggregate>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const { fromUs, toUs, limit, everyUs } = query;
    return this.read(async (ask) => {
      const rows: Aggregate[] = [];
      let left = pageBytes(query);
      for (const one of await seriesOf(ask, query)) {
        const side = start === undefined ? 1 : bySeries(one, start);
        if (side < 0) continue;
        const rowBytes = nameBytes(one) + SUM_BYTES;
        for (let at = side === 0 && start !== undefined ? start.timeUs : fromUs; ; ) {
          const [next] = await ask<{ time: number }>(nextNumberSql(one.id, at, toUs));
          if (next === undefined) break;
          const room = Math.min(limit - rows.length, Math.floor(left / rowBytes));
          if (room < 1 && rows.length > 0) {
            return { rows, cursor: encodePosition({ timeUs: at, path: one.path, point: one.point, ref: 0 }) };
          }
          const stretches = Math.max(1, room);
          const window = windowOf(query, next.time, stretches);
          const sums = await ask<Sums>(aggregatesSql(one.id, window, everyUs, stretches));
          for (const sum of sums) rows.push(toAggregate(one, sum));
          left -= sums.length * rowBytes;
          at = window.to;
        }
      }
      return { rows };
    });
  }

  async removeBefore(beforeUs: number, signal: AbortSignal): Promise<number> {
    await this.opened();
    let removed = 0;
    for (let after = 0; ; ) {
      const sql = oldSeriesSql(after, beforeUs, REMOVE_SERIES);
      const series = await this.connections.use((ask) => ask<{ id: number }>(sql));
      for (const { id } of series) {
        for (let rows = REMOVE_ROWS; rows === REMOVE_ROWS; removed += rows) {
          if (signal.aborted) throw abortError(signal);
          rows = await this.connections.use((ask) => changed(ask, removeSql(id, beforeUs, REMOVE_ROWS)));
        }
        after = id;
      }
      if (series.length < REMOVE_SERIES) return removed;
    }
  }

  private async writeGroup(blocks: readonly ReadingBlock[]): Promise<void> {
    await this.opened();
    const identified = await this.series.identify(blocks.map((block) => block.columns()));
    const write = (): Promise<void> =>
      this.connections.transaction(async (ask) => {
        for (const sql of insertSql(identified)) await ask(sql);
      });
    for (let tries = 1; ; tries++) {
      try {
        return await write();
      } catch (thrown) {
        // Another one wrote the same places: the server has undone what one of the two did.
        if (AppError.from(thrown).code !== "store.conflict" || tries === WRITE_TRIES) throw thrown;
      }
    }
  }

  private async findSeries(names: readonly SeriesName[]): Promise<number[]> {
    const ids = new Map<string, number>();
    for (const some of chunks(names, NAMES_AT_ONCE)) {
      await this.connections.use((ask) => ask(addSeriesSql(some)));
      const found = await this.connections.use((ask) =>
        ask<{ id: number; name: string }>(findSeriesSql(some)),
      );
      for (const { id, name } of found) ids.set(name, id);
    }
    return names.map((name) => ids.get(nameKey(name))!);
  }

  private async read<T>(work: (ask: Query) => Promise<T>): Promise<T> {
    await this.opened();
    return this.connections.transaction(work);
  }

  private async opened(): Promise<void> {
    this.opening ??= this.connections.use((ask) => ensureTables(ask, this.name));
    try {
      await this.opening;
    } catch (thrown) {
      this.opening = undefined;
      throw thrown;
    }
  }
}

async function changed(ask: Query, sql: string): Promise<number> {
  // A statement that finds nothing answers with what it did.
  const result = (await ask(sql)) as unknown as { readonly affectedRows: number };
  return result.affectedRows;
}

async function seriesOf(ask: Query, { tenant, device, path, point }: SeriesFilter): Promise<Series[]> {
  const filter = {
    tenant: storable(tenant),
    device: storable(device),
    path: path === undefined ? undefined : storable(path),
    point: point === undefined ? undefined : storable(point),
  };
  const found = await ask<Series>(seriesSql(filter, MAX_QUERY_SERIES));
  if (found.length > MAX_QUERY_SERIES) {
    throw new AppError(
      "history.too_many_series",
      `${device} has more than ${MAX_QUERY_SERIES} points: ask for a path or a point`,
    );
  }
  // To the server texts that differ in spaces at their end are equal.
  const isWanted = ({ path: its, point: one }: Series): boolean =>
    its === (filter.path ?? its) && one === (filter.point ?? one);
  return found.filter(isWanted).sort(bySeries);
}

/** As many rows as there is room for, with their values. */
async function pageOf(
  ask: Query,
  found: readonly Row[],
  series: readonly Series[],
  page: { readonly limit: number; readonly maxBytes?: number | undefined },
): Promise<Page<Reading>> {
  let left = pageBytes(page);
  const shown = found.slice(0, page.limit);
  const full = shown.findIndex((row, i) => {
    left -= nameBytes(series[row.ord]!) + row.size + Buffer.byteLength(row.reason ?? "") + ROW_BYTES;
    return left < 0 && i > 0;
  });
  const chosen = full === -1 ? shown : shown.slice(0, full);
  const keys = chosen.flatMap(({ ord, time, ref, kind }, n) =>
    isNumeric(kind) || kind >= KIND_CODES.none ? [] : [{ n, id: series[ord]!.id, time, ref }],
  );
  const values: Value[] = [];
  for (const some of chunks(keys, VALUES_AT_ONCE)) {
    for (const value of await ask<Value>(valuesSql(some))) values[value.n] = value;
  }
  const rows = chosen.map((row, n) => toReading(series[row.ord]!, row, values[n]));
  const last = chosen.at(-1);
  if (last === undefined || chosen.length === found.length) return { rows };
  const { path, point } = series[last.ord]!;
  return { rows, cursor: encodePosition({ timeUs: last.time, path, point, ref: last.ref }) };
}

function toReading(series: Series, { time, number, ...row }: Row, value?: Value): Reading {
  const stored = number ?? value?.text ?? (value?.bytes ? new Uint8Array(value.bytes) : null);
  return readingOf(series, { ...row, timeUs: time, value: stored });
}

function toAggregate({ path, point }: Series, { start, count, sum, ...rest }: Sums): Aggregate {
  return { path, point, startUs: start, count, sum, mean: sum / count, ...rest };
}

function nameBytes({ path, point }: Series): number {
  return Buffer.byteLength(path) + Buffer.byteLength(point);
}

function* chunks<T>(all: readonly T[], size: number): Generator<readonly T[], void> {
  for (let i = 0; i < all.length; i += size) yield all.slice(i, i + size);
}
