import { describe, expect, test } from "vitest";
import type { RunOutcome, TestOutcome } from "./reporter.mjs";
import { lastLine, sum, tallyRun } from "./tally.mjs";

const options = { exitCode: 0, ci: false, packages: { mosquitto: "mosquitto" } };
const run = (tests: TestOutcome[], rest: Partial<RunOutcome> = {}): RunOutcome => ({
  files: [{ file: "a.test.ts", tests, brokenBy: [] }],
  unhandled: [],
  reason: "passed",
  ...rest,
});
const passed: TestOutcome = { name: "works", state: "passed" };
const program: TestOutcome = {
  name: "asks",
  state: "skipped",
  lacks: { kind: "program", name: "mosquitto" },
};
const hardware: TestOutcome = {
  name: "reads",
  state: "skipped",
  lacks: { kind: "hardware", name: "TEST_SERIAL_PORT" },
};
const silent: TestOutcome = { name: "sleeps", state: "skipped" };

describe("on a developer's machine", () => {
  test("counts skipped tests as skipped and says what they lack", () => {
    const tally = tallyRun(run([passed, program, hardware, silent]), options);
    expect(lastLine(tally)).toBe("1 passed, 0 failed, 3 skipped");
    expect(tally.remarks).toEqual([
      "Skipped for want of mosquitto (Debian package mosquitto): 1 test",
      "Skipped for want of TEST_SERIAL_PORT: 1 test",
    ]);
  });
});

describe("in CI", () => {
  test("forgives only missing hardware", () => {
    const tally = tallyRun(run([passed, program, hardware, silent]), { ...options, ci: true });
    expect(lastLine(tally)).toBe("1 passed, 2 failed, 1 skipped");
    expect(tally.remarks.join("\n")).toContain("Skipped in CI for want of mosquitto: a.test.ts > asks");
  });
});

test.each([
  ["no outcome was left", undefined, 137, "0 passed, 1 failed, 0 skipped"],
  ["nothing was run", run([]), 0, "0 passed, 1 failed, 0 skipped"],
  ["no file was found", run([], { files: [] }), 1, "0 passed, 1 failed, 0 skipped"],
  [
    "an error came outside of tests",
    run([passed], { unhandled: ["late rejection"] }),
    1,
    "1 passed, 1 failed, 0 skipped",
  ],
  ["the run was interrupted", run([passed], { reason: "interrupted" }), 130, "1 passed, 1 failed, 0 skipped"],
  ["vitest complains for another reason", run([passed]), 1, "1 passed, 1 failed, 0 skipped"],
  [
    "a test never ended",
    run([passed, { name: "hangs", state: "pending" }]),
    1,
    "1 passed, 1 failed, 0 skipped",
  ],
])("fails when %s", (_what, outcome, exitCode, line) => {
  const tally = tallyRun(outcome, { ...options, exitCode });
  expect(lastLine(tally)).toBe(line);
  expect(tally.remarks).not.toEqual([]);
});

test("counts a file that cannot be loaded once, and not again when its tests failed", () => {
  const broken = { file: "b.test.ts", tests: [], brokenBy: ["Cannot find module"] };
  expect(lastLine(tallyRun(run([passed], { files: [broken] }), options))).toBe(
    "0 passed, 1 failed, 0 skipped",
  );
  const failed: TestOutcome = { name: "fails", state: "failed" };
  const hooked = { file: "c.test.ts", tests: [failed], brokenBy: ["afterAll failed"] };
  expect(lastLine(tallyRun(run([], { files: [hooked] }), options))).toBe("0 passed, 1 failed, 0 skipped");
});

test("adds tallies up", () => {
  const one = tallyRun(run([passed, silent]), options);
  expect(lastLine(sum([one, one, { passed: 0, failed: 1, skipped: 0, remarks: ["no"] }]))).toBe(
    "2 passed, 1 failed, 2 skipped",
  );
});
