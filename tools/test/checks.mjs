/** Checks of the whole repository that are not tests of their own: each counts as one in the tally. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "../bootstrap/paths.mjs";
import { ask } from "../bootstrap/run-tool.mjs";
import { packageFolders } from "../bootstrap/workspace.mjs";

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {boolean} always also when only one package is tested
 * @property {(node: string) => Promise<string | undefined>} run what is wrong, or undefined
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
  { name: "proto breaks no reader", always: false, run: checkBreaking },
  { name: "generated files are up to date", always: false, run: checkGenerated },
];

/** @param {string} command @param {readonly string[]} args @param {string} [cwd] @returns {Promise<string | undefined>} */
function complaintOf(command, args, cwd = ROOT) {
  return new Promise((resolve, reject) => {
    // Generators call their tools by name.
    const PATH = `${dirname(command)}:${tool(".bin")}:${process.env.PATH}`;
    const child = spawn(command, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PATH },
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve(code === 0 ? undefined : text.trim() || `ended with code ${code}`));
  });
}

/** Compares proto/ with where this work branched off from the main line; without a git history there is nothing to compare. */
async function checkBreaking() {
  const base =
    (await ask("git", ["-C", ROOT, "merge-base", "HEAD", "origin/main"])) ??
    (await ask("git", ["-C", ROOT, "rev-parse", "HEAD"]));
  if (base === undefined) return undefined;
  return complaintOf(tool(".bin/buf"), ["breaking", "--against", `.git#ref=${base}`]);
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
    const complaint = await complaintOf(
      "/bin/sh",
      ["-c", `PATH="${dirname(node)}:${tool(".bin")}:$PATH"; ${scripts.generate}`],
      folder,
    );
    if (complaint !== undefined)
      return `generating in ${relative(ROOT, folder) || "the root"} failed:\n${complaint}`;
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
