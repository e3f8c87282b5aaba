/** Whether a nats-server can serve a box. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { AppError } from "@myelin/kernel";

/** Streams, consumers and batches are used in ways that older servers do not know. */
export const MIN_NATS_VERSION = [2, 14] as const;

const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Its version, as in "2.15.0".
 * @throws AppError `setup.missing_tool` when it cannot be run, is something else, or is too old
 */
export async function usableNatsServer(command: string): Promise<string> {
  const remedy = "Run npm start to fetch the right one.";
  let text: string;
  try {
    text = (await promisify(execFile)(command, ["--version"], { timeout: ANSWER_TIMEOUT_MS })).stdout;
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "is not there" : "cannot be run";
    throw new AppError("setup.missing_tool", `nats-server (${command}) ${why}. ${remedy}`, { cause });
  }
  const found = /v(\d+)\.(\d+)\.\d\S*/.exec(text);
  if (found === null) {
    throw new AppError("setup.missing_tool", `${command} does not look like nats-server. ${remedy}`);
  }
  const version = found[0].slice(1);
  if (!isNewEnough(Number(found[1]), Number(found[2]))) {
    const needed = MIN_NATS_VERSION.join(".");
    throw new AppError(
      "setup.missing_tool",
      `nats-server ${version} (${command}) is too old: ${needed} or later is needed. ${remedy}`,
    );
  }
  return version;
}

function isNewEnough(major: number, minor: number): boolean {
  return major > MIN_NATS_VERSION[0] || (major === MIN_NATS_VERSION[0] && minor >= MIN_NATS_VERSION[1]);
}
