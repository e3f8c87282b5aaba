/** The tables, made when they are not there. */
import type { PoolClient } from "pg";

const VERSION = 3;

// All that most questions ask for stands in the index: in the table neighbours in time lie far apart where many points report in turn.
const READINGS_KEY = "PRIMARY KEY (series, time, ref) INCLUDE (kind, quality, number, reason)";

// Series are found by hashes of their names: an index takes no more than 2704 bytes.
const TABLES = `
  CREATE TABLE myelin_store (version int NOT NULL);
  INSERT INTO myelin_store VALUES (${VERSION});
  CREATE TABLE myelin_series (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL, device text NOT NULL, path text NOT NULL, point text NOT NULL,
    device_key bytea NOT NULL, name_key bytea NOT NULL UNIQUE
  );
  CREATE INDEX myelin_series_device_key ON myelin_series (device_key);
  CREATE TABLE myelin_readings (
    series bigint NOT NULL, time bigint NOT NULL, ref bigint NOT NULL,
    kind smallint NOT NULL, quality smallint NOT NULL, number float8, text text, bytes bytea, reason text,
    ${READINGS_KEY}
  );
`;

const keySql = (...names: readonly string[]): string =>
  `sha256(convert_to(${names.map((name) => `octet_length(${name}) || ':' || ${name}`).join(" || ")}, 'UTF8'))`;

/** From the version at whose place it stands to the next; the first one makes everything. */
const CHANGES = [
  TABLES,
  "ALTER TABLE myelin_readings ADD COLUMN reason text",
  `ALTER TABLE myelin_readings DROP CONSTRAINT myelin_readings_pkey, ADD ${READINGS_KEY};
   ALTER TABLE myelin_series ADD COLUMN device_key bytea, ADD COLUMN name_key bytea,
     DROP CONSTRAINT myelin_series_tenant_device_path_point_key;
   UPDATE myelin_series SET device_key = ${keySql("tenant", "device")}, name_key = ${keySql("tenant", "device", "path", "point")};
   ALTER TABLE myelin_series ALTER COLUMN device_key SET NOT NULL, ALTER COLUMN name_key SET NOT NULL, ADD UNIQUE (name_key);
   CREATE INDEX myelin_series_device_key ON myelin_series (device_key)`,
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
    if (version < VERSION) {
      // Of a large table an index takes its time.
      await client.query("SET LOCAL statement_timeout = 0");
      for (const change of version === 0 ? CHANGES.slice(0, 1) : CHANGES.slice(version))
        await client.query(change);
      await client.query("UPDATE myelin_store SET version = $1", [VERSION]);
      version = VERSION;
    }
    await client.query("COMMIT");
    return { version, isKnown: version <= VERSION };
  } catch (thrown) {
    await client.query("ROLLBACK");
    throw thrown;
  }
}
