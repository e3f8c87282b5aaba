/**
 * The repository's front door: `node tools/bootstrap/run.mjs COMMAND`, plain JavaScript for Node 20 or later, without
 * dependencies. `start`, `demo`, `bench` and `myelin` only prepare: the npm script then becomes the program itself, so
 * that no process stands between the terminal and it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { explain, SetupFailure } from "./failure.mjs";
import { ROOT } from "./paths.mjs";
import { prepare } from "./prepare.mjs";
import { endChildren } from "./run-tool.mjs";

/** What each command runs afterwards. */
const ENTRIES = {
  start: "packages/cli/dist/bundle/main.mjs",
  myelin: "packages/cli/dist/bundle/main.mjs",
  demo: "packages/e2e/dist/demo/main.js",
  bench: "packages/bench/dist/main.js",
};

/** @param {string} command @param {string[]} args */
async function main(command, args) {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new SetupFailure(`Node ${process.versions.node} is too old; install Node 20 or later.`);
  }
  if (command === "test" || command === "verify") {
    const { runTests } = await import("./test.mjs");
    return runTests(command, args);
  }
  if (command === "check") {
    const { checkChanged } = await import("./check.mjs");
    return checkChanged(args);
  }
  if (!Object.hasOwn(ENTRIES, command)) {
    throw new SetupFailure(
      `Unknown command "${command}"; there are start, test, verify, check, demo, bench and myelin.`,
    );
  }
  await prepare();
  const entry = ENTRIES[/** @type {keyof typeof ENTRIES} */ (command)];
  if (existsSync(join(ROOT, entry))) return 0;
  throw new SetupFailure(
    `${entry} was not built, so there is nothing to ${command}; is this checkout complete?`,
  );
}

// A signal in the middle of the set-up: end what runs, let go of the lock (at exit), and report as a shell does.
for (const [signal, number] of /** @type {const} */ ([
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
])) {
  process.on(signal, () => {
    endChildren();
    process.exitCode = 128 + number;
    // `npm test` and its kin have their own child in the terminal and end by themselves when that child has ended.
    if (!["test", "verify", "check"].includes(process.argv[2] ?? "")) process.exit();
  });
}

let code = 0;
try {
  code = await main(process.argv[2] ?? "", process.argv.slice(3));
} catch (error) {
  // What the system refuses (an error with a code) can be said in a sentence; anything else is a defect and shows its stack.
  if (!(error instanceof Error) || !(error instanceof SetupFailure || "code" in error)) throw error;
  process.stderr.write(`${explain("the set-up", error).message}\n`);
  code = 1;
}
// Not by itself: a connection of a download that is kept for later would hold the start up for seconds.
process.exit(process.exitCode ?? code);
