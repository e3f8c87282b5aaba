import { systemClock } from "@myelin/kernel";
import { requires, startInfluxdb, type TestServer, waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { describeDataStore } from "../../../contract/data-store.contract.js";
import { ReadingBlock } from "../../reading-block.js";
import { InfluxdbStore } from "./influxdb-store.js";

const storeOn = ({ url }: TestServer) =>
  new InfluxdbStore({ url, database: "myelin", batchReadings: 10_000, batchWaitMs: 0, clock: systemClock });

const EVER = { tenant: "", device: "d", fromUs: 0, toUs: 1e15, limit: 10_000, order: "ascending" } as const;

function block(from: number, count: number): ReadingBlock {
  const made = new ReadingBlock();
  const series = made.seriesNumber("", "d", "p", "t");
  for (let i = from; i < from + count; i++) made.addNumber(series, i, i, "good", i + 1);
  return made;
}

describe("InfluxDB", requires.program("influxd"), () => {
  describeDataStore("InfluxDB", async () => {
    const server = await startInfluxdb();
    return {
      open: () => storeOn(server),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  });

  it("loses nothing that it has acknowledged when the server is killed, and goes on when it is back", async () => {
    await using server = await startInfluxdb();
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
    const { rows } = await store.range({ ...EVER, toUs: stored });
    expect(rows.map(({ value }) => value)).toEqual([...Array(stored).keys()].slice(0, EVER.limit));
    await store.write(block(stored, 10));
    await store.stop();
  });

  it("keeps a value that is too large for the server as bad, and says so", async () => {
    await using server = await startInfluxdb();
    const store = storeOn(server);
    const made = block(0, 1);
    made.add(0, 1, { kind: "text", value: "x".repeat(1024 * 1024 + 1) }, "good", 2);
    await store.write(made);
    const { rows } = await store.range(EVER);
    expect(rows).toMatchObject([{ value: 0 }, { kind: "none", quality: "bad", reason: "too_large" }]);
    await store.stop();
  });
});
