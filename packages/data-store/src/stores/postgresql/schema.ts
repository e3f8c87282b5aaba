/** The tables, made when they are not there. */
import type { PoolClient } from "pg";

const VERSION = 2;

// Names are compared byte by byte, whatever the locale of the database.
const TABLES = `
  CREATE TABLE myelin_store (version int NOT NULL);
  INSERT INTO myelin_store VALUES (${VERSION});
  CREATE TABLE myelin_series (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL, device text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL, point text COLLATE "C" NOT NULL,
    UNIQUE (tenant, device, path, point)
  );
  CREATE TABLE myelin_readings (
    series bigint NOT NULL, time bigint NOT NULL, ref bigint NOT NULL,
    kind smallint NOT NULL, quality smallint NOT NULL, number float8, text text, bytes bytea, reason text,
    PRIMARY KEY (series, time, ref)
  );
`;

/** From the version at whose place it stands to the next. */
const CHANGES = [
  TABLES,
  "ALTER TABLE myelin_readings ADD COLUMN reason text; UPDATE myelin_store SET version = 2;",
];

/** Whoever comes at the same time waits. Any number; other programs of this database are not to use the same. */
const LOCK = 4_715_283_019;

/** @returns the version of the tables, and whether this knows it */
export async function ensureTables(client: PoolClient): Promise<{ version: number; isKnown: boolean }> {
  await client.query("BEGIN");
  try {
    await client.query("SELECT pg_advisory_xact_lock($1)", [LOCK]);
    const { rows: tables } = await client.query<{ found: string | null }>(
      "SELECT to_regclass('myelin_store') AS found",
    );
    let version = 0;
    if (tables[0]?.found !== null) {
      const { rows } = await client.query<{ version: number }>(
        "SELECT max(version) AS version FROM myelin_store",
      );
      version = rows[0]?.version ?? 0;
    }
    const change = CHANGES[version];
    if (change !== undefined) {
      await client.query(change);
      version = VERSION;
    }
    await client.query("COMMIT");
    return { version, isKnown: version <= VERSION };
  } catch (thrown) {
    await client.query("ROLLBACK");
    throw thrown;
  }
}
