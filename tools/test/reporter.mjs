/** A vitest reporter that leaves the outcome of every test in a file, for the tally. */
import { writeFileSync } from "node:fs";

/** @typedef {{ name: string, state: "passed" | "failed" | "skipped" | "pending", lacks?: { kind: string, name: string }, note?: string }} TestOutcome */
/** @typedef {{ file: string, tests: TestOutcome[], brokenBy: string[] }} FileOutcome `brokenBy`: errors outside of tests */
/** @typedef {{ files: FileOutcome[], unhandled: string[], reason: string }} RunOutcome */

export default class TallyReporter {
  /**
   * @param {ReadonlyArray<import("vitest/node").TestModule>} modules
   * @param {ReadonlyArray<{ message?: string }>} unhandled
   * @param {string} reason
   */
  onTestRunEnd(modules, unhandled, reason) {
    const target = process.env.MYELIN_TEST_OUTCOME;
    if (target === undefined) return;
    /** @type {RunOutcome} */
    const outcome = {
      files: modules.map(fileOutcome),
      unhandled: unhandled.map((error) => firstLine(error.message)),
      reason,
    };
    writeFileSync(target, JSON.stringify(outcome));
  }
}

/** @param {import("vitest/node").TestModule} module @returns {FileOutcome} */
function fileOutcome(module) {
  const suites = [...module.children.allSuites()];
  const errors = [module, ...suites].flatMap((one) => one.errors());
  return {
    file: module.relativeModuleId,
    tests: [...module.children.allTests()].map(testOutcome),
    brokenBy: errors.map((error) => firstLine(error.message)),
  };
}

/** @param {import("vitest/node").TestCase} test @returns {TestOutcome} */
function testOutcome(test) {
  const result = test.result();
  const meta = /** @type {{ lacks?: { kind: string, name: string } }} */ (test.meta());
  return {
    name: test.fullName,
    state: result.state,
    ...(meta.lacks === undefined ? {} : { lacks: meta.lacks }),
    ...(result.state === "skipped" && result.note !== undefined ? { note: result.note } : {}),
  };
}

/** @param {string | undefined} text */
function firstLine(text) {
  return (text ?? "an error without a message").split("\n", 1)[0] ?? "";
}
