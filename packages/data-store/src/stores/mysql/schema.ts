/** The tables, made when they are not there. */
import { AppError } from "@myelin/kernel";
import type { Query } from "./connections.js";

const VERSION = 1;

const TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
const NAME = `${TEXT} NOT NULL`;

// Names are found by their hashes: an index holds no more than 3072 bytes, and collations would take different names for the same.
const TABLES = [
  `CREATE TABLE IF NOT EXISTS myelin_series (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_key BINARY(32) NOT NULL, name_key BINARY(32) NOT NULL,
    tenant ${NAME}, device ${NAME}, path ${NAME}, point ${NAME},
    UNIQUE KEY name_key (name_key), KEY device_key (device_key)
  ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
  `CREATE TABLE IF NOT EXISTS myelin_readings (
    series BIGINT NOT NULL, time BIGINT NOT NULL, ref BIGINT NOT NULL,
    kind TINYINT NOT NULL, quality TINYINT NOT NULL, number DOUBLE, size INT NOT NULL DEFAULT 0,
    text ${TEXT}, bytes LONGBLOB, reason VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    PRIMARY KEY (series, time, ref)
  ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
  "CREATE TABLE IF NOT EXISTS myelin_store (version INT NOT NULL) ENGINE=InnoDB",
];

/** Whoever comes at the same time waits, for that long at most. */
const LOCK_SECONDS = 20;

/** @throws AppError `store.unavailable` when a newer version has made the tables, or somebody else takes too long */
export async function ensureTables(query: Query, name: string): Promise<void> {
  // Tables cannot be made within a transaction.
  const [{ locked } = { locked: null }] = await query<{ locked: number | null }>(
    `SELECT GET_LOCK(CONCAT('myelin_store.', DATABASE()), ${LOCK_SECONDS}) AS locked`,
  );
  if (locked !== 1)
    throw new AppError("store.unavailable", `${name}: its tables are being made by another one`);
  try {
    for (const table of TABLES) await query(table);
    const [found] = await query<{ version: number | null }>(
      "SELECT MAX(version) AS version FROM myelin_store",
    );
    const version = found?.version ?? undefined;
    if (version === undefined) await query(`INSERT INTO myelin_store VALUES (${VERSION})`);
    else if (version > VERSION) {
      const text = `${name} was written by a newer version of the platform (${version})`;
      throw new AppError("store.unavailable", text);
    }
  } finally {
    await query("SELECT RELEASE_LOCK(CONCAT('myelin_store.', DATABASE()))");
  }
}
