import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startProcess, tempDir } from "@myelin/testkit";
import { expect, test } from "vitest";
import type { RunOutcome } from "./reporter.mjs";

test("leaves the outcome of every test in a file", async () => {
  await using dir = await tempDir("reporter");
  const outcome = dir.join("outcome.json");
  await using vitest = await startProcess({
    name: "vitest",
    command: process.execPath,
    args: [
      join(import.meta.dirname, "../../node_modules/vitest/vitest.mjs"),
      "run",
      `--root=${join(import.meta.dirname, "fixtures")}`,
      `--reporter=${join(import.meta.dirname, "reporter.mjs")}`,
    ],
    env: { MYELIN_TEST_OUTCOME: outcome, VITEST: undefined },
  });
  expect((await vitest.exited).code, vitest.log()).toBe(1);
  const { files, unhandled, reason } = JSON.parse(readFileSync(outcome, "utf8")) as RunOutcome;
  expect({ unhandled, reason }).toEqual({ unhandled: [], reason: "failed" });
  const [broken, outcomes] = files.toSorted((a, b) => a.file.localeCompare(b.file));
  expect(broken).toEqual({ file: "broken.fixture.ts", tests: [], brokenBy: ["broken on load"] });
  expect(outcomes?.tests).toEqual([
    { name: "passes", state: "passed" },
    { name: "fails", state: "failed" },
    { name: "is skipped without a word", state: "skipped" },
    { name: "is skipped on the way", state: "skipped", note: "because" },
    {
      name: "a suite > lacks hardware",
      state: "skipped",
      lacks: { kind: "hardware", name: "MYELIN_NO_SUCH_HARDWARE" },
    },
    { name: "lacks a program", state: "skipped", lacks: { kind: "program", name: "myelin-no-such-program" } },
  ]);
});
