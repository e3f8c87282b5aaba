/** Brings one package from the npm registry into `.tools`, checked against its pinned digest. */
import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { TOOLS } from "./paths.mjs";
import { runTool } from "./run-tool.mjs";

/** @typedef {{ name: string, version: string, integrity: string }} Pin */

/**
 * The package's folder, or undefined where the pinned version is not there.
 * @param {string} folder of `.tools`
 * @param {Pin} pin
 */
export function installedPackage(folder, pin) {
  const path = join(TOOLS, folder, "node_modules", pin.name);
  try {
    const { version } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
    return version === pin.version ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Installs into a folder beside the final one and moves it there when it is complete, so that an interrupted download
 * is never taken for a whole one.
 * @param {string} folder of `.tools`
 * @param {Pin} pin
 * @returns {Promise<string>} the package's folder
 * @throws {SetupFailure}
 */
export async function installPackage(folder, pin) {
  const target = join(TOOLS, folder);
  const partial = join(TOOLS, `${folder}.partial`);
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  await runTool(
    `downloading ${pin.name} ${pin.version} with npm`,
    "npm",
    [
      "install",
      `${pin.name}@${pin.version}`,
      ...["--prefix", partial, "--no-save", "--no-package-lock", "--ignore-scripts", "--engine-strict=false"],
      ...["--no-audit", "--no-fund", "--loglevel=error", "--global=false", "--workspaces=false"],
    ],
    { log: folder, cwd: partial },
  );
  const lock = JSON.parse(readFileSync(join(partial, "node_modules", ".package-lock.json"), "utf8"));
  const { integrity } = lock.packages[`node_modules/${pin.name}`] ?? {};
  if (integrity !== pin.integrity) {
    rmSync(partial, { recursive: true, force: true });
    throw new SetupFailure(
      `${pin.name} ${pin.version} from the npm registry is not the package it should be (digest ${integrity}); nothing was kept.`,
    );
  }
  rmSync(target, { recursive: true, force: true });
  renameSync(partial, target);
  return join(target, "node_modules", pin.name);
}
