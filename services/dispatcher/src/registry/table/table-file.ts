/** The file of a partition's devices: its form, and how it is opened. */
import { DatabaseSync } from "node:sqlite";

/** Of the form of the file: another one is thrown away, and made anew from the store. */
const SCHEMA_VERSION = 1;
/** Somebody reads while somebody else writes; both are short. */
const BUSY_MS = 5_000;
/** What was written lies beside the file until there are so many pages of it (16 MiB). */
const WAL_PAGES = 4_096;

// Terms are what lists ask for. A device's terms are strewn over their whole tree, so they are gathered in `pending` first.
const SCHEMA = `
  CREATE TABLE devices (tenant TEXT, id TEXT, version INTEGER NOT NULL, terms TEXT NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE TABLE terms (tenant TEXT, term TEXT, id TEXT, PRIMARY KEY (tenant, term, id)) WITHOUT ROWID;
  CREATE TABLE pending (n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL);
  CREATE TABLE presence (tenant TEXT, id TEXT, online INTEGER NOT NULL, since_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
    protocol INTEGER NOT NULL, address TEXT NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE INDEX online ON presence (tenant, id) WHERE online = 1;
  CREATE TABLE bars (tenant TEXT, id TEXT, version INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE INDEX markers ON bars (at_ms) WHERE version > 0;
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** A device's row; what is known of its presence beside it. */
export interface Row extends Partial<PresenceRow> {
  readonly version: number;
  readonly record: Uint8Array;
}

/** What is known of a device's connection. */
export interface PresenceRow {
  readonly online: number;
  readonly since_ms: number;
  readonly seen_ms: number;
  readonly protocol: number;
  readonly address: string;
}

/** Columns of a `Row`, and the table that brings its presence. */
export const ROW = "d.version, d.record, p.online, p.since_ms, p.seen_ms, p.protocol, p.address";
/** See `ROW`. */
export const ROW_PRESENCE = "presence p ON p.tenant = d.tenant AND p.id = d.id";

/**
 * Opens the file, making it where it is not there; one of another form is an error. What it holds can be had again from the store, so nothing waits
 * for the disk: after a crash of the machine it is whole, and may lack what was written last.
 * @param cacheBytes what the connection keeps in memory
 */
export function openTableFile(path: string, cacheBytes: number): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec(`
      PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA cache_size = -${Math.ceil(cacheBytes / 1024)};
      PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${WAL_PAGES};
      PRAGMA journal_size_limit = 0;
    `);
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as {
      user_version: number;
    };
    if (version === 0) database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    else if (version !== SCHEMA_VERSION)
      throw new RangeError(`${path} has the form ${version}, not ${SCHEMA_VERSION}`);
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}
