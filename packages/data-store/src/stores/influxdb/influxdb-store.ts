/** Readings in an InfluxDB database. */
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
import { afterOf, bySeries, encodePosition, MAX_REF } from "../../position.js";
import { checkPage, checkRange, pageBytes, positionOf, windowOf } from "../../queries.js";
import { KIND_CODES, type ReadingBlock, type ReadingColumns, storable } from "../../reading-block.js";
import type { SeriesName } from "../../series-ids.js";
import { isNumeric, readingOf } from "../../stored-reading.js";
import { type Found, InfluxdbHttp, type InfluxdbServer } from "./http.js";
import {
  COUNTED,
  deviceKeyOf,
  headOf,
  keyOf,
  nanosOf,
  partsOf,
  placeOf,
  readingLine,
  seriesLine,
} from "./lines.js";

/** Where the database is, and how it is written. */
export interface InfluxdbStoreOptions extends InfluxdbServer {
  /** Readings that are gathered at most, and how long the first of them waits for others. */
  readonly batchReadings: number;
  readonly batchWaitMs: number;
  readonly clock: Clock;
}

interface Series {
  readonly key: string;
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

/** Servers take 25 MB, unless they are told otherwise. */
const REQUEST_CHARACTERS = 4 * 1024 * 1024;
const MAX_CANDIDATES = 50_000;
const STATEMENTS_AT_ONCE = 100;
const MAX_KNOWN_SERIES = 500_000;
const ROW_BYTES = 48;
const SUM_BYTES = 96;
const FIELDS = "m, n, r, y, z, t";

/** Any number of processes may use one database. */
export class InfluxdbStore implements DataStore {
  readonly name: string;
  private readonly http: InfluxdbHttp;
  private readonly groups: GroupWriter;
  private readonly known = new Set<string>();
  private opening: Promise<void> | undefined;

  constructor(private readonly options: InfluxdbStoreOptions) {
    const { url, database, clock, batchReadings: maxReadings, batchWaitMs: waitMs } = options;
    this.name = `influxdb:${url}/${database}`;
    this.http = new InfluxdbHttp(options, this.name);
    this.groups = new GroupWriter({ clock, maxReadings, waitMs, write: (blocks) => this.writeGroup(blocks) });
  }

  async start(): Promise<void> {
    await this.opened();
  }

  async stop(): Promise<void> {
    this.groups.stop();
    this.opening = undefined;
    this.http.end();
  }

  write(block: ReadingBlock): Promise<void> {
    return this.groups.write(block);
  }

  async range(query: RangeQuery): Promise<Page<Reading>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const isUp = query.order === "ascending";
    const series = await this.seriesOf(query);
    const limit = Math.min(query.limit, Math.max(1, Math.floor(MAX_CANDIDATES / series.length)));
    const statements = series.map((one) => {
      const { timeUs, ref } = afterOf(one, query, start);
      const behind = isUp
        ? `time > ${nanosOf(timeUs, edgeOf(ref, 999))} AND time < ${nanosOf(query.toUs, 0)}`
        : `time < ${nanosOf(timeUs, edgeOf(ref, 1_000))} AND time >= ${nanosOf(query.fromUs, 0)}`;
      const order = `ORDER BY time ${isUp ? "ASC" : "DESC"} LIMIT ${limit + 1}`;
      return `SELECT ${FIELDS} FROM myelin_readings WHERE series_key = '${one.key}' AND ${behind} ${order}`;
    });
    const found = (await this.ask(statements)).flatMap(rowsOf);
    // Rows of one series are in order already, and the sort keeps that.
    const sign = isUp ? 1 : -1;
    found.sort((a, b) => sign * (a.time - b.time || a.ord - b.ord));
    return this.pageOf(found, series, { ...query, limit });
  }

  async latest(query: LatestQuery): Promise<Page<Reading>> {
    checkPage(query);
    const start = positionOf(query.cursor);
    const all = await this.seriesOf(query);
    const series = all.filter((one) => start === undefined || bySeries(one, start) > 0);
    const statements = series.map(
      ({ key }) =>
        `SELECT ${FIELDS} FROM myelin_readings WHERE series_key = '${key}' ORDER BY time DESC LIMIT 1`,
    );
    return this.pageOf((await this.ask(statements)).flatMap(rowsOf), series, query);
  }

  async aggregate(query: AggregateQuery): Promise<Page<Aggregate>> {
    checkRange(query);
    const start = positionOf(query.cursor);
    const { fromUs, toUs, limit, everyUs } = query;
    const rows: Aggregate[] = [];
    let left = pageBytes(query);
    for (const one of await this.seriesOf(query)) {
      const side = start === undefined ? 1 : bySeries(one, start);
      if (side < 0) continue;
      const { key, path, point } = one;
      const rowBytes = nameBytes(one) + SUM_BYTES;
      for (let at = side === 0 && start !== undefined ? start.timeUs : fromUs; ; ) {
        const [next] = await this.ask([`SELECT first(n) ${countedOf(key, at, toUs)}`]);
        const nextUs = next?.[0]?.values[0]?.[0];
        if (typeof nextUs !== "number") break;
        const room = Math.min(limit - rows.length, Math.floor(left / rowBytes));
        if (room < 1 && rows.length > 0) {
          return { rows, cursor: encodePosition({ timeUs: at, path, point, ref: 0 }) };
        }
        // Times before 1970 are rounded up.
        const foundUs = nextUs > 0 ? nextUs : Math.max(at, nextUs - 1);
        const { from, to } = windowOf(query, foundUs, Math.max(1, room));
        const every = everyUs === undefined ? "" : ` GROUP BY time(${everyUs}u) fill(none)`;
        const [sums] = await this.ask([`SELECT ${SUMS} ${countedOf(key, from, to)}${every}`]);
        const stretches = sums?.[0]?.values ?? [];
        for (const [time, ...sum] of stretches as number[][]) {
          rows.push(toAggregate(one, everyUs === undefined ? fromUs : time!, sum));
        }
        left -= stretches.length * rowBytes;
        at = to;
      }
    }
    return { rows };
  }

  async removeBefore(beforeUs: number, signal: AbortSignal): Promise<number> {
    if (signal.aborted) throw abortError(signal);
    const where = `FROM myelin_readings WHERE time < ${nanosOf(beforeUs, 0)}`;
    const [counted] = await this.ask([`SELECT count(m) ${where}`]);
    const removed = counted?.[0]?.values[0]?.[1];
    if (typeof removed !== "number" || removed === 0) return 0;
    await this.ask([`DELETE ${where}`]);
    return removed;
  }

  private async writeGroup(blocks: readonly ReadingBlock[]): Promise<void> {
    await this.opened();
    const all = blocks.map((block) => block.columns());
    const names = all.map(namesOf);
    await this.tellSeries(names.flat());
    let lines = "";
    for (const [i, columns] of all.entries()) {
      const heads = names[i]!.map(headOf);
      for (let row = 0; row < columns.count; row++) {
        lines += readingLine(heads[columns.seriesOf[row]!]!, columns, row);
        if (lines.length < REQUEST_CHARACTERS) continue;
        await this.http.write(lines);
        lines = "";
      }
    }
    if (lines !== "") await this.http.write(lines);
  }

  /** Before their readings: nothing would be found of them otherwise. */
  private async tellSeries(names: readonly SeriesName[]): Promise<void> {
    if (this.known.size + names.length > MAX_KNOWN_SERIES) this.known.clear();
    const unknown = names.filter((name) => !this.known.has(keyOf(name)));
    let lines = "";
    for (const name of unknown) {
      lines += seriesLine(name);
      if (lines.length < REQUEST_CHARACTERS) continue;
      await this.http.write(lines);
      lines = "";
    }
    if (lines !== "") await this.http.write(lines);
    for (const name of unknown) this.known.add(keyOf(name));
  }

  private async seriesOf({ tenant, device, path, point }: SeriesFilter): Promise<Series[]> {
    const key = deviceKeyOf({ tenant: storable(tenant), device: storable(device) });
    const [found = []] = await this.ask([
      `SELECT path, point FROM myelin_series WHERE device_key = '${key}' GROUP BY series_key`,
    ]);
    const series = found
      .map(({ tags, values }): Series => {
        const [, itsPath, itsPoint] = values[0]!;
        return { key: tags?.series_key ?? "", path: String(itsPath), point: String(itsPoint) };
      })
      .filter(
        (one) =>
          (path === undefined || one.path === storable(path)) &&
          (point === undefined || one.point === storable(point)),
      );
    if (series.length > MAX_QUERY_SERIES) {
      throw new AppError(
        "history.too_many_series",
        `${device} has more than ${MAX_QUERY_SERIES} points: ask for a path or a point`,
      );
    }
    return series.sort(bySeries);
  }

  /** As many rows as there is room for, with their values. */
  private async pageOf(
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
    const texts = await this.textsOf(chosen, series);
    const rows = chosen.map((row) => toReading(series[row.ord]!, row, texts.get(row)));
    const last = chosen.at(-1);
    if (last === undefined || chosen.length === found.length) return { rows };
    const { path, point } = series[last.ord]!;
    return { rows, cursor: encodePosition({ timeUs: last.time, path, point, ref: last.ref }) };
  }

  /** Texts of rows, which for each series lie next to each other. */
  private async textsOf(rows: readonly Row[], series: readonly Series[]): Promise<Map<Row, string>> {
    const wanted = rows.filter(({ kind }) => !isNumeric(kind) && kind < KIND_CODES.none);
    const statements = wanted.map(({ ord, time, ref }) => {
      const at = nanosOf(time, placeOf(ref));
      return `SELECT s FROM myelin_readings WHERE series_key = '${series[ord]!.key}' AND time = ${at}`;
    });
    const found = await this.ask(statements);
    return new Map(wanted.map((row, i) => [row, String(found[i]?.[0]?.values[0]?.[1] ?? "")]));
  }

  private async ask(statements: readonly string[]): Promise<(readonly Found[])[]> {
    await this.opened();
    const found: (readonly Found[])[] = [];
    for (let i = 0; i < statements.length; i += STATEMENTS_AT_ONCE) {
      found.push(...(await this.http.query(statements.slice(i, i + STATEMENTS_AT_ONCE))));
    }
    return found;
  }

  private async opened(): Promise<void> {
    this.opening ??= this.open();
    try {
      await this.opening;
    } catch (thrown) {
      this.opening = undefined;
      throw thrown;
    }
  }

  private async open(): Promise<void> {
    const { database } = this.options;
    const [found] = await this.http.query(["SHOW DATABASES"], false);
    if (found?.[0]?.values.some(([name]) => name === database) === true) return;
    const name = `"${database.replace(/["\\]/g, "\\$&")}"`;
    await this.http.query([`CREATE DATABASE ${name} WITH DURATION INF SHARD DURATION 26w`], false);
  }
}

const SUMS = "count(n), sum(n), min(n), max(n), first(n), last(n)";

function countedOf(key: string, fromUs: number, toUs: number): string {
  const time = `time >= ${nanosOf(fromUs, 0)} AND time < ${nanosOf(toUs, 0)}`;
  return `FROM myelin_readings WHERE series_key = '${key}' AND ${time} AND ${COUNTED}`;
}

/** Where a page ended within a microsecond; `end` stands behind all of it. */
function edgeOf(ref: number, end: number): number {
  if (ref < 0) return end === 999 ? -1 : 0;
  return ref === MAX_REF ? end : placeOf(ref);
}

function namesOf({ series }: ReadingColumns): SeriesName[] {
  const names: SeriesName[] = [];
  for (let i = 0; i < series.length; i += 4) {
    const [tenant = "", device = "", path = "", point = ""] = series.slice(i, i + 4).map(storable);
    names.push({ tenant, device, path, point });
  }
  return names;
}

/** Of one statement, which asked for one series. */
function rowsOf(found: readonly Found[], ord: number): Row[] {
  return (found[0]?.values ?? []).map(([time, mark, number, ref, reason, size, early]): Row => {
    const { kind, quality, hasReason } = partsOf(Number(mark));
    return {
      ord,
      time: Number(early ?? time),
      ref: Number(ref),
      kind,
      quality,
      number: typeof number === "number" ? number : null,
      size: isNumeric(kind) ? 0 : Number(size ?? 0),
      reason: hasReason ? String(reason ?? "") : null,
    };
  });
}

function toReading(series: Series, { time, kind, quality, number, reason }: Row, text?: string): Reading {
  const value =
    kind === KIND_CODES.bytes ? new Uint8Array(Buffer.from(text ?? "", "base64")) : (text ?? number);
  return readingOf(series, { timeUs: time, kind, quality, value, reason });
}

function toAggregate({ path, point }: Series, startUs: number, sums: readonly number[]): Aggregate {
  const [count = 0, sum = 0, min = 0, max = 0, first = 0, last = 0] = sums;
  return { path, point, startUs, count, sum, mean: sum / count, min, max, first, last };
}

function nameBytes({ path, point }: Series): number {
  return Buffer.byteLength(path) + Buffer.byteLength(point);
}
