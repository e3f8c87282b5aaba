/** The folders of a box, and what can be wrong with them before anything starts. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { AppError } from "@myelin/kernel";
import type { BoxLayout } from "./layout.js";
import { hasRoom } from "./room.js";

/** What the system's refusals mean for a folder that is needed. */
const WHY: Readonly<Record<string, string>> = {
  EACCES: "it cannot be written by this user",
  EPERM: "it cannot be written by this user",
  EROFS: "its file system is read-only",
  ENOSPC: "its disk is full",
  EDQUOT: "the disk quota is used up",
  EEXIST: "a file of that name is in the way",
  ENOTDIR: "a part of its path is a file",
};

/**
 * Makes the folders of the box.
 * @throws AppError `setup.read_only` when one cannot be made or written, or its disk is full
 */
export async function makeFolders(layout: BoxLayout): Promise<void> {
  const { root, run, secrets, jetstream, resources, output, cache, logs } = layout;
  for (const folder of [root, run, secrets, jetstream, resources, output, cache, logs]) {
    try {
      await makeFolder(folder);
      const probe = path.join(folder, `.writable-${process.pid}`);
      await writeFile(probe, "", { flag: "wx" });
      await rm(probe);
    } catch (cause) {
      throw unusable(folder, cause);
    }
  }
  if (!(await hasRoom(root))) throw unusable(root, { code: "ENOSPC" });
}

function unusable(folder: string, cause: unknown): AppError {
  const { code = "", message } = cause as { code?: string; message?: string };
  return new AppError(
    "setup.read_only",
    `The folder ${folder} is needed, but ${WHY[code] ?? `it cannot be made: ${message}`}. ` +
      (code === "ENOSPC" || code === "EDQUOT"
        ? "Free some space, or choose another one with --data-dir."
        : "Choose another one with --data-dir."),
    { cause, details: { folder, errno: code } },
  );
}

/** Not `recursive`: below a folder that takes none, such as /proc/1, Node tries that for ever. */
async function makeFolder(folder: string): Promise<void> {
  if (await made(folder)) return;
  await makeFolder(path.dirname(folder));
  await mkdir(folder, { mode: 0o700 });
}

/** False when the folder above is missing. */
async function made(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return false;
    if (code !== "EEXIST" || !(await stat(folder)).isDirectory()) throw error;
    return true;
  }
}

/**
 * Makes the token services log in to NATS with, once per data directory. One that a full disk left empty is made again:
 * nothing can have logged in with it.
 */
export async function makeNatsToken(layout: BoxLayout): Promise<void> {
  try {
    if ((await readFile(layout.natsToken, "utf8")).trim() !== "") return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const next = `${layout.natsToken}.next`;
  await writeFile(next, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  await rename(next, layout.natsToken);
}
