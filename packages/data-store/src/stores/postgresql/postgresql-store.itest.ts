import { systemClock } from "@myelin/kernel";
import {
  makeCertificate,
  requires,
  startPostgresql,
  type TestServer,
  tempDir,
  waitFor,
} from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { describeDataStore } from "../../../contract/data-store.contract.js";
import { ReadingBlock } from "../../reading-block.js";
import { PostgresqlStore, type PostgresqlStoreOptions } from "./postgresql-store.js";

const storeOn = ({ host, port }: TestServer, changes: Partial<PostgresqlStoreOptions> = {}) =>
  new PostgresqlStore({
    host,
    port,
    database: "postgres",
    user: "myelin",
    batchReadings: 10_000,
    batchWaitMs: 0,
    clock: systemClock,
    ...changes,
  });

const EVER = { tenant: "", device: "d", fromUs: 0, toUs: 1e15, limit: 10_000, order: "ascending" } as const;

function block(from: number, count: number): ReadingBlock {
  const made = new ReadingBlock();
  const series = made.seriesNumber("", "d", "p", "t");
  for (let i = from; i < from + count; i++) made.addNumber(series, i, i, "good", i + 1);
  return made;
}

const FIRST_VERSION = `
  CREATE TABLE myelin_store (version int NOT NULL);
  INSERT INTO myelin_store VALUES (1);
  CREATE TABLE myelin_series (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL, device text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL, point text COLLATE "C" NOT NULL,
    UNIQUE (tenant, device, path, point)
  );
  CREATE TABLE myelin_readings (
    series bigint NOT NULL, time bigint NOT NULL, ref bigint NOT NULL,
    kind smallint NOT NULL, quality smallint NOT NULL, number float8, text text, bytes bytea,
    PRIMARY KEY (series, time, ref)
  );
  INSERT INTO myelin_series (tenant, device, path, point) VALUES ('', 'd', 'p', 't');
  INSERT INTO myelin_readings VALUES (1, 0, 1, 0, 0, 0, NULL, NULL);
`;

async function execute({ host, port }: TestServer, sql: string): Promise<void> {
  const { default: pg } = await import("pg");
  const client = new pg.Client({ host, port, database: "postgres", user: "myelin" });
  await client.connect();
  await client.query(sql);
  await client.end();
}

describe("PostgreSQL", requires.program("pg_createcluster"), () => {
  describeDataStore("PostgreSQL", async () => {
    const server = await startPostgresql();
    return {
      open: () => storeOn(server),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  });

  it("loses nothing that it has acknowledged when the server is killed, and goes on when it is back", async () => {
    await using server = await startPostgresql();
    const store = storeOn(server);
    let stored = 0;
    const writing = (async () => {
      for (;;) {
        await store.write(block(stored, 10));
        stored += 10;
      }
    })().catch((thrown: unknown) => thrown);
    await waitFor(() => stored >= 200, { what: "some to be stored", deadlineMs: 30_000 });
    await server.kill();
    expect(await writing).toMatchObject({ code: "store.unavailable", retryable: true });
    await expect(store.range(EVER)).rejects.toMatchObject({ code: "store.unavailable" });
    await server.restart();
    await waitFor(
      () =>
        store.range(EVER).then(
          () => true,
          () => false,
        ),
      {
        what: "the server to answer",
        deadlineMs: 30_000,
      },
    );
    const { rows } = await store.range({ ...EVER, fromUs: 0, toUs: stored });
    expect(rows.map(({ value }) => value)).toEqual([...Array(stored).keys()].slice(0, EVER.limit));
    await store.write(block(stored, 10));
    await store.stop();
  });

  it("is away when the server dies while the tables are looked at, and takes nothing else with it", async () => {
    await using server = await startPostgresql();
    const { default: pg } = await import("pg");
    const { host, port } = server;
    const first = new pg.Client({ host, port, database: "postgres", user: "myelin" });
    first.on("error", () => undefined);
    await first.connect();
    await first.query("SELECT pg_advisory_lock(4715283019)");
    const store = storeOn(server);
    const starting = store.start().catch((thrown: unknown) => thrown);
    const waits = "SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    const isWaiting = async () => (await first.query<{ n: number }>(waits)).rows[0]?.n === 1;
    await waitFor(isWaiting, { what: "the store to wait", deadlineMs: 30_000 });
    await server.kill();
    expect(await starting).toMatchObject({ code: "store.unavailable" });
    await store.stop();
  });

  it("opens what an earlier version has written, and keeps reasons there from then on", async () => {
    await using server = await startPostgresql();
    await execute(server, FIRST_VERSION);
    const store = storeOn(server);
    const made = block(1, 1);
    made.add(0, 2, { kind: "none", value: null }, "bad", 3, "fault");
    await store.write(made);
    const { rows } = await store.range(EVER);
    expect(rows.map(({ value, reason }) => [value, reason])).toEqual([
      [0, undefined],
      [1, undefined],
      [null, "fault"],
    ]);
    await store.stop();
  });

  it(
    "speaks TLS with a server that an authority vouches for, by its name, and with no other",
    requires.program("openssl"),
    async () => {
      await using dir = await tempDir("tls");
      const authority = await makeCertificate(dir, "authority");
      const tls = await makeCertificate(dir, "server", { issuer: authority, names: "DNS:localhost" });
      await using server = await startPostgresql({ tls });
      const ca = async () => authority.cert;
      const store = storeOn(server, { host: "localhost", tls: { ca } });
      await store.write(block(0, 3));
      expect((await store.range(EVER)).rows).toHaveLength(3);
      await store.stop();
      const other = (await makeCertificate(dir, "other")).cert;
      for (const wrong of [{ host: "localhost", tls: { ca: async () => other } }, { tls: { ca } }]) {
        const refused = storeOn(server, wrong);
        await expect(refused.start()).rejects.toMatchObject({ code: "store.unavailable" });
        await refused.stop();
      }
    },
  );

  it("counts as away while nobody may use it, and opens what a newer version has made no more", async () => {
    await using server = await startPostgresql();
    const unknown = storeOn(server, { user: "nobody" });
    await expect(unknown.write(block(0, 1))).rejects.toMatchObject({ code: "store.unavailable" });
    await unknown.stop();
    const closed = storeOn(server, { tls: {} });
    await expect(closed.start()).rejects.toMatchObject({ code: "store.unavailable" });
    const store = storeOn(server);
    await store.start();
    await store.stop();
    await execute(server, "UPDATE myelin_store SET version = 99");
    await expect(storeOn(server).start()).rejects.toMatchObject({
      code: "store.unavailable",
      message: expect.stringContaining("newer version"),
    });
  });
});
