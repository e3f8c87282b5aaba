/** Small helpers of the system plugins: versions and installs. */
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { AppError } from "@myelin/kernel";

const run = promisify(execFile);

/** What `pattern` finds in the program's output, whatever its exit code; "unknown" where it finds nothing. */
export async function versionOf(command: string, args: readonly string[], pattern: RegExp): Promise<string> {
  const output = await run(command, args, { timeout: 10_000 }).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: { stdout?: string; stderr?: string }) => `${error.stdout ?? ""}${error.stderr ?? ""}`,
  );
  return pattern.exec(output)?.[1] ?? "unknown";
}

/** Version of an npm package as the calling module would load it. */
export function packageVersion(moduleUrl: string, name: string): string {
  const require = createRequire(moduleUrl);
  const folder = require.resolve.paths(name)?.map((path) => `${path}/${name}/package.json`) ?? [];
  for (const path of folder) {
    try {
      return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
    } catch {
      // Not in this folder of the search path; the next one may have it.
    }
  }
  return "unknown";
}

/**
 * Runs an installer with its output on stderr.
 * @throws AppError `setup.missing_tool` when there is no such command, `setup.process_failed` when it fails.
 */
export function install(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(command, args, {
    stdio: ["ignore", process.stderr, process.stderr],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  child.once("error", (cause) =>
    reject(new AppError("setup.missing_tool", `cannot run ${command}`, { cause })),
  );
  child.once("exit", (code, signal) => {
    if (code === 0) resolve();
    else
      reject(
        new AppError("setup.process_failed", `${command} ${args[0] ?? ""} ended with ${signal ?? code}`),
      );
  });
  return promise;
}
