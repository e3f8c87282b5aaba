/** Adds up checks and tests into the one line that says whether all is well. */

/** @typedef {{ passed: number, failed: number, skipped: number, remarks: string[] }} Tally */

/**
 * @param {import("./reporter.mjs").RunOutcome | undefined} run undefined: vitest left no outcome, so it crashed
 * @param {{ exitCode: number, ci: boolean, packages: Readonly<Record<string, string>> }} options `packages`: the Debian package of a program
 * @returns {Tally}
 */
export function tallyRun(run, { exitCode, ci, packages }) {
  /** @type {Tally} */
  const tally = { passed: 0, failed: 0, skipped: 0, remarks: [] };
  if (run === undefined)
    return fail(tally, `The test run ended early with code ${exitCode} and left no result.`);
  for (const file of run.files) addFile(tally, file, ci);
  for (const error of run.unhandled) fail(tally, `Error outside of every test: ${error}`);
  if (run.reason === "interrupted") fail(tally, "The test run was interrupted.");
  if (tally.passed + tally.failed + tally.skipped === 0) fail(tally, "No test was run.");
  // Whatever vitest holds against the run that the outcome does not show.
  if (exitCode !== 0 && tally.failed === 0) fail(tally, `The test run ended with code ${exitCode}.`);
  tally.remarks.push(...lackRemarks(run, packages));
  return tally;
}

/** @param {Tally} tally @param {import("./reporter.mjs").FileOutcome} file @param {boolean} ci */
function addFile(tally, file, ci) {
  const failedBefore = tally.failed;
  for (const test of file.tests) {
    if (test.state === "passed") tally.passed += 1;
    else if (test.state === "failed") tally.failed += 1;
    else if (test.state === "pending") fail(tally, `Never ended: ${file.file} > ${test.name}`);
    else if (!ci || test.lacks?.kind === "hardware") tally.skipped += 1;
    else fail(tally, `Skipped in CI for want of ${wantOf(test)}: ${file.file} > ${test.name}`);
  }
  if (file.brokenBy.length > 0 && tally.failed === failedBefore)
    fail(tally, `${file.file}: ${file.brokenBy[0]}`);
}

/** @param {import("./reporter.mjs").TestOutcome} test */
function wantOf(test) {
  return test.lacks?.name ?? test.note ?? "a stated reason";
}

/**
 * @param {import("./reporter.mjs").RunOutcome} run
 * @param {Readonly<Record<string, string>>} packages
 */
function lackRemarks(run, packages) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { tests } of run.files) {
    for (const { state, lacks } of tests) {
      if (state === "skipped" && lacks !== undefined)
        counts.set(lacks.name, (counts.get(lacks.name) ?? 0) + 1);
    }
  }
  return [...counts].map(([name, count]) => {
    const remedy = Object.hasOwn(packages, name) ? ` (Debian package ${packages[name]})` : "";
    return `Skipped for want of ${name}${remedy}: ${count} ${count === 1 ? "test" : "tests"}`;
  });
}

/** @param {Tally} tally @param {string} remark @returns {Tally} */
function fail(tally, remark) {
  tally.failed += 1;
  tally.remarks.push(remark);
  return tally;
}

/** @param {readonly Tally[]} tallies @returns {Tally} */
export function sum(tallies) {
  return {
    passed: tallies.reduce((total, one) => total + one.passed, 0),
    failed: tallies.reduce((total, one) => total + one.failed, 0),
    skipped: tallies.reduce((total, one) => total + one.skipped, 0),
    remarks: tallies.flatMap((one) => one.remarks),
  };
}

/** @param {Tally} tally */
export function lastLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
