/** The packages in node_modules and the compiled program, each skipped while nothing it depends on has changed. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { ROOT, TOOLS } from "./paths.mjs";
import { runTool } from "./run-tool.mjs";

const PARENTS = ["packages", "services"];
const INSTALLED = join(TOOLS, "installed");
const BUILT = join(TOOLS, "built");

/** Every folder that holds a package, without the root's. */
export function packageFolders() {
  const inside = PARENTS.flatMap((parent) => folders(join(ROOT, parent)));
  return [...inside, join(ROOT, "tools")].filter((folder) => existsSync(join(folder, "package.json")));
}

/** @param {string} parent */
function folders(parent) {
  if (!existsSync(parent)) return [];
  const entries = readdirSync(parent, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(parent, entry.name));
}

export function isInstalled() {
  return existsSync(join(ROOT, "node_modules", ".modules.yaml")) && stampIs(INSTALLED, installStamp());
}

/** @param {string} node @param {string} pnpm */
export async function install(node, pnpm) {
  const args = [pnpm, "install", "--frozen-lockfile", "--reporter=append-only"];
  // Without CI pnpm would ask before it replaces a node_modules that another version made.
  const options = { log: "pnpm-install", cwd: ROOT, env: { CI: "true" } };
  await runTool("installing the packages with pnpm", node, args, options);
  writeStamp(INSTALLED, installStamp());
}

export function isBuilt() {
  const outputs = buildFolders().every((folder) => existsSync(join(folder, "dist", ".tsbuildinfo")));
  return outputs && stampIs(BUILT, buildStamp());
}

/** @param {string} node */
export async function build(node) {
  // Taken first: a file that changes during the build must count as changed after it.
  const stamp = buildStamp();
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  await runTool("the build", node, [tsc, "-b", "--pretty", "false"], { log: "build", cwd: ROOT });
  const bundle = join(ROOT, "tools", "bootstrap", "bundle.mjs");
  await runTool("the bundle", node, [bundle], { log: "bundle", cwd: ROOT });
  writeStamp(BUILT, stamp);
}

function buildFolders() {
  return packageFolders().filter((folder) => existsSync(join(folder, "tsconfig.json")));
}

function installStamp() {
  const files = ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"].map((name) => join(ROOT, name));
  const manifests = packageFolders().map((folder) => join(folder, "package.json"));
  const hash = createHash("sha256");
  for (const file of [...files, ...manifests]) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

function buildStamp() {
  const hash = createHash("sha256");
  for (const name of ["tsconfig.json", "tsconfig.base.json"]) addFile(hash, join(ROOT, name));
  for (const folder of buildFolders()) {
    addFile(hash, join(folder, "tsconfig.json"));
    const sources = join(folder, "src");
    if (!existsSync(sources)) continue;
    for (const name of readdirSync(sources, { recursive: true, encoding: "utf8" }))
      addFile(hash, join(sources, name));
  }
  // A new installation may bring other types and another compiler.
  hash.update(existsSync(INSTALLED) ? readFileSync(INSTALLED) : "");
  return hash.digest("hex");
}

/** @param {import("node:crypto").Hash} hash @param {string} path */
function addFile(hash, path) {
  const { size, mtimeMs } = statSync(path);
  hash.update(`${relative(ROOT, path)} ${size} ${mtimeMs}\n`);
}

/** @param {string} file @param {string} stamp */
function stampIs(file, stamp) {
  return existsSync(file) && readFileSync(file, "utf8") === stamp;
}

/** @param {string} file @param {string} stamp */
function writeStamp(file, stamp) {
  mkdirSync(TOOLS, { recursive: true });
  writeFileSync(file, stamp);
}
