/** `npm run check`: builds, tests (without I/O), type-checks and lints with turbo, which leaves out what has not changed since. */
import { delimiter, dirname, join } from "node:path";
import { withLock } from "./lock.mjs";
import { findPnpm, installPnpm, makePnpmCommand } from "./node.mjs";
import { BIN, ROOT, TOOLS } from "./paths.mjs";
import { prepare } from "./prepare.mjs";
import { runInTerminal } from "./run-tool.mjs";

const TASKS = ["build", "test", "typecheck", "lint"];

/**
 * @param {readonly string[]} args of turbo, such as `--filter=...@myelin/kernel`
 * @returns {Promise<number>} the exit code
 */
export async function checkChanged(args) {
  const { node } = await prepare();
  // Turbo runs the packages' scripts through the package manager, which a set-up with packages may lack.
  const pnpm = findPnpm() ?? (await withLock(join(TOOLS, "lock"), installPnpm));
  makePnpmCommand(pnpm);
  const folders = [BIN, dirname(node), join(ROOT, "node_modules", ".bin"), process.env.PATH ?? ""];
  const turbo = join(ROOT, "node_modules", "turbo", "bin", "turbo");
  return runInTerminal(node, [turbo, "run", ...TASKS, ...args], {
    cwd: ROOT,
    env: { PATH: folders.join(delimiter), TURBO_TELEMETRY_DISABLED: "1" },
  });
}
