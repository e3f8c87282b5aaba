/** Alarms as an operator uses them, on a box that runs. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ManagedProcess, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MAIN, myelin, startBox, type TestBox } from "./support/box.js";

const RULE = `apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: doors }
spec:
  trigger: { event: { topics: ["doors/+"] } }
  values: { state: { field: state } }
  when: state == 'open'
  fires: once
  severity: major
  actions: [{ alarm: { message: "\${device} is open" } }]
`;

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);
const alarms = (...args: string[]) => on("alarms", ...args);
const shown = async <T>(...args: string[]) => JSON.parse((await alarms(...args, "--json")).stdout) as T;

it("shows what a rule has raised, follows it, and takes that it was seen and is over", async () => {
  const file = join(box.dataDir, "doors.yaml");
  await writeFile(file, RULE);
  await waitFor(async () => (await on("apply", "-f", file)).code === 0, {
    what: "the rule",
    deadlineMs: 60_000,
  });
  await waitFor(async () => (await alarms()).stderr.includes("no alarms"), {
    what: "the owners of alarms",
    deadlineMs: 60_000,
  });
  await waitFor(
    async () => {
      await on("send", "d7", "doors/7", '{"state":"open"}');
      return (await shown<{ alarms: object[] }>("list")).alarms.length === 1;
    },
    { what: "the alarm", deadlineMs: 60_000 },
  );
  const { alarms: listed } = await shown<{ alarms: { id: string }[] }>("list", "--severity", "major");
  const [{ id } = { id: "" }] = listed;
  expect((await alarms("get", id)).stdout).toContain("major raised: d7 is open");
  await using watching = new ManagedProcess({
    name: "watch",
    command: process.execPath,
    args: [MAIN, "alarms", "watch", "--device", "d7", "-n", "3", "--data-dir", box.dataDir],
    ready: { line: /raised: d7 is open/ },
    readyMs: 30_000,
  });
  await watching.start();
  expect((await alarms("ack", id, "--note", "I go there")).stdout).toContain("note I go there");
  await waitFor(() => watching.stdout.some((line) => line.includes("major acknowledged: d7 is open")), {
    what: "the line of the acknowledgement",
    deadlineMs: 30_000,
  });
  expect((await alarms("clear", id)).stdout).toContain("by cli");
  await watching.exited;
  expect(watching.stdout.at(-1)).toContain("major cleared: d7 is open");
  expect((await alarms("list", "--state", "raised")).stderr).toContain("no alarms");
  expect(await alarms("ack", id)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cleared before"),
  });
  expect(await alarms("get", "0-1-999")).toMatchObject({ code: 1 });
  expect(await alarms("list", "--state", "lost")).toMatchObject({ code: 78 });
  expect(await alarms("get")).toMatchObject({ code: 78 });
}, 120_000);
