import { writeFile } from "node:fs/promises";
import { systemClock } from "@myelin/kernel";
import { startProcess, tempDir } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { describeDataStore } from "../../../contract/data-store.contract.js";
import { ReadingBlock } from "../../reading-block.js";
import { SqliteStore } from "./sqlite-store.js";

const GIB = 1024 ** 3;
const storeAt = (path: string, maxBytes = GIB) =>
  new SqliteStore({ path, maxBytes, batchReadings: 10_000, batchWaitMs: 0, clock: systemClock });

describeDataStore("SQLite", async () => {
  const dir = await tempDir("sqlite");
  return {
    open: () => storeAt(dir.join("sub/history.db")),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
});

const EVER = { tenant: "", device: "d", fromUs: 0, toUs: 1e15, limit: 10_000, order: "ascending" } as const;

function block(from: number, count: number, text?: string): ReadingBlock {
  const made = new ReadingBlock();
  const series = made.seriesNumber("", "d", "p", "t");
  for (let i = from; i < from + count; i++) {
    if (text === undefined) made.addNumber(series, i, i, "good", i + 1);
    else made.add(series, i, { kind: "text", value: text }, "good", i + 1);
  }
  return made;
}

describe("SqliteStore", () => {
  it("refuses what does not fit with store.full, keeps what it has, and goes on when something was removed", async () => {
    await using dir = await tempDir("sqlite");
    const store = storeAt(dir.join("x.db"), 2 * 1024 * 1024);
    const text = "x".repeat(10_000);
    let stored = 0;
    const fill = async (): Promise<void> => {
      for (;;) {
        await store.write(block(stored, 10, text));
        stored += 10;
      }
    };
    await expect(fill()).rejects.toMatchObject({ code: "store.full", retryable: true });
    expect(stored).toBeGreaterThan(50);
    expect((await store.range(EVER)).rows).toHaveLength(stored);
    expect(store.bytes).toBeLessThanOrEqual(2 * 1024 * 1024);
    expect(await store.removeBefore(stored / 2, AbortSignal.timeout(60_000))).toBe(stored / 2);
    await store.write(block(stored, 10, text));
    expect((await store.range(EVER)).rows).toHaveLength(stored / 2 + 10);
    await store.stop();
  });

  it("counts as away while its file is damaged, and takes a good one afterwards", async () => {
    await using dir = await tempDir("sqlite");
    const path = dir.join("x.db");
    await writeFile(
      path,
      "this is no database, and it is longer than a header of SQLite would be ".repeat(20),
    );
    const store = storeAt(path);
    await expect(store.write(block(0, 1))).rejects.toMatchObject({
      code: "store.unavailable",
      retryable: true,
    });
    await writeFile(path, "");
    await store.write(block(0, 1));
    expect((await store.range(EVER)).rows).toHaveLength(1);
    await store.stop();
  });

  it("opens what an earlier version has written, and keeps reasons there from then on", async () => {
    await using dir = await tempDir("sqlite");
    const path = dir.join("x.db");
    const first = storeAt(path);
    await first.write(block(0, 1));
    await first.stop();
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(path);
    database.exec("ALTER TABLE readings DROP COLUMN reason; PRAGMA user_version = 1");
    database.close();
    const store = storeAt(path);
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

  it("does not open what a newer version has written", async () => {
    await using dir = await tempDir("sqlite");
    const path = dir.join("x.db");
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    await expect(storeAt(path).start()).rejects.toMatchObject({
      code: "store.unavailable",
      message: expect.stringContaining("newer version"),
    });
  });

  it("loses nothing that it has acknowledged to a process that is killed", async () => {
    await using dir = await tempDir("sqlite");
    const path = dir.join("x.db");
    await using child = await startProcess({
      name: "writer",
      command: process.execPath,
      args: [new URL("../../../test/writer-process.mjs", import.meta.url).pathname, path],
      ready: { line: /^stored 30$/ },
    });
    await child.kill("SIGKILL");
    const acknowledged = Number(child.stdout.at(-1)?.split(" ")[1]);
    const store = storeAt(path);
    const { rows } = await store.range(EVER);
    expect(acknowledged).toBeGreaterThanOrEqual(30);
    expect(rows.length).toBeGreaterThanOrEqual(Math.min(acknowledged, EVER.limit));
    expect(rows.length % 10).toBe(0);
    await store.stop();
  });
});
