/** `npm test` and `npm run verify`: set up, check, test, add up. The last line is `N passed, N failed, N skipped`. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { CHECKS } from "../test/checks.mjs";
import { lastLine, sum, tallyRun } from "../test/tally.mjs";
import { bringPrograms, DEBIAN_PACKAGES } from "./debian.mjs";
import { SetupFailure } from "./failure.mjs";
import { ROOT, TOOLS } from "./paths.mjs";
import { prepare } from "./prepare.mjs";
import { runInTerminal } from "./run-tool.mjs";
import { packageFolders } from "./workspace.mjs";

/**
 * @param {"test" | "verify"} command `verify` leaves the integration tests out
 * @param {readonly string[]} args package names, `--install`, and options of vitest
 * @returns {Promise<number>} the exit code
 */
export async function runTests(command, args) {
  let total;
  try {
    total = await testAll(command, parse(args));
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    total = { passed: 0, failed: 1, skipped: 0, remarks: [error.message] };
  }
  for (const remark of total.remarks) process.stdout.write(`${remark}\n`);
  process.stdout.write(`${lastLine(total)}\n`);
  return total.failed === 0 ? 0 : 1;
}

/** @param {"test" | "verify"} command @param {ReturnType<typeof parse>} options */
async function testAll(command, { names, install, rest }) {
  const ci = process.env.CI === "true";
  const paths = names.map(pathOf);
  const { node } = await prepare();
  if (command === "test") await bringPrograms({ asked: install, ci });
  const tallies = [];
  // One package's tests want a quick answer; what holds for the whole repository is left to the whole run.
  const checks = names.length === 0 ? CHECKS : CHECKS.filter((check) => check.always);
  for (const check of checks) tallies.push(await runCheck(check, node));
  tallies.push(await runVitest(node, [...unitOnly(command), ...paths, ...rest], ci));
  return sum(tallies);
}

/** @param {"test" | "verify"} command */
function unitOnly(command) {
  return command === "verify" ? ["--exclude", "**/*.itest.ts"] : [];
}

/** @param {import("../test/checks.mjs").Check} check @param {string} node */
async function runCheck(check, node) {
  const begun = performance.now();
  const result = await check.run(node);
  const { complaint, note } = typeof result === "object" ? result : { complaint: result, note: undefined };
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  process.stdout.write(
    ` ${complaint === undefined ? "✓" : "✗"} ${check.name}${note === undefined ? "" : ` (${note})`} ${seconds} s\n`,
  );
  if (complaint === undefined) return { passed: 1, failed: 0, skipped: 0, remarks: [] };
  process.stdout.write(`${complaint}\n`);
  return { passed: 0, failed: 1, skipped: 0, remarks: [`Failed: ${check.name}`] };
}

/** @param {string} node @param {readonly string[]} args @param {boolean} ci */
async function runVitest(node, args, ci) {
  const outcome = join(TOOLS, `test-outcome.${process.pid}.json`);
  mkdirSync(TOOLS, { recursive: true });
  const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const reporters = ["--reporter=default", `--reporter=${join(ROOT, "tools", "test", "reporter.mjs")}`];
  try {
    const exitCode = await runInTerminal(node, [vitest, "run", ...reporters, ...args], {
      cwd: ROOT,
      env: { MYELIN_TEST_OUTCOME: outcome },
    });
    const run = existsSync(outcome) ? JSON.parse(readFileSync(outcome, "utf8")) : undefined;
    return tallyRun(run, { exitCode, ci, packages: DEBIAN_PACKAGES });
  } finally {
    rmSync(outcome, { force: true });
  }
}

/** @param {readonly string[]} args */
function parse(args) {
  const first = args.findIndex((arg) => arg.startsWith("-") && arg !== "--install");
  const own = first < 0 ? args : args.slice(0, first);
  return {
    names: own.filter((arg) => arg !== "--install"),
    install: args.includes("--install"),
    // From the first option of vitest on, everything is vitest's.
    rest: first < 0 ? [] : args.slice(first).filter((arg) => arg !== "--install"),
  };
}

/**
 * "listener", "@myelin/listener" and "services/listener" name a package; any other path goes to vitest as it is.
 * @param {string} name
 */
function pathOf(name) {
  const folders = packageFolders().map((folder) => relative(ROOT, folder));
  const short = name.replace(/^@myelin\//, "").replace(/\/$/, "");
  const folder = folders.find((one) => one === short || basename(one) === short);
  if (folder !== undefined) return `${folder}/`;
  if (existsSync(join(ROOT, name))) return name;
  throw new SetupFailure(
    `There is no package "${name}"; there are ${folders.map((one) => basename(one)).join(", ")}.`,
  );
}
