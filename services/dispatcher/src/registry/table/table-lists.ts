/** Lists by terms and presence. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Listed, ListQuery } from "./protocol.js";
import { ROW, ROW_PRESENCE, type Row } from "./table-file.js";

/** Statements are made when they are first needed. */
export class TableLists {
  readonly #statements = new Map<string, StatementSync>();

  constructor(private readonly database: DatabaseSync) {}

  /** Up to the limit, or until there are enough bytes; at least one where there is one. */
  list({ tenant, terms, presence, after, from, end, limit, maxBytes }: ListQuery): Listed {
    const values = [...terms.flatMap((term) => [tenant, term]), tenant, after, from, end, limit + 1];
    const rows: Row[] = [];
    let bytes = 0;
    for (const one of this.#statement(terms.length, presence).iterate(...values)) {
      const row = one as unknown as Row;
      bytes += row.record.length;
      if (rows.length === limit || (bytes > maxBytes && rows.length > 0)) return { rows, more: true };
      rows.push(row);
    }
    return { rows, more: false };
  }

  #statement(terms: number, presence: ListQuery["presence"]): StatementSync {
    const kind = `${terms}${presence}`;
    let statement = this.#statements.get(kind);
    if (statement === undefined) {
      // The first term is walked in the order of the ids, and whoever it names is looked up in the others.
      const tables = Array.from({ length: terms }, (_, i) => `terms t${i}`);
      const holds = tables.map((_, i) => `t${i}.tenant = ? AND t${i}.term = ?`);
      for (let i = 1; i < terms; i++) holds.push(`t${i}.id = t0.id`);
      const isWalk = terms === 0 && presence === "online";
      const first = terms > 0 ? "t0" : isWalk ? "p" : "d";
      if (terms > 0) holds.push("d.id = t0.id");
      if (isWalk) tables.push("presence p INDEXED BY online", "devices d");
      else tables.push("devices d");
      if (presence === "online") holds.push("p.online = 1");
      if (presence === "offline") holds.push("coalesce(p.online, 0) = 0");
      if (isWalk) holds.push("d.tenant = p.tenant AND d.id = p.id");
      statement = this.database.prepare(
        `SELECT ${ROW} FROM ${tables.join(" CROSS JOIN ")} ${isWalk ? "" : `LEFT JOIN ${ROW_PRESENCE}`}
         WHERE ${[...holds, `${isWalk ? "p" : "d"}.tenant = ?`].join(" AND ")}
         AND ${first}.id > ? AND ${first}.id >= ? AND ${first}.id < ? ORDER BY ${first}.id LIMIT ?`,
      );
      this.#statements.set(kind, statement);
    }
    return statement;
  }
}
