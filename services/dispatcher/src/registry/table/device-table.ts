/** The records of one partition's devices in SQLite: a copy of the store that can be looked up and listed. */
import { rm } from "node:fs/promises";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Protocol, registry } from "@myelin/contract";
import { type DeviceColumns, KINDS, type ListQuery, type TablePlace } from "./protocol.js";
import { openTableFile, type PresenceRow, ROW, ROW_PRESENCE, type Row } from "./table-file.js";
import { TableLists } from "./table-lists.js";
import type { TableThread } from "./table-thread.js";

/** A record and its version. */
export interface StoredDevice {
  readonly device: registry.Device;
  readonly version: number;
  /** Size of the record. */
  readonly bytes: number;
}

/** What is left of a device that was deleted. */
export interface Marker {
  readonly tenant: string;
  readonly id: string;
  readonly version: number;
}

/** What takes the place of what there is of a device: a record, or nothing. */
export interface TableEntry {
  readonly device: registry.Device;
  readonly record: Uint8Array | undefined;
  readonly version: number;
}

/** A page of a list. */
export interface DeviceList {
  readonly devices: readonly StoredDevice[];
  readonly more: boolean;
}

/**
 * Looking up one device reads the file at once, also while the thread writes: microseconds. What writes, and lists that look for something, go to the
 * thread. What was put is seen by everything that is asked after it has resolved.
 */
export class DeviceTable {
  #database: DatabaseSync;
  #lists: TableLists;
  readonly #statements = new Map<string, StatementSync>();
  #size = 0;
  /** False: there has been none, and nothing need be looked up. */
  #hasBars = false;
  #place: TablePlace | undefined;

  /** Opens the file, or makes it; `cacheBytes` is what this end of it keeps in memory. */
  constructor(
    private readonly path: string,
    private readonly cacheBytes: number,
    private readonly thread: TableThread,
  ) {
    this.#database = openTableFile(path, cacheBytes);
    this.#lists = new TableLists(this.#database);
    this.#look();
  }

  get size(): number {
    return this.#size;
  }

  /** How far in which store it stands; undefined: it is empty. */
  get place(): TablePlace | undefined {
    return this.#place;
  }

  /** It is empty, and what is put is of that store. */
  startAt(place: TablePlace): void {
    this.#place = place;
  }

  /** Throws away all there is. @throws AppError `store.*`, or what the file system says */
  async reset(): Promise<void> {
    await this.thread.forget(this.path);
    this.close();
    await removeTable(this.path);
    this.#database = openTableFile(this.path, this.cacheBytes);
    this.#lists = new TableLists(this.#database);
    this.#look();
  }

  get(tenant: string, id: string): StoredDevice | undefined {
    const sql = `SELECT ${ROW} FROM devices d LEFT JOIN ${ROW_PRESENCE} WHERE d.tenant = ? AND d.id = ?`;
    const row = this.#statement(sql).get(tenant, id) as Row | undefined;
    return row === undefined ? undefined : stored(row);
  }

  /** Version of the marker that a deleted device has left; 0: none. */
  marker(tenant: string, id: string): number {
    if (!this.#hasBars) return 0;
    const sql = "SELECT version FROM bars WHERE tenant = ? AND id = ? AND version > 0";
    return Number(this.#statement(sql).get(tenant, id)?.version ?? 0);
  }

  /** May it not connect? */
  isBarred(tenant: string, id: string): boolean {
    return this.#statement("SELECT 1 FROM bars WHERE tenant = ? AND id = ?").get(tenant, id) !== undefined;
  }

  /** Markers of devices that were deleted up to then, the oldest first. */
  markersUpTo(atMs: number, limit: number): Marker[] {
    const sql =
      "SELECT tenant, id, version FROM bars WHERE version > 0 AND at_ms <= ? ORDER BY at_ms LIMIT ?";
    return this.#statement(sql).all(atMs, limit) as unknown as Marker[];
  }

  /** Devices that may not connect, disabled or deleted, behind `after`. */
  bars(after: registry.Key, limit: number): registry.Key[] {
    const sql = "SELECT tenant, id FROM bars WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?";
    return this.#statement(sql).all(after.tenant, after.id, limit) as unknown as registry.Key[];
  }

  /** Is there such a device? */
  has(tenant: string, id: string): boolean {
    return this.#statement("SELECT 1 FROM devices WHERE tenant = ? AND id = ?").get(tenant, id) !== undefined;
  }

  /** What is known of a device's connection. */
  presence(tenant: string, id: string): registry.Presence | undefined {
    const row = this.#statement("SELECT * FROM presence WHERE tenant = ? AND id = ?").get(tenant, id);
    return row === undefined ? undefined : presenceOf(row as unknown as PresenceRow);
  }

  /** Presences behind a device, in the order of their keys. */
  presences(after: registry.Key, limit: number): registry.KeptPresence[] {
    const sql = "SELECT * FROM presence WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?";
    const rows = this.#statement(sql).all(after.tenant, after.id, limit);
    return (rows as unknown as (PresenceRow & registry.Key)[]).map((row) => ({
      tenant: row.tenant,
      id: row.id,
      presence: presenceOf(row),
    }));
  }

  /**
   * Each takes the place of what there is of its device, if that is older; all of them or none.
   * @param options force: also if it is newer; place: what holds of the table then
   * @throws AppError `store.*`
   */
  async put(
    entries: readonly TableEntry[],
    options: { readonly force?: boolean; readonly place?: TablePlace | undefined } = {},
  ): Promise<void> {
    const { force = false, place } = options;
    const { size, hasBars } = await this.thread.put({
      path: this.path,
      columns: toColumns(entries),
      force,
      place,
    });
    this.#size = size;
    this.#hasBars = hasBars;
    if (place !== undefined) this.#place = place;
  }

  /** Each takes the place of what was known of a device that there is. @throws AppError `store.*` */
  async putPresence(kept: readonly registry.KeptPresence[]): Promise<void> {
    const all = kept.flatMap(({ tenant, id, presence }) =>
      presence === undefined ? [] : { tenant, id, ...presence },
    );
    await this.thread.putPresence(this.path, {
      tenants: all.map(({ tenant }) => tenant),
      ids: all.map(({ id }) => id),
      online: all.map(({ online }) => online),
      sinceMs: all.map(({ sinceMs }) => sinceMs),
      seenMs: all.map(({ seenMs }) => seenMs),
      protocols: all.map(({ protocol }) => protocol),
      addresses: all.map(({ address }) => address),
    });
  }

  /** Nobody's presence is known. @throws AppError `store.*` */
  async clearPresence(): Promise<void> {
    if (this.presences({ tenant: "", id: "" }, 1).length > 0) await this.thread.clearPresence(this.path);
  }

  /** Those that all conditions hold for, in the order of their ids' bytes. @throws AppError `store.*` */
  async list(wanted: registry.ListDevices, maxBytes: number): Promise<DeviceList> {
    const { tenant, after, limit, idPrefix } = wanted;
    const query: ListQuery = {
      ...{
        tenant,
        after,
        limit,
        maxBytes,
        terms: termsOf(wanted),
        presence: WISHES[wanted.presence] ?? "any",
      },
      from: idPrefix,
      // Behind every id with the prefix, in the order of UTF-8 bytes.
      end: `${idPrefix}\u{10ffff}`,
    };
    const isWalk = query.terms.length === 0 && query.presence === "any";
    const { rows, more } = isWalk ? this.#lists.list(query) : await this.thread.list(this.path, query);
    return { devices: rows.map(stored), more };
  }

  /** Devices that have a profile. @throws AppError `store.*` */
  count(tenant: string, profile: string): Promise<number> {
    return this.thread.count(this.path, tenant, termOfProfile(profile));
  }

  /** Nothing is asked of it any more. */
  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #look(): void {
    const values = new Map<unknown, unknown>();
    for (const { name, value } of this.#statement("SELECT name, value FROM meta").all())
      values.set(name, value);
    this.#size = Number(values.get("size") ?? 0);
    const [origin, through] = [values.get("origin"), values.get("through")];
    this.#place = origin === undefined ? undefined : { origin: String(origin), through: Number(through) };
    this.#hasBars = this.bars({ tenant: "", id: "" }, 1).length > 0;
  }

  #statement(sql: string): StatementSync {
    let found = this.#statements.get(sql);
    if (found === undefined) {
      found = this.#database.prepare(sql);
      this.#statements.set(sql, found);
    }
    return found;
  }
}

/** Removes the file of a table that nobody has open. */
export async function removeTable(path: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
}

const WISHES: Partial<Record<registry.PresenceWish, ListQuery["presence"]>> = {
  [registry.PresenceWish.ONLINE]: "online",
  [registry.PresenceWish.OFFLINE]: "offline",
};

function toColumns(entries: readonly TableEntry[]): DeviceColumns {
  let bytes = 0;
  for (const { record } of entries) bytes += record?.length ?? 0;
  // Of its own: it goes to the thread whole.
  const records = new Uint8Array(bytes);
  const ends: number[] = [];
  let end = 0;
  for (const { record } of entries) {
    if (record !== undefined) records.set(record, end);
    end += record?.length ?? 0;
    ends.push(end);
  }
  return {
    tenants: entries.map(({ device }) => device.tenant),
    ids: entries.map(({ device }) => device.id),
    kinds: entries.map(kindOf),
    versions: entries.map(({ version }) => version),
    atMs: entries.map(({ device }) => device.updatedAtMs),
    terms: entries.map(({ device }) => JSON.stringify(termsOf(device))),
    ...{ ends, records },
  };
}

function kindOf({ device, record }: TableEntry): number {
  if (record === undefined) return KINDS.nothing;
  if (device.deleted) return KINDS.deleted;
  return device.disabled ? KINDS.disabled : KINDS.device;
}

/** What lists can ask for, as words of one index. Names of tags have no `=`. */
function termsOf({
  profile,
  tags,
  groups,
  disabled,
}: Pick<registry.Device, "profile" | "tags" | "groups" | "disabled">): string[] {
  return [
    ...(disabled ? ["d"] : []),
    ...(profile === "" ? [] : [termOfProfile(profile)]),
    ...tags.map(({ name, value }) => `t:${name}=${value}`),
    ...groups.map((group) => `g:${group}`),
  ];
}

function termOfProfile(profile: string): string {
  return `p:${profile}`;
}

function stored({ version, record, ...row }: Row): StoredDevice {
  const presence = row.online === null ? undefined : presenceOf(row as PresenceRow);
  return { device: { ...registry.Device.decode(record), version, presence }, version, bytes: record.length };
}

function presenceOf({ online, since_ms, seen_ms, protocol, address }: PresenceRow): registry.Presence {
  const known = { online: online === 1, sinceMs: since_ms, seenMs: seen_ms };
  return { ...known, protocol: protocol as Protocol, address };
}
