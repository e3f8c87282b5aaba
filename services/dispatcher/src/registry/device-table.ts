/** The records of one partition's devices in SQLite: a copy of the store that can be looked up and listed. The only file that knows the library. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Protocol, registry } from "@myelin/contract";

/** A record and its version. */
export interface StoredDevice {
  readonly device: registry.Device;
  readonly version: number;
  /** Size of the record. */
  readonly bytes: number;
}

const SCHEMA = `
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;
  PRAGMA locking_mode = EXCLUSIVE;
  CREATE TABLE devices (tenant TEXT, id TEXT, version INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE TABLE terms (tenant TEXT, term TEXT, id TEXT, PRIMARY KEY (tenant, term, id)) WITHOUT ROWID;
  CREATE TABLE presence (tenant TEXT, id TEXT, online INTEGER NOT NULL, since_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
    protocol INTEGER NOT NULL, address TEXT NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE TABLE bars (tenant TEXT, id TEXT, version INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
  CREATE INDEX markers ON bars (at_ms) WHERE version > 0;
`;

/** What is left of a device that was deleted. */
export interface Marker {
  readonly tenant: string;
  readonly id: string;
  readonly version: number;
}

interface Row extends Partial<PresenceRow> {
  readonly version: number;
  readonly record: Uint8Array;
}

interface PresenceRow {
  readonly online: number;
  readonly since_ms: number;
  readonly seen_ms: number;
  readonly protocol: Protocol;
  readonly address: string;
}

const WITH_PRESENCE = "d.version, d.record, p.online, p.since_ms, p.seen_ms, p.protocol, p.address";
const JOIN_PRESENCE = "LEFT JOIN presence p ON p.tenant = d.tenant AND p.id = d.id";
/** The term of devices that are online. */
const ONLINE = "o";

/**
 * Made anew whenever a partition is taken, so it needs no care: what is on disk is never read again after a crash. Not for many hundred
 * rows at a time, since SQLite answers before it returns.
 */
export class DeviceTable {
  readonly #db: DatabaseSync;
  readonly #get: StatementSync;
  readonly #has: StatementSync;
  readonly #presence: StatementSync;
  readonly #putPresence: StatementSync;
  readonly #removePresence: StatementSync;
  readonly #pagePresence: StatementSync;
  readonly #removeTerm: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #putTerm: StatementSync;
  readonly #marker: StatementSync;
  readonly #isBarred: StatementSync;
  readonly #oldMarkers: StatementSync;
  readonly #bar: StatementSync;
  readonly #free: StatementSync;
  readonly #listBars: StatementSync;
  readonly #lists = new Map<string, StatementSync>();
  #size = 0;
  /** False: there has been none, and nothing need be looked up. */
  #hasBars = false;

  /** Opens a file that must not exist; `cacheBytes` is what it keeps in memory. */
  constructor(path: string, cacheBytes: number) {
    this.#db = new DatabaseSync(path);
    this.#db.exec(SCHEMA);
    this.#db.exec(`PRAGMA cache_size = -${Math.ceil(cacheBytes / 1024)}`);
    const prepare = (sql: string): StatementSync => this.#db.prepare(sql);
    this.#get = prepare(
      `SELECT ${WITH_PRESENCE} FROM devices d ${JOIN_PRESENCE} WHERE d.tenant = ? AND d.id = ?`,
    );
    this.#has = prepare("SELECT 1 FROM devices WHERE tenant = ? AND id = ?");
    this.#presence = prepare("SELECT * FROM presence WHERE tenant = ? AND id = ?");
    this.#putPresence = prepare("INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#removePresence = prepare("DELETE FROM presence WHERE tenant = ? AND id = ?");
    this.#removeTerm = prepare("DELETE FROM terms WHERE tenant = ? AND term = ? AND id = ?");
    this.#pagePresence = prepare(
      "SELECT * FROM presence WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?",
    );
    this.#put = prepare("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?)");
    this.#remove = prepare("DELETE FROM devices WHERE tenant = ? AND id = ?");
    this.#putTerm = prepare("INSERT OR IGNORE INTO terms VALUES (?, ?, ?)");
    this.#marker = prepare("SELECT version FROM bars WHERE tenant = ? AND id = ? AND version > 0");
    this.#isBarred = prepare("SELECT 1 FROM bars WHERE tenant = ? AND id = ?");
    this.#oldMarkers = prepare(
      "SELECT tenant, id, version FROM bars WHERE version > 0 AND at_ms <= ? ORDER BY at_ms LIMIT ?",
    );
    this.#bar = prepare("INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?)");
    this.#free = prepare("DELETE FROM bars WHERE tenant = ? AND id = ?");
    this.#listBars = prepare(
      "SELECT tenant, id FROM bars WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?",
    );
  }

  get size(): number {
    return this.#size;
  }

  /** Runs many changes as one. */
  transaction(work: () => void): void {
    this.#db.exec("BEGIN");
    work();
    this.#db.exec("COMMIT");
  }

  get(tenant: string, id: string): StoredDevice | undefined {
    const row = this.#get.get(tenant, id) as Row | undefined;
    return row === undefined ? undefined : stored(row);
  }

  /** Version of the marker that a deleted device has left; 0: none. */
  marker(tenant: string, id: string): number {
    if (!this.#hasBars) return 0;
    return (this.#marker.get(tenant, id) as { version: number } | undefined)?.version ?? 0;
  }

  /** May it not connect? */
  isBarred(tenant: string, id: string): boolean {
    return this.#isBarred.get(tenant, id) !== undefined;
  }

  /** Markers of devices that were deleted up to then, the oldest first. */
  markersUpTo(atMs: number, limit: number): Marker[] {
    return this.#oldMarkers.all(atMs, limit) as unknown as Marker[];
  }

  /** Devices that may not connect, disabled or deleted, behind `after`. */
  bars(after: registry.Key, limit: number): registry.Key[] {
    return this.#listBars.all(after.tenant, after.id, limit) as unknown as registry.Key[];
  }

  /** Takes the place of what there is of the device; a marker takes it out. */
  put(device: registry.Device, record: Uint8Array, version: number): void {
    const { tenant, id, deleted, disabled, updatedAtMs } = device;
    if (deleted) {
      this.remove(tenant, id);
      this.#setBar(tenant, id, version, updatedAtMs);
      return;
    }
    if (disabled) this.#setBar(tenant, id, 0, updatedAtMs);
    else this.#freeBar(tenant, id);
    const before = this.#get.get(tenant, id) as Row | undefined;
    this.#put.run(tenant, id, version, record);
    const terms = termsOf(device);
    if (before === undefined) {
      this.#size += 1;
      for (const term of terms) this.#putTerm.run(tenant, term, id);
      return;
    }
    const old = termsOf(registry.Device.decode(before.record));
    for (const term of old) if (!terms.includes(term)) this.#removeTerm.run(tenant, term, id);
    for (const term of terms) if (!old.includes(term)) this.#putTerm.run(tenant, term, id);
  }

  /** Is there such a device? */
  has(tenant: string, id: string): boolean {
    return this.#has.get(tenant, id) !== undefined;
  }

  /** What is known of a device's connection. */
  presence(tenant: string, id: string): registry.Presence | undefined {
    const row = this.#presence.get(tenant, id) as unknown as PresenceRow | undefined;
    return row === undefined ? undefined : presenceOf(row);
  }

  /** Takes the place of what was known. */
  putPresence(tenant: string, id: string, presence: registry.Presence): void {
    const { online, sinceMs, seenMs, protocol, address } = presence;
    this.#putPresence.run(tenant, id, online ? 1 : 0, sinceMs, seenMs, protocol, address);
    if (!online) this.#removeTerm.run(tenant, ONLINE, id);
    else if (this.has(tenant, id)) this.#putTerm.run(tenant, ONLINE, id);
  }

  /** Presences behind a device, in the order of their keys. */
  presences(after: registry.Key, limit: number): registry.KeptPresence[] {
    const rows = this.#pagePresence.all(after.tenant, after.id, limit);
    return (rows as unknown as (PresenceRow & registry.Key)[]).map((row) => ({
      tenant: row.tenant,
      id: row.id,
      presence: presenceOf(row),
    }));
  }

  /** Nothing is left of it, not even a marker. */
  remove(tenant: string, id: string): void {
    this.#freeBar(tenant, id);
    const before = this.#get.get(tenant, id) as Row | undefined;
    if (before === undefined) return;
    this.#size -= 1;
    this.#remove.run(tenant, id);
    this.#removePresence.run(tenant, id);
    for (const term of [ONLINE, ...termsOf(registry.Device.decode(before.record))])
      this.#removeTerm.run(tenant, term, id);
  }

  #setBar(tenant: string, id: string, version: number, atMs: number): void {
    this.#hasBars = true;
    this.#bar.run(tenant, id, version, atMs);
  }

  #freeBar(tenant: string, id: string): void {
    if (this.#hasBars) this.#free.run(tenant, id);
  }

  /** Those that all conditions hold for, in the order of their ids' bytes; one more than `limit` where there are more. Walked to an end before the table is changed. */
  *list({
    tenant,
    after,
    limit,
    idPrefix,
    presence,
    ...conditions
  }: registry.ListDevices): Iterable<StoredDevice> {
    const isOffline = presence === registry.PresenceWish.OFFLINE;
    const terms = termsOf(conditions);
    if (presence === registry.PresenceWish.ONLINE) terms.push(ONLINE);
    // Behind every id with the prefix, in the order of UTF-8 bytes.
    const end = idPrefix === "" ? "\u{10ffff}" : `${idPrefix}\u{10ffff}`;
    const rows = this.#list(terms.length, isOffline).iterate(
      ...terms.flatMap((term) => [tenant, term]),
      tenant,
      after,
      idPrefix,
      end,
      limit + 1,
    );
    for (const row of rows) yield stored(row as unknown as Row);
  }

  close(): void {
    this.#db.close();
  }

  #list(terms: number, isOffline: boolean): StatementSync {
    const kind = `${terms}${isOffline}`;
    let statement = this.#lists.get(kind);
    if (statement === undefined) {
      const names = Array.from({ length: terms }, (_, i) => `t${i}`);
      const joins = names.map((t, i) => (i === 0 ? `terms t0 CROSS JOIN` : `terms ${t} CROSS JOIN`));
      const holds = names.map(
        (t, i) => `${t}.tenant = ? AND ${t}.term = ? AND ${i === 0 ? "1" : `${t}.id = t0.id`} AND `,
      );
      const first = terms === 0 ? "d" : "t0";
      const same = terms === 0 ? "" : "AND d.id = t0.id";
      statement = this.#db.prepare(
        `SELECT ${WITH_PRESENCE} FROM ${joins.join(" ")} devices d ${JOIN_PRESENCE} WHERE ${holds.join("")} d.tenant = ? ${same}
         ${isOffline ? "AND coalesce(p.online, 0) = 0" : ""} AND ${first}.id > ? AND ${first}.id >= ? AND ${first}.id < ? ORDER BY ${first}.id LIMIT ?`,
      );
      this.#lists.set(kind, statement);
    }
    return statement;
  }
}

/** What lists can ask for, as words of one index. */
function termsOf({
  profile,
  tags,
  groups,
  disabled,
}: Pick<registry.Device, "profile" | "tags" | "groups" | "disabled">): string[] {
  return [
    ...(disabled ? ["d"] : []),
    ...(profile === "" ? [] : [`p\0${profile}`]),
    ...tags.map(({ name, value }) => `t\0${name}\0${value}`),
    ...groups.map((group) => `g\0${group}`),
  ];
}

function stored({ version, record, ...row }: Row): StoredDevice {
  const presence = row.online === null ? undefined : presenceOf(row as PresenceRow);
  return { device: { ...registry.Device.decode(record), version, presence }, version, bytes: record.length };
}

function presenceOf({ online, since_ms, seen_ms, protocol, address }: PresenceRow): registry.Presence {
  return { online: online === 1, sinceMs: since_ms, seenMs: seen_ms, protocol, address };
}
