/** Checks of the whole repository that are not tests of their own: each counts as one in the tally. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "../bootstrap/paths.mjs";
import { packageFolders } from "../bootstrap/workspace.mjs";
import { checkBreaking, complaint } from "./breaking.mjs";

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {boolean} always also when only one package is tested
 * @property {(node: string) => Promise<string | Outcome | undefined>} run what is wrong, or undefined
 */

/**
 * @typedef {object} Outcome
 * @property {string | undefined} complaint what is wrong, or undefined
 * @property {string} note what the reader should know in either case
 */

/** @param {string} path */
const tool = (path) => join(ROOT, "node_modules", path);

/** @type {readonly Check[]} */
export const CHECKS = [
  {
    name: "types, of tests and tools too",
    always: true,
    run: (node) =>
      complaintOf(node, [tool("typescript/bin/tsc"), "-p", "tsconfig.test.json", "--pretty", "false"]),
  },
  {
    name: "format and lint",
    always: false,
    run: (node) =>
      complaintOf(node, [
        tool("@biomejs/biome/bin/biome"),
        "check",
        "--error-on-warnings",
        "--reporter=concise",
      ]),
  },
  { name: "proto lint", always: false, run: () => complaintOf(tool(".bin/buf"), ["lint"]) },
  {
    name: "proto breaks no reader",
    always: false,
    run: () =>
      checkBreaking(ROOT, (against) => complaintOf(tool(".bin/buf"), ["breaking", "--against", against])),
  },
  { name: "generated files are up to date", always: false, run: checkGenerated },
];

/** @param {string} command @param {readonly string[]} args @param {string} [cwd] */
function complaintOf(command, args, cwd = ROOT) {
  // Generators call their tools by name.
  const PATH = `${dirname(command)}:${tool(".bin")}:${process.env.PATH}`;
  return complaint(command, args, { cwd, env: { ...process.env, PATH } });
}

/**
 * Runs the `generate` script of the root and of every package that has one and compares all files before and after. What was out of
 * date is then up to date in the working tree, so the remedy is a commit.
 * @param {string} node
 */
async function checkGenerated(node) {
  const before = digests();
  for (const folder of [ROOT, ...packageFolders()]) {
    const { scripts = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (scripts.generate === undefined) continue;
    const failure = await complaintOf(
      "/bin/sh",
      ["-c", `PATH="${dirname(node)}:${tool(".bin")}:$PATH"; ${scripts.generate}`],
      folder,
    );
    if (failure !== undefined)
      return `generating in ${relative(ROOT, folder) || "the root"} failed:\n${failure}`;
  }
  const changed = changes(before, digests());
  return changed.length === 0 ? undefined : `out of date, now generated anew:\n  ${changed.join("\n  ")}`;
}

/**
 * @param {ReadonlyMap<string, string>} before
 * @param {ReadonlyMap<string, string>} after
 * @returns {string[]} the paths that came, went or changed
 */
export function changes(before, after) {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path)).sort();
}

const IGNORED = new Set(["node_modules", "dist", ".git", ".tools", ".turbo", ".myelin", "coverage"]);

function digests() {
  /** @type {Map<string, string>} */
  const found = new Map();
  /** @param {string} folder */
  const visit = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (IGNORED.has(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile())
        found.set(relative(ROOT, path), createHash("sha256").update(readFileSync(path)).digest("hex"));
    }
  };
  visit(ROOT);
  return found;
}
