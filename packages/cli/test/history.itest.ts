/** From a reading that is sent to one that is shown again, on a box that runs. */
import { writeFile } from "node:fs/promises";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

const RESOURCES = `
apiVersion: myelin.dev/v1alpha1
kind: Sink
metadata: { name: history }
spec:
  store: { sqlite: {} }
  mapping: { time: { field: at, unit: iso } }
  batch: { wait: 0s }
---
apiVersion: myelin.dev/v1alpha1
kind: Route
metadata: { name: keep }
spec:
  match: {}
  targets: [{ sink: history }]
`;

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);
const rows = async (...args: string[]) => {
  const { stdout } = await on("history", "boiler", ...args, "--json");
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

it("shows what a sink has stored: readings, the newest, sums over time, as a table, JSON and CSV", async () => {
  expect(await on("history", "boiler")).toMatchObject({
    stderr: expect.stringContaining("there is no sink"),
  });
  const file = `${box.dataDir}/input.yaml`;
  await writeFile(file, RESOURCES);
  expect(await on("apply", "-f", file)).toMatchObject({ code: 0 });
  await waitFor(async () => /True/.test((await on("get", "sinks")).stdout), {
    what: "the sink to be ready",
    deadlineMs: 30_000,
  });
  for (let minute = 0; minute < 4; minute++) {
    const reading = { at: `2030-01-01T00:0${minute}:00Z`, t: minute, room: { on: minute > 1 } };
    await on("send", "boiler", "readings", JSON.stringify(reading));
  }
  await waitFor(async () => (await rows()).length === 8, { what: "all to be stored", deadlineMs: 30_000 });
  expect(await rows("--point", "t", "--from", "2030-01-01T00:01:00Z", "--order", "oldest")).toMatchObject(
    [1, 2, 3].map((value) => ({ device: "boiler", path: "readings", point: "t", value, quality: "good" })),
  );
  expect(await rows("--latest")).toMatchObject([
    { point: "room.on", value: true },
    { point: "t", value: 3, time: "2030-01-01T00:03:00.000000Z" },
  ]);
  expect(await rows("--point", "t", "--every", "2m", "--agg", "mean,count")).toEqual(
    [0, 2].map((minute) => ({
      device: "boiler",
      path: "readings",
      point: "t",
      start: `2030-01-01T00:0${minute}:00.000000Z`,
      count: 2,
      mean: minute + 0.5,
    })),
  );
  const { stdout: csv } = await on("history", "boiler", "readings", "--point", "t", "--csv", "--limit", "2");
  expect(csv.split("\r\n").slice(0, 3)).toEqual([
    "device,path,point,time,quality,reason,kind,value",
    "boiler,readings,t,2030-01-01T00:03:00.000000Z,good,,number,3",
    "boiler,readings,t,2030-01-01T00:02:00.000000Z,good,,number,2",
  ]);
  const table = await on("history", "boiler", "--limit", "3");
  expect(table.stdout).toContain("2030-01-01T00:03:00.000000Z");
  expect(table.stderr).toContain("There are more");
  const { http } = (await box.state()).ports;
  const url = `http://127.0.0.1:${http}/api/v1/history/boiler/latest?point=t`;
  expect(await (await fetch(url)).json()).toMatchObject({ readings: [{ value: 3 }] });
});
