/** The Node that runs the product, and pnpm. */
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { installedPackage, installPackage } from "./npm-package.mjs";
import { BIN, PLATFORM } from "./paths.mjs";
import { MIN_NODE_MAJOR, NODE, PNPM } from "./pins.mjs";

/** @returns {string | undefined} the path of a Node that is new enough */
export function findNode() {
  if (Number(process.versions.node.split(".")[0]) >= MIN_NODE_MAJOR) return process.execPath;
  const pin = nodePin();
  const folder = pin && installedPackage("node", pin);
  return folder && join(folder, "bin", "node");
}

/** @returns {Promise<string>} the path of the Node it brought */
export async function installNode() {
  const pin = nodePin();
  if (pin === undefined) {
    throw new SetupFailure(
      `Node ${process.versions.node} is too old and there is no package of Node ${MIN_NODE_MAJOR} for ${PLATFORM}; install Node ${MIN_NODE_MAJOR} or later by hand.`,
    );
  }
  return join(await installPackage("node", pin), "bin", "node");
}

/** @returns {typeof NODE["linux-x64"] | undefined} */
export function nodePin(platform = PLATFORM) {
  return Object.hasOwn(NODE, platform) ? NODE[/** @type {keyof typeof NODE} */ (platform)] : undefined;
}

/** @returns {string | undefined} a script for Node */
export function findPnpm() {
  const folder = installedPackage("pnpm", PNPM);
  return folder && join(folder, "bin", "pnpm.mjs");
}

/** Brings it, and `.tools/bin/pnpm` with it, for the reader and for tools that call it by name. */
export async function installPnpm() {
  const pnpm = join(await installPackage("pnpm", PNPM), "bin", "pnpm.mjs");
  makePnpmCommand(pnpm);
  return pnpm;
}

/** @param {string} pnpm the script */
export function makePnpmCommand(pnpm) {
  const path = join(BIN, "pnpm");
  const partial = `${path}.${process.pid}`;
  mkdirSync(BIN, { recursive: true });
  const node = findNode() ?? "node";
  writeFileSync(partial, `#!/bin/sh\nexec "${node}" "${pnpm}" "$@"\n`, { mode: 0o755 });
  renameSync(partial, path);
}

/**
 * Makes `.tools/bin/<name>` point to `target`, in one step, so that a process that starts meanwhile finds either.
 * @param {string} name
 * @param {string} target
 */
export function link(name, target) {
  const path = join(BIN, name);
  if (linkedTo(path) === target) return;
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  rmSync(partial, { force: true });
  symlinkSync(target, partial);
  renameSync(partial, path);
}

/** @param {string} path */
export function linkedTo(path) {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
