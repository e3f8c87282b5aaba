/** `run/box.json`: what a running box tells the other commands about itself. */
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { SUPERVISE } from "../service-names.js";
import type { BoxLayout, BoxPorts } from "./layout.js";
import { commandLine, isAlive } from "./process-id.js";

/** What is written about a running box for the other commands; contains no secret. */
export interface BoxFile {
  readonly pid: number;
  readonly startedAt: string;
  readonly version: string;
  readonly ports: BoxPorts;
  readonly natsUrl: string;
  readonly natsTokenFile: string;
  readonly natsVersion: string;
  readonly appSocket: string;
  readonly processes: readonly { name: string; pid: number | undefined; restarts: number; admin?: number }[];
}

/**
 * The box that runs on this data directory, if any.
 * @throws AppError `setup.read_only` when that cannot be found out, as for a box of another user
 */
export async function runningBox(layout: BoxLayout): Promise<BoxFile | undefined> {
  let text: string;
  try {
    text = await readFile(layout.boxFile, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new AppError(
      "setup.read_only",
      `Whether a box runs on ${layout.root} cannot be found out: ${message}.`,
      {
        cause: error,
      },
    );
  }
  let box: BoxFile;
  try {
    box = JSON.parse(text) as BoxFile;
  } catch {
    // Torn by a power cut: the box that wrote it is gone.
    return undefined;
  }
  return (await isBox(box.pid, layout)) ? box : undefined;
}

/** The CLI as it is started from a build, a bundle or an installed package. */
const CLI_FILE = /(^|[\\/])(main\.m?js|myelin)$/;

/**
 * After a kill the id of the old box may be another program's, and in a restarted container even our own.
 * Where the command line cannot be read, a living process counts as the box: two boxes must never share a store.
 */
async function isBox(pid: number, layout: BoxLayout): Promise<boolean> {
  if (!(pid > 0) || pid === process.pid || !isAlive(pid)) return false;
  const args = await commandLine(pid);
  if (args === undefined) return isAlive(pid);
  return (
    args.some((arg) => arg === "up" || arg === SUPERVISE) &&
    args.some((arg) => CLI_FILE.test(arg) || arg.includes(layout.root))
  );
}

/**
 * Takes the data directory for this process, until it ends: of two boxes that are started at the same moment one gets it.
 * @throws AppError `setup.already_running` when a living box has it
 */
export async function claim(layout: BoxLayout): Promise<void> {
  const own = `${layout.claim}-${process.pid}`;
  await writeFile(own, String(process.pid), { mode: 0o600 });
  try {
    // A link is there with its content or not at all.
    while (!(await linked(own, layout.claim))) {
      const holder = Number(await readFile(layout.claim, "utf8").catch(() => ""));
      if (await isBox(holder, layout)) {
        throw new AppError(
          "setup.already_running",
          `A box is being started on ${layout.root} by process ${holder}.`,
          {
            details: { pid: holder },
          },
        );
      }
      await rm(layout.claim, { force: true });
    }
  } finally {
    await rm(own, { force: true });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Writes the box file so that a reader sees the old or the new one, never half. */
export async function writeBoxFile(layout: BoxLayout, box: BoxFile): Promise<void> {
  const next = `${layout.boxFile}.next`;
  await writeFile(next, `${JSON.stringify(box, null, 2)}\n`, { mode: 0o600 });
  await rename(next, layout.boxFile);
}
