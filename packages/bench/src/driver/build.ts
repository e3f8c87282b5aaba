/** Builds the load driver, a C program, with the machine's compiler. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { AppError } from "@myelin/kernel";
import { findProgram } from "@myelin/testkit";
import { BUILD_DIR, PACKAGE_DIR } from "../paths.js";

const run = promisify(execFile);
const FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra"];

/**
 * The path of the driver, built unless these very sources were built before.
 * @throws AppError `setup.missing_tool` without a C compiler or on another system than Linux, `setup.process_failed` with the compiler's words.
 */
export async function buildDriver(system: NodeJS.Platform = platform()): Promise<string> {
  if (system !== "linux") {
    throw new AppError(
      "setup.missing_tool",
      `the bench measures by Linux's means (epoll, /proc), and this is ${system}`,
    );
  }
  const dir = join(PACKAGE_DIR, "driver");
  const names = (await readdir(dir)).filter((name) => /\.[ch]$/.test(name)).sort();
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const name of names) hash.update(name).update(await readFile(join(dir, name)));
  const target = join(BUILD_DIR, `driver-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(target)) return target;
  const compiler = ["cc", "gcc", "clang"].map(findProgram).find((path) => path !== undefined);
  if (compiler === undefined) {
    throw new AppError(
      "setup.missing_tool",
      "the load driver needs a C compiler; on Debian: apt-get install gcc libc6-dev",
    );
  }
  await mkdir(BUILD_DIR, { recursive: true });
  const sources = names.filter((name) => name.endsWith(".c")).map((name) => join(dir, name));
  // Built aside and renamed, so that two runs at once never execute half a file.
  const partial = `${target}.${process.pid}`;
  try {
    await run(compiler, [...FLAGS, "-o", partial, ...sources], { timeout: 120_000 });
  } catch (cause) {
    const words = (cause as { stderr?: string }).stderr ?? String(cause);
    throw new AppError("setup.process_failed", `${compiler} cannot build the load driver: ${words}`, {
      cause,
    });
  }
  await rename(partial, target);
  return target;
}
