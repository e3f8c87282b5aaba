import { systemClock } from "@myelin/kernel";
import { makeCertificate, requires, startMariadb, type TestServer, tempDir, waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { describeDataStore } from "../../../contract/data-store.contract.js";
import { ReadingBlock } from "../../reading-block.js";
import { MysqlStore, type MysqlStoreOptions } from "./mysql-store.js";

const storeOn = ({ host, port }: TestServer, changes: Partial<MysqlStoreOptions> = {}) =>
  new MysqlStore({
    host,
    port,
    database: "myelin",
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

async function execute({ host, port }: TestServer, sql: string): Promise<void> {
  const { createConnection } = await import("mysql2/promise");
  const connection = await createConnection({ host, port, database: "myelin", user: "myelin" });
  await connection.query(sql);
  await connection.end();
}

describe("MariaDB", requires.program("mariadbd"), () => {
  describeDataStore("MariaDB", async () => {
    const server = await startMariadb();
    return {
      open: () => storeOn(server),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  });

  it("loses nothing that it has acknowledged when the server is killed, and goes on when it is back", async () => {
    await using server = await startMariadb();
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
    const answers = () =>
      store.range(EVER).then(
        () => true,
        () => false,
      );
    await waitFor(answers, { what: "the server to answer", deadlineMs: 30_000 });
    const { rows } = await store.range({ ...EVER, toUs: stored });
    expect(rows.map(({ value }) => value)).toEqual([...Array(stored).keys()].slice(0, EVER.limit));
    await store.write(block(stored, 10));
    await store.stop();
  });

  it(
    "speaks TLS with a server that an authority vouches for, by its name, and with no other",
    requires.program("openssl"),
    async () => {
      await using dir = await tempDir("tls");
      const authority = await makeCertificate(dir, "authority");
      const tls = await makeCertificate(dir, "server", { issuer: authority, names: "DNS:localhost" });
      await using server = await startMariadb({ tls });
      const ca = async () => authority.cert;
      const store = storeOn(server, { host: "localhost", tls: { ca } });
      await store.write(block(0, 3));
      expect((await store.range(EVER)).rows).toHaveLength(3);
      await store.stop();
      const other = (await makeCertificate(dir, "other")).cert;
      const unnamed = await makeCertificate(dir, "unnamed", { issuer: authority, names: "DNS:elsewhere" });
      const refused = storeOn(server, { host: "localhost", tls: { ca: async () => other } });
      await expect(refused.start()).rejects.toMatchObject({ code: "store.unavailable" });
      await refused.stop();
      await using impostor = await startMariadb({ tls: unnamed });
      const fooled = storeOn(impostor, { host: "localhost", tls: { ca } });
      await expect(fooled.start()).rejects.toMatchObject({ code: "store.unavailable" });
      await fooled.stop();
    },
  );

  it("asks for the password again when the server has refused the one before", async () => {
    await using server = await startMariadb();
    await execute(server, "SET PASSWORD = PASSWORD('new')");
    const passwords = ["old", "new"];
    const store = storeOn(server, { password: async () => passwords.shift() ?? "new" });
    await expect(store.write(block(0, 1))).rejects.toMatchObject({ code: "store.unavailable" });
    await store.write(block(0, 1));
    expect((await store.range(EVER)).rows).toHaveLength(1);
    await store.stop();
  });

  it("opens what a newer version has made no more", async () => {
    await using server = await startMariadb();
    const store = storeOn(server);
    await store.start();
    await execute(server, "UPDATE myelin_store SET version = 99");
    await store.stop();
    await expect(store.start()).rejects.toMatchObject({
      code: "store.unavailable",
      message: expect.stringContaining("newer version"),
    });
    await store.stop();
  });

  it("does not wait for ever for a server that does not answer when it is closed", async () => {
    await using server = await startMariadb();
    const store = storeOn(server);
    await store.write(block(0, 1));
    await server.pause();
    await store.stop();
    server.resume();
  });
});
