/** The registry of devices as an operator uses it, on a box that runs. */
import { writeFile } from "node:fs/promises";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin(["devices", ...args, "--data-dir", box.dataDir]);
const json = async (...args: string[]) =>
  JSON.parse((await on(...args, "--json")).stdout) as Record<string, unknown>;

it("creates, lists, changes, deletes, imports and exports devices", async () => {
  await waitFor(async () => (await on("list")).code === 0, { what: "the registry", deadlineMs: 30_000 });
  expect(
    await on("set", "boiler-7", "--profile", "boiler", "--group", "hall", "--tag", "site=north"),
  ).toMatchObject({ code: 0 });
  const made = await json("set", "boiler-7", "--tag", "floor=2");
  expect(made).toMatchObject({
    id: "boiler-7",
    profile: "boiler",
    groups: ["hall"],
    tags: { site: "north", floor: "2" },
  });
  expect(await on("set", "boiler-7", "--if-version", "0")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("already"),
  });
  expect((await on("list", "--group", "hall")).stdout).toContain("boiler-7");
  expect(await on("get", "nobody")).toMatchObject({ code: 1 });

  const lines = Array.from({ length: 3_000 }, (_, i) =>
    JSON.stringify({ id: `d${i}`, groups: [i % 2 === 0 ? "even" : "odd"] }),
  );
  lines[10] = '{"id":"a/b"}';
  lines[20] = "{";
  await writeFile(`${box.dataDir}/many.ndjson`, lines.join("\n"));
  const imported = await on("import", `${box.dataDir}/many.ndjson`);
  expect(imported).toMatchObject({
    code: 1,
    stdout: "Devices imported: 2998, new of them: 2998; lines refused: 2.\n",
  });
  expect(imported.stderr).toContain("many.ndjson:11: the id must be text");
  expect(imported.stderr).toContain("many.ndjson:21: the line is no JSON");
  await writeFile(`${box.dataDir}/few.csv`, "id,profile,tags.site\nc1,kiln,south\n");
  expect(await on("import", `${box.dataDir}/few.csv`)).toMatchObject({ code: 0 });

  const exported = (await on("export", "--group", "even")).stdout.trim().split("\n");
  expect(exported).toHaveLength(1_498);
  await writeFile(`${box.dataDir}/again.ndjson`, exported.join("\n"));
  expect(await on("import", `${box.dataDir}/again.ndjson`)).toMatchObject({ code: 0 });
  const csv = (await on("export", "--group", "odd", "--csv")).stdout;
  await writeFile(`${box.dataDir}/again.txt`, csv);
  expect(await json("import", `${box.dataDir}/again.txt`, "--csv")).toEqual({
    imported: 1_500,
    created: 0,
    refused: 0,
    errors: [],
  });
  expect(await on("import", `${box.dataDir}/nowhere.ndjson`)).toMatchObject({ code: 1 });
  expect(await json("get", "c1")).toMatchObject({ profile: "kiln", tags: { site: "south" } });
  expect(await on("delete", "c1")).toMatchObject({ code: 0 });
  expect((await on("get", "c1")).code).toBe(1);
});
