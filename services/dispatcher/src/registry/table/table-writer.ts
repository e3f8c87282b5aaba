/** The only connection that writes a partition's table; lives in the thread. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type DeviceColumns,
  KINDS,
  type Listed,
  type ListQuery,
  type PresenceColumns,
  type TablePlace,
  type TableState,
} from "./protocol.js";
import { openTableFile } from "./table-file.js";
import { TableLists } from "./table-lists.js";

/** Devices whose terms are not in their tree yet. Sorted before they go there, so each page of it is written once for all of them. */
const MAX_PENDING = 20_000;

// Of a term that came and went the last word counts.
const LATEST = `
  WITH changes AS (
    SELECT p.n, p.tenant, j.value AS term, p.id, 0 AS gone FROM pending p, json_each(p.added) j
    UNION ALL SELECT p.n, p.tenant, j.value, p.id, 1 FROM pending p, json_each(p.removed) j
  ), latest AS (SELECT tenant, term, id, gone, max(n) FROM changes GROUP BY tenant, term, id)`;

interface Known {
  readonly version: number;
  readonly terms: string;
}

/** One per partition that was written to. */
export class TableWriter {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #lists: TableLists;
  #size: number;
  #pending: number;
  #hasBars: boolean;

  constructor(path: string, cacheBytes: number) {
    this.#database = openTableFile(path, cacheBytes);
    this.#lists = new TableLists(this.#database);
    this.#size = Number(this.#one("SELECT value FROM meta WHERE name = 'size'").value ?? 0);
    this.#pending = Number(this.#one("SELECT count(*) AS count FROM pending").count);
    this.#hasBars = this.#one("SELECT EXISTS (SELECT 1 FROM bars) AS found").found === 1;
  }

  /** All of it or nothing. */
  put(columns: DeviceColumns, force: boolean, place: TablePlace | undefined): TableState {
    const { tenants, ids, kinds, versions, atMs, terms, ends, records } = columns;
    const before = { size: this.#size, hasBars: this.#hasBars };
    try {
      this.#transaction(() => {
        for (let i = 0; i < ids.length; i++) {
          const tenant = tenants[i]!;
          const id = ids[i]!;
          const version = versions[i]!;
          if (!force && this.#versionOf(tenant, id) >= version) continue;
          switch (kinds[i]) {
            case KINDS.nothing:
            case KINDS.deleted:
              this.#remove(tenant, id);
              if (kinds[i] === KINDS.deleted) this.#bar(tenant, id, version, atMs[i]!);
              break;
            default:
              if (kinds[i] === KINDS.disabled) this.#bar(tenant, id, 0, atMs[i]!);
              else this.#free(tenant, id);
              this.#putDevice(tenant, id, version, terms[i]!, records.subarray(ends[i - 1] ?? 0, ends[i]));
          }
        }
        this.#note("size", this.#size);
        if (place !== undefined) {
          this.#note("origin", place.origin);
          this.#note("through", place.through);
        }
        if (this.#pending >= MAX_PENDING) this.#merge();
      });
    } catch (thrown) {
      this.#size = before.size;
      this.#hasBars = before.hasBars;
      this.#pending = Number(this.#one("SELECT count(*) AS count FROM pending").count);
      throw thrown;
    }
    return { size: this.#size, hasBars: this.#hasBars };
  }

  /** Only of devices that there are. */
  putPresence(columns: PresenceColumns): void {
    const { tenants, ids, online, sinceMs, seenMs, protocols, addresses } = columns;
    const put = this.#statement(`INSERT OR REPLACE INTO presence SELECT tenant, id, ?, ?, ?, ?, ? FROM devices
      WHERE tenant = ? AND id = ?`);
    this.#transaction(() => {
      for (let i = 0; i < ids.length; i++) {
        const values = [sinceMs[i]!, seenMs[i]!, protocols[i]!, addresses[i]!] as const;
        put.run(online[i] ? 1 : 0, ...values, tenants[i]!, ids[i]!);
      }
    });
  }

  clearPresence(): void {
    this.#statement("DELETE FROM presence").run();
  }

  list(query: ListQuery): Listed {
    if (query.terms.length > 0) this.#settle();
    return this.#lists.list(query);
  }

  /** Devices that a term names. */
  count(tenant: string, term: string): number {
    this.#settle();
    const counted = this.#statement("SELECT count(*) AS count FROM terms WHERE tenant = ? AND term = ?");
    return Number(counted.get(tenant, term)?.count);
  }

  close(): void {
    this.#database.close();
  }

  /** Of the device, or of the marker that it has left; 0: there is neither. */
  #versionOf(tenant: string, id: string): number {
    const known = this.#known(tenant, id);
    if (known !== undefined) return known.version;
    if (!this.#hasBars) return 0;
    const marker = this.#statement("SELECT version FROM bars WHERE tenant = ? AND id = ?").get(tenant, id);
    return Number(marker?.version ?? 0);
  }

  #known(tenant: string, id: string): Known | undefined {
    const found = this.#statement("SELECT version, terms FROM devices WHERE tenant = ? AND id = ?");
    return found.get(tenant, id) as Known | undefined;
  }

  #putDevice(tenant: string, id: string, version: number, terms: string, record: Uint8Array): void {
    const known = this.#known(tenant, id);
    const put = this.#statement("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?)");
    put.run(tenant, id, version, terms, record);
    if (known === undefined) {
      this.#size += 1;
      this.#later(tenant, id, terms, "[]");
    } else if (known.terms !== terms) {
      const old = JSON.parse(known.terms) as string[];
      const now = JSON.parse(terms) as string[];
      this.#later(
        tenant,
        id,
        JSON.stringify(now.filter((term) => !old.includes(term))),
        JSON.stringify(old.filter((term) => !now.includes(term))),
      );
    }
  }

  /** Nothing is left of it. */
  #remove(tenant: string, id: string): void {
    this.#free(tenant, id);
    const known = this.#known(tenant, id);
    if (known === undefined) return;
    this.#size -= 1;
    this.#statement("DELETE FROM devices WHERE tenant = ? AND id = ?").run(tenant, id);
    this.#statement("DELETE FROM presence WHERE tenant = ? AND id = ?").run(tenant, id);
    this.#later(tenant, id, "[]", known.terms);
  }

  #later(tenant: string, id: string, added: string, removed: string): void {
    if (added === "[]" && removed === "[]") return;
    const put = this.#statement("INSERT INTO pending (tenant, id, added, removed) VALUES (?, ?, ?, ?)");
    put.run(tenant, id, added, removed);
    this.#pending += 1;
  }

  /** What was gathered is in its tree. */
  #settle(): void {
    if (this.#pending > 0) this.#transaction(() => this.#merge());
  }

  #merge(): void {
    this.#statement(
      `${LATEST} INSERT OR IGNORE INTO terms SELECT tenant, term, id FROM latest WHERE gone = 0`,
    ).run();
    const isAny = "SELECT EXISTS (SELECT 1 FROM pending WHERE removed <> '[]') AS found";
    if (this.#one(isAny).found === 1)
      this.#statement(
        `${LATEST} DELETE FROM terms WHERE (tenant, term, id) IN (SELECT tenant, term, id FROM latest WHERE gone = 1)`,
      ).run();
    this.#statement("DELETE FROM pending").run();
    this.#pending = 0;
  }

  #bar(tenant: string, id: string, version: number, atMs: number): void {
    this.#hasBars = true;
    this.#statement("INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?)").run(tenant, id, version, atMs);
  }

  #free(tenant: string, id: string): void {
    if (this.#hasBars) this.#statement("DELETE FROM bars WHERE tenant = ? AND id = ?").run(tenant, id);
  }

  #note(name: string, value: string | number): void {
    this.#statement("INSERT OR REPLACE INTO meta VALUES (?, ?)").run(name, value);
  }

  #one(sql: string): Record<string, unknown> {
    return this.#statement(sql).get() ?? {};
  }

  #statement(sql: string): StatementSync {
    let found = this.#statements.get(sql);
    if (found === undefined) {
      found = this.#database.prepare(sql);
      this.#statements.set(sql, found);
    }
    return found;
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (thrown) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw thrown;
    }
  }
}
