/** What the machine gives: environment variables, programs on PATH, tools the set-up brought. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The variable's value; unset and empty are the same. */
export function environmentVariable(name: string): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}

/** This process's environment with `additions` on top; `undefined` takes a variable away. */
export function environmentWith(additions: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return { ...process.env, ...additions };
}

// Debian installs daemons here, and an ordinary user's PATH lacks it.
const EXTRA_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The full path of a program on PATH or among the daemons of the system, or of a file of a library that is named by its path; undefined where there is none. */
export function findProgram(name: string): string | undefined {
  if (name.startsWith("/")) return existsSync(name) ? name : undefined;
  const folders = [...(environmentVariable("PATH") ?? "").split(delimiter), ...EXTRA_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/**
 * A tool as the repository's set-up left it in `.tools/bin`, else from PATH.
 * The set-up puts only versions there that are new enough, so its choice wins.
 */
export function findTool(name: string): string | undefined {
  const root = repositoryRoot();
  const own = root === undefined ? undefined : join(root, ".tools", "bin", name);
  return own !== undefined && isExecutable(own) ? own : findProgram(name);
}

function repositoryRoot(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "pnpm-workspace.yaml"))) {
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
  return folder;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, not ours to run, or a dangling link: for the caller all three are "not this one".
    return false;
  }
}
