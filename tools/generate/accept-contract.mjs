/**
 * Makes the contract as it is now the one that later changes are compared with: writes `proto/baseline.binpb`. Refuses while something
 * would break readers of the present baseline, unless it is called with `--breaking`, which an ADR must explain.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BASELINE = "proto/baseline.binpb";

/** @param {readonly string[]} args */
function buf(args) {
  const { status, error } = spawnSync("node_modules/.bin/buf", args, { cwd: ROOT, stdio: "inherit" });
  if (error !== undefined)
    console.error(`buf cannot be started (${error.message}): run npm start once, it installs it`);
  return status === 0;
}

const agreed = process.argv.includes("--breaking");
if (!agreed && !buf(["breaking", "proto", "--against", BASELINE])) {
  console.error(`The contract breaks readers of ${BASELINE}; it stays as it is.`);
  process.exitCode = 1;
} else if (!buf(["build", "proto", "--exclude-source-info", "-o", BASELINE])) {
  process.exitCode = 1;
} else {
  console.log(`${BASELINE} is the contract as it is now. Commit it together with what was decided.`);
}
