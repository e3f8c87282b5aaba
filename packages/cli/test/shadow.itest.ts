/** Shadows as an operator uses them, on a box that runs. */
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

const on = (...args: string[]) => myelin(["shadow", ...args, "--data-dir", box.dataDir]);

it("says what a device should do, and shows, watches and deletes that", async () => {
  await waitFor(async () => (await on("set", "boiler-7", '{"t":20}')).code === 0, {
    what: "the owners of shadows",
    deadlineMs: 30_000,
  });
  const { version } = JSON.parse((await on("get", "boiler-7", "--json")).stdout) as { version: number };
  expect(await on("set", "boiler-7", '{"t":21,"o":{"a":1}}', "--if-version", String(version))).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('desired: {"t":21,"o":{"a":1}}'),
  });
  expect(await on("set", "boiler-7", '{"t":22}', "--if-version", String(version))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("the shadow has version"),
  });
  expect((await on("get", "boiler-7")).stdout).toContain("condition: unreachable since");
  const watched = await on("watch", "boiler-7", "-n", "1", "--json");
  expect(JSON.parse(watched.stdout)).toMatchObject({ state: { desired: { t: 21 } } });
  expect(await on("set", "boiler-7", "{}", "--name", "fan", "--replace")).toMatchObject({ code: 0 });
  expect((await on("list", "boiler-7")).stdout).toBe("(classic)\nfan\n");
  expect(await on("set", "boiler-7", "{")).toMatchObject({
    code: 78,
    stderr: expect.stringContaining("JSON"),
  });
  expect(await on("delete", "boiler-7")).toMatchObject({ code: 0 });
  expect(await on("get", "boiler-7")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("there is no shadow of boiler-7"),
  });
});
