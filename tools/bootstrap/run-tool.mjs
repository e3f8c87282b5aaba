/** Running other programs: quietly with a log, or in the user's terminal with signals and exit code passed on. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { explain, SetupFailure } from "./failure.mjs";
import { TOOLS } from "./paths.mjs";

const ASK_MS = 20_000;

/** @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();

/** Ends what runs now; for a Ctrl-C in the middle of the set-up. */
export function endChildren() {
  for (const child of children) child.kill("SIGTERM");
}

/**
 * Runs a tool to its end. What it writes goes to `.tools/log/<log>.log` and nowhere else.
 * @param {string} doing completes "… failed"
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ log: string, cwd?: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<string>} what it wrote
 * @throws {SetupFailure} when it cannot be run or ends with another code than 0
 */
export async function runTool(doing, command, args, options) {
  const folder = join(TOOLS, "log");
  const logFile = join(folder, `${options.log}.log`);
  mkdirSync(folder, { recursive: true });
  const log = openSync(logFile, "w");
  writeSync(log, `$ ${command} ${args.join(" ")}\n`);
  try {
    const child = spawn(command, args, {
      stdio: ["ignore", log, log],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    children.add(child);
    const code = await ended(child, doing, command).finally(() => children.delete(child));
    const output = readFileSync(logFile, "utf8");
    if (code !== 0) throw explain(doing, output, logFile);
    return output;
  } finally {
    closeSync(log);
  }
}

/**
 * What a program prints on stdout, or undefined where there is no such program or it fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string | undefined>}
 */
export function ask(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
    // Our own timer: that of spawn outlives a command that could not be run, and keeps the process waiting.
    const timer = setTimeout(() => child.kill("SIGKILL"), ASK_MS);
    const answer = (/** @type {string | undefined} */ value) => {
      clearTimeout(timer);
      resolve(value);
    };
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    child.once("error", () => answer(undefined));
    child.once("close", (code) => answer(code === 0 ? text.trim() : undefined));
  });
}

/**
 * Runs a program in the user's terminal; signals reach it once, and its exit code comes back as a shell would give it.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>}
 */
export async function runInTerminal(command, args, options) {
  const child = spawn(command, args, {
    stdio: "inherit",
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
  });
  // A Ctrl-C reaches the whole foreground group, the child included; only other signals are ours to pass on.
  const ignore = () => undefined;
  const passOn = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
  process.on("SIGINT", ignore);
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, passOn);
  try {
    return await ended(child, command, command);
  } finally {
    process.off("SIGINT", ignore);
    for (const signal of ["SIGTERM", "SIGHUP"]) process.off(signal, passOn);
  }
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {string} doing
 * @param {string} command
 * @returns {Promise<number>}
 */
function ended(child, doing, command) {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      const missing = "code" in error && error.code === "ENOENT";
      reject(
        missing
          ? new SetupFailure(`${command} is missing: ${doing} needs it; install it first.`)
          : explain(doing, error),
      );
    });
    child.once("close", (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal]));
    });
  });
}
