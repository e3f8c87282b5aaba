/** Readings in a PostgreSQL database. */
import { AppError, abortError, type Clock } from "@myelin/kernel";
import type { Pool } from "pg";
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
import { type ReadingBlock, storable } from "../../reading-block.js";
import { SeriesIds, type SeriesName } from "../../series-ids.js";
import { deviceKey, nameKey } from "../../series-key.js";
import { readingOf } from "../../stored-reading.js";
import { INSERT, quoted, toParameters } from "./insert.js";
import {
  ADD_SERIES,
  AGGREGATES,
  FIND_SERIES,
  LATEST,
  NEXT_NUMBER,
  RANGE_DOWN,
  RANGE_UP,
  REMOVE,
  SERIES,
} from "./queries.js";
import { ensureTables } from "./schema.js";

/** Where the database is, and how it is written. */
export interface PostgresqlStoreOptions {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Asked at each new connection. */
  readonly password?: (() => Promise<string>) | undefined;
  /** Absent: no TLS. The server's certificate is always checked; without `ca` by the authorities that Node.js knows. */
  readonly tls?: { readonly ca?: (() => Promise<string>) | undefined } | undefined;
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
  readonly text: string | null;
  readonly bytes: Buffer | null;
  readonly reason: string | null;
  readonly found: number;
}

type Sums = Omit<Aggregate, "path" | "point" | "startUs" | "mean"> & { readonly start: number };

/** One writes, the others answer queries. */
const CONNECTIONS = 4;
const CONNECT_MS = 10_000;
const STATEMENT_MS = 30_000;
/** Rows of all series together that a page is chosen from: with many series a page is shorter. */
const MAX_CANDIDATES = 200_000;
const SUM_BYTES = 96;
const REMOVE_SERIES = 1_000;
const REMOVE_ROWS = 20_000;
/**
 * What is asked for always lies in one index, in order. The server takes another way while it has not yet looked at what a young
 * table holds, or has looked too early, or takes longer to compile a statement than it runs. What is acknowledged is on its disk, whatever the default.
 */
const SESSION =
  "SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET synchronous_commit = on";
/** disk_full (PostgreSQL, appendix A). */
const DISK_FULL = "53100";
/** Classes of errors that the same readings would meet again: data exceptions and violated constraints. */
const OUR_FAULT = /^(22|23)/;

/** Connections that break are replaced at the next use. Any number of processes may use one database. */
export class PostgresqlStore implements DataStore {
  readonly name: string;
  private pool: Pool | undefined;
  private opening: Promise<Pool> | undefined;
  private readonly series = new SeriesIds((names) => this.findSeries(names));
  private readonly groups: GroupWriter;

  constructor(private readonly options: PostgresqlStoreOptions) {
    const { host, port, database, clock, batchReadings: maxReadings, batchWaitMs: waitMs } = options;
    this.name = `postgresql:${host}:${port}/${database}`;
    this.groups = new GroupWriter({ clock, maxReadings, waitMs, write: (blocks) => this.writeGroup(blocks) });
  }

  async start(): Promise<void> {
    await this.opened();
  }

  async stop(): Promise<void> {
    this.groups.stop();
    const { pool } = this;
    this.pool = undefined;
    this.opening = undefined;
    await pool?.end();
  }

  write(block: ReadingBlock): Promise<void> {
    return this.groups.write(block);
  }

  async range(query: RangeQuery): Promise<Page<Reading>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const series = await this.seriesOf(query);
    if (series.length === 0) return { rows: [] };
    const isUp = query.order === "ascending";
    const after = series.map((one) => afterOf(one, query, start));
    const limit = Math.min(query.limit, Math.max(1, Math.floor(MAX_CANDIDATES / series.length)));
    const found = await this.query<Row>(isUp ? RANGE_UP : RANGE_DOWN, [
      list(series.map(({ id }) => id)),
      list(series.map(nameBytes)),
      list(after.map(({ timeUs }) => timeUs)),
      list(after.map(({ ref }) => ref)),
      isUp ? query.toUs : query.fromUs,
      limit,
      pageBytes(query),
    ]);
    return pageOf(found, series);
  }

  async aggregate(query: AggregateQuery): Promise<Page<Aggregate>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const { fromUs, toUs, limit } = query;
    const rows: Aggregate[] = [];
    let left = pageBytes(query);
    for (const one of await this.seriesOf(query)) {
      const side = start === undefined ? 1 : bySeries(one, start);
      if (side < 0) continue;
      const rowBytes = nameBytes(one) + SUM_BYTES;
      for (let at = side === 0 && start !== undefined ? start.timeUs : fromUs; ; ) {
        const [next] = await this.query<{ time: number }>(NEXT_NUMBER, [one.id, at, toUs]);
        if (next === undefined) break;
        const room = Math.min(limit - rows.length, Math.floor(left / rowBytes));
        if (room < 1 && rows.length > 0) {
          const position = { timeUs: at, path: one.path, point: one.point, ref: 0 };
          return { rows, cursor: encodePosition(position) };
        }
        const stretches = Math.max(1, room);
        const { from, to } = windowOf(query, next.time, stretches);
        const sums = await this.query<Sums>(AGGREGATES, [one.id, from, to, query.everyUs ?? null, stretches]);
        for (const sum of sums) rows.push(toAggregate(one, sum, query));
        left -= sums.length * rowBytes;
        at = to;
      }
    }
    return { rows };
  }

  async latest(query: LatestQuery): Promise<Page<Reading>> {
    checkPage(query);
    const start = positionOf(query.cursor);
    const all = await this.seriesOf(query);
    const series = all.filter((one) => start === undefined || bySeries(one, start) > 0);
    const found = await this.query<Row>(LATEST, [
      list(series.map(({ id }) => id)),
      list(series.map(nameBytes)),
      query.limit,
      pageBytes(query),
    ]);
    return pageOf(found, series);
  }

  async removeBefore(beforeUs: number, signal: AbortSignal): Promise<number> {
    let removed = 0;
    for (let after = 0; ; ) {
      if (signal.aborted) throw abortError(signal);
      const parameters = [after, REMOVE_SERIES, beforeUs, REMOVE_ROWS];
      const [step] = await this.query<{ removed: number; last: number | null }>(REMOVE, parameters);
      if (step === undefined || step.last === null) return removed;
      removed += step.removed;
      // Else the step was full, and these series may have more.
      if (step.removed < REMOVE_ROWS) after = step.last;
    }
  }

  private async seriesOf({ tenant, device, path, point }: SeriesFilter): Promise<readonly Series[]> {
    const key = bytea(deviceKey({ tenant: storable(tenant), device: storable(device) }));
    const only = (name: string | undefined): string | null => (name === undefined ? null : storable(name));
    const parameters = [key, only(path), only(point), MAX_QUERY_SERIES + 1];
    const found = await this.query<Series>(SERIES, parameters);
    if (found.length > MAX_QUERY_SERIES) {
      throw new AppError(
        "history.too_many_series",
        `${device} has more than ${MAX_QUERY_SERIES} points: ask for a path or a point`,
      );
    }
    return found.sort(bySeries);
  }

  private async writeGroup(blocks: readonly ReadingBlock[]): Promise<void> {
    const identified = await this.series.identify(blocks.map((block) => block.columns()));
    await this.query(INSERT, toParameters(identified));
  }

  private async findSeries(names: readonly SeriesName[]): Promise<number[]> {
    const columns = (["tenant", "device", "path", "point"] as const).map(
      (column) => `{${names.map((name) => quoted(name[column])).join(",")}}`,
    );
    const keys = names.map(nameKey);
    const keyLists = [names.map(deviceKey), keys].map(
      (list) => `{${list.map((key) => quoted(bytea(key))).join(",")}}`,
    );
    await this.query(ADD_SERIES, [...columns, ...keyLists]);
    const found = await this.query<{ name: string; id: number }>(FIND_SERIES, keyLists.slice(1));
    const ids = new Map(found.map(({ name, id }) => [name, id]));
    return keys.map((key) => ids.get(key)!);
  }

  private async query<R extends object>(text: string, values: readonly unknown[]): Promise<R[]> {
    const pool = await this.opened();
    try {
      return (await pool.query<R>(text, [...values])).rows;
    } catch (thrown) {
      throw this.told(thrown);
    }
  }

  private async opened(): Promise<Pool> {
    this.opening ??= this.open();
    try {
      return await this.opening;
    } catch (thrown) {
      this.opening = undefined;
      throw thrown;
    }
  }

  private async open(): Promise<Pool> {
    const { host, port, database, user, password, tls } = this.options;
    const ca = await tls?.ca?.();
    // Loaded by those only who use it.
    const { default: pg } = await import("pg");
    const pool = new pg.Pool({
      host,
      port,
      database,
      user,
      password,
      ssl: tls === undefined ? false : { ...(ca !== undefined && { ca }), rejectUnauthorized: true },
      max: CONNECTIONS,
      connectionTimeoutMillis: CONNECT_MS,
      statement_timeout: STATEMENT_MS,
      query_timeout: STATEMENT_MS + CONNECT_MS,
      keepAlive: true,
      allowExitOnIdle: true,
      application_name: "myelin",
      onConnect: async (client) => void (await client.query(SESSION)),
    });
    // A connection that breaks while nobody uses it is replaced at the next use; there is nobody to tell.
    pool.on("error", () => undefined);
    try {
      const client = await pool.connect();
      // What it fails with while it is lent is told by the call that is under way; nobody else is there to hear it.
      client.on("error", () => undefined);
      try {
        const { version, isKnown } = await ensureTables(client);
        if (!isKnown) throw newer(this.name, version);
      } finally {
        client.release();
      }
    } catch (thrown) {
      await pool.end();
      throw this.told(thrown);
    }
    this.pool = pool;
    return pool;
  }

  private told(thrown: unknown): AppError {
    if (AppError.is(thrown)) return thrown;
    const { code = "", message } = thrown as { code?: string; message?: string };
    const text = `${this.name}: ${message === undefined || message === "" ? code : message}`;
    if (code === DISK_FULL) return new AppError("store.full", text, { cause: thrown });
    if (OUR_FAULT.test(code)) return new AppError("internal.unexpected", text, { cause: thrown });
    // Whatever else it is, a wrong password or a missing right included, can be put right without us.
    return new AppError("store.unavailable", text, { cause: thrown });
  }
}

function newer(name: string, version: number): AppError {
  const text = `${name} was written by a newer version of the platform (${version})`;
  return new AppError("store.unavailable", text);
}

/** Hexadecimal digits as bytes (PostgreSQL, 8.4.1). */
function bytea(hex: string): string {
  return `\\x${hex}`;
}

function list(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

function nameBytes({ path, point }: Series): number {
  return Buffer.byteLength(path) + Buffer.byteLength(point);
}

function pageOf(found: readonly Row[], series: readonly Series[]): Page<Reading> {
  const rows = found.map((row) => toReading(row, series[row.ord - 1]!));
  const last = found.at(-1);
  if (last === undefined || last.found === found.length) return { rows };
  const { path, point } = series[last.ord - 1]!;
  return { rows, cursor: encodePosition({ timeUs: last.time, path, point, ref: last.ref }) };
}

function toReading({ time, number, text, bytes, ...row }: Row, series: Series): Reading {
  const value = number ?? text ?? (bytes && new Uint8Array(bytes));
  return readingOf(series, { ...row, timeUs: time, value });
}

function toAggregate({ path, point }: Series, sums: Sums, { fromUs, everyUs }: AggregateQuery): Aggregate {
  const { start, count, sum, ...rest } = sums;
  return {
    path,
    point,
    startUs: everyUs === undefined ? fromUs : start,
    count,
    sum,
    mean: sum / count,
    ...rest,
  };
}
