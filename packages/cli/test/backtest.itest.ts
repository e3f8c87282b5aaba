/** A rule over what a sink has stored, on a box that runs. */
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
spec: { match: {}, targets: [{ sink: history }] }
`;
const RULE = `
apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: hot }
spec:
  trigger: { points: [t] }
  when: t > 80
  for: 30s
  clear: { when: t < 75 }
`;

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);

it("says when a rule would have fired over the stored readings, without switching it on", async () => {
  const [input, rule] = [`${box.dataDir}/input.yaml`, `${box.dataDir}/rule.yaml`];
  await writeFile(input, RESOURCES);
  await writeFile(rule, RULE);
  expect(await on("apply", "-f", input)).toMatchObject({ code: 0 });
  await waitFor(async () => /True/.test((await on("get", "sinks")).stdout), {
    what: "the sink to be ready",
    deadlineMs: 30_000,
  });
  for (const [minute, t] of [70, 90, 91, 70].entries())
    await on("send", "boiler", "readings", JSON.stringify({ at: `2026-01-01T00:0${minute}:00Z`, t }));
  const stored = async () => (await on("history", "boiler", "--json")).stdout.trim().split("\n").length;
  await waitFor(async () => (await stored()) === 4, { what: "all to be stored", deadlineMs: 30_000 });
  const test = (...args: string[]) => on("rules", "backtest", rule, "--device", "boiler", ...args, "--json");
  const lines = async (...args: string[]) =>
    (await test(...args)).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
  await waitFor(async () => (await test()).code === 0, { what: "the registry", deadlineMs: 30_000 });
  expect(await lines()).toEqual([
    {
      device: "boiler",
      firedAt: "2026-01-01T00:01:30.000Z",
      endedAt: "2026-01-01T00:03:00.000Z",
      values: { t: 90 },
    },
    { rule: "hot", devices: 1, readings: 4, firings: 1, alarms: 0 },
  ]);
  expect(await lines("--to", "2026-01-01T00:01:00Z")).toMatchObject([{ firings: 0, readings: 1 }]);
  expect(await test("--from", "soon")).toMatchObject({ code: 78 });
  expect(await test("--rule", "cold")).toMatchObject({ code: 78 });
  expect((await on("alarms", "list")).stderr).toContain("no alarms");
});
