/** The file that a thread has open: its form, its statements, its transactions. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { workerData } from "node:worker_threads";
import { Refusal } from "../../thread/serve-calls.js";
import type { ThreadOptions } from "./protocol.js";

const SCHEMA_VERSION = 2;
/** Size of a page of the file. */
export const PAGE_BYTES = 4096;
/** Another process may write to the file at the same time. */
const BUSY_MS = 5_000;
const CACHE_KIB = 64 * 1024;
/** Written beside the file before they are copied into it: a page that many groups change is copied once for all of them. */
const WAL_PAGES = 32 * 1024;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, device TEXT NOT NULL, path TEXT NOT NULL, point TEXT NOT NULL,
    UNIQUE (tenant, device, path, point)
  );
  CREATE TABLE IF NOT EXISTS readings (
    series INTEGER NOT NULL, time INTEGER NOT NULL, ref INTEGER NOT NULL,
    kind INTEGER NOT NULL, quality INTEGER NOT NULL, value, reason TEXT,
    PRIMARY KEY (series, time, ref)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
/** From the version at whose place it stands to the next. */
const CHANGES = [SCHEMA, `ALTER TABLE readings ADD COLUMN reason TEXT; PRAGMA user_version = 2;`];

let database: DatabaseSync | undefined;
const statements = new Map<string, StatementSync>();
/** What the writer remembers of the series, by their names. */
export const seriesIds = new Map<string, number>();
let dataVersion = 0;

/** Prepared once. */
export function statement(sql: string): StatementSync {
  let found = statements.get(sql);
  if (found === undefined) {
    if (database === undefined) throw new Refusal("store.unavailable", "the file is not open");
    found = database.prepare(sql);
    statements.set(sql, found);
  }
  return found;
}

/** Every row. */
export function all<T>(sql: string, ...values: SQLInputValue[]): T[] {
  return statement(sql).all(...values) as T[];
}

/** The first row. */
export function one<T>(sql: string, ...values: SQLInputValue[]): T | undefined {
  return statement(sql).get(...values) as T | undefined;
}

/** Safe twice. */
export function close(): void {
  statements.clear();
  seriesIds.clear();
  const closing = database;
  database = undefined;
  closing?.close();
}

/** The writer makes what is not there. @throws Refusal, or what SQLite says */
export function open(): void {
  const { path, role, maxBytes } = workerData as ThreadOptions;
  close();
  const opened = new DatabaseSync(path, { readOnly: role === "reader" });
  try {
    opened.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA cache_size = -${CACHE_KIB};`);
    const { user_version: version } = opened.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version > SCHEMA_VERSION) {
      throw new Refusal("store.unavailable", `${path} was written by a newer version of the platform`);
    }
    if (role === "writer") {
      // What is written is on the disk before it is acknowledged, so each transaction is synced.
      opened.exec(`
        PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        PRAGMA journal_size_limit = ${WAL_PAGES * PAGE_BYTES}; PRAGMA wal_autocheckpoint = ${WAL_PAGES};
        PRAGMA max_page_count = ${Math.max(64, Math.floor(maxBytes / PAGE_BYTES))};
      `);
      if (version < SCHEMA_VERSION) opened.exec(`BEGIN IMMEDIATE; ${CHANGES[version]} COMMIT;`);
    }
  } catch (thrown) {
    opened.close();
    throw thrown;
  }
  database = opened;
}

/** All of it or nothing. */
export function transaction<T>(work: () => T): T {
  statement("BEGIN IMMEDIATE").run();
  try {
    // Another process may have removed series: what is remembered of them holds only while nobody else has written.
    const version = one<{ data_version: number }>("PRAGMA data_version")?.data_version ?? 0;
    if (version !== dataVersion) seriesIds.clear();
    dataVersion = version;
    const result = work();
    statement("COMMIT").run();
    return result;
  } catch (thrown) {
    seriesIds.clear();
    if (database?.isTransaction === true) statement("ROLLBACK").run();
    throw thrown;
  }
}

/** All that is read in it is of one moment. */
export function snapshot<T>(read: () => T): T {
  statement("BEGIN").run();
  try {
    return read();
  } finally {
    statement("COMMIT").run();
  }
}
