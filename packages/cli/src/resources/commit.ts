/** Changes several files of a folder together: all of them or none, also when this process or the machine dies in between. */
import { constants } from "node:fs";
import { lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { AppError, systemClock } from "@myelin/kernel";
import { isAlive } from "../box/process-id.js";

/** New texts by file name; undefined: the file goes. */
export type FileChanges = ReadonlyMap<string, string | undefined>;

interface Manifest {
  readonly write: readonly string[];
  readonly remove: readonly string[];
}

// Names with a dot in front are no resource files, so nobody reads them meanwhile.
const LOCK = ".myelin-apply.lock";
const PREPARED = ".myelin-apply.prepared";
const DECIDED = ".myelin-apply";
const MANIFEST = "manifest.json";
const LOCK_WITHIN_MS = 5_000;
const LOCK_AGAIN_MS = 50;
/** Locks of this very process: after a restart in a container another one may have had its id. */
const held = new Set<string>();

/**
 * Runs `work` while nobody else changes the folder this way, which is made if it is missing; what another one has decided and not
 * finished is finished first.
 * @throws AppError `store.conflict` when another one works for longer than 5 s, `setup.read_only` when the folder cannot be written
 */
export async function withFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const lock = path.join(folder, LOCK);
  await writable(folder, () => mkdir(folder, { recursive: true }));
  await writable(folder, () => take(lock));
  try {
    await writable(folder, () => finish(folder));
    return await work();
  } finally {
    held.delete(lock);
    await rm(lock, { force: true });
  }
}

/** Called within `withFolder`. @throws AppError `setup.read_only`; then nothing has changed */
export async function commitFiles(folder: string, changes: FileChanges): Promise<void> {
  if (changes.size === 0) return;
  await writable(folder, async () => {
    await prepare(folder, changes);
    // From here on it is decided: whoever comes next finishes it.
    await rename(path.join(folder, PREPARED), path.join(folder, DECIDED));
    await syncFolder(folder);
    await finish(folder);
  });
}

async function prepare(folder: string, changes: FileChanges): Promise<void> {
  const at = path.join(folder, PREPARED);
  await rm(at, { recursive: true, force: true });
  await mkdir(at);
  const write: string[] = [];
  const remove: string[] = [];
  for (const [name, text] of changes) {
    const mode = await modeOf(path.join(folder, name));
    if (text === undefined) remove.push(name);
    else {
      await writeSynced(path.join(at, name), text, mode);
      write.push(name);
    }
  }
  await writeSynced(path.join(at, MANIFEST), JSON.stringify({ write, remove } satisfies Manifest), 0o600);
  await syncFolder(at);
}

async function finish(folder: string): Promise<void> {
  const at = path.join(folder, DECIDED);
  let manifest: Manifest;
  try {
    manifest = JSON.parse(await readFile(path.join(at, MANIFEST), "utf8")) as Manifest;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    // Nothing is decided; what is left of a folder whose manifest is gone has been carried out.
    await rm(at, { recursive: true, force: true });
    return;
  }
  for (const name of manifest.write) {
    await rename(path.join(at, name), path.join(folder, name)).catch(unlessGone);
  }
  for (const name of manifest.remove) await rm(path.join(folder, name), { force: true });
  await syncFolder(folder);
  await rm(path.join(at, MANIFEST), { force: true });
  await rm(at, { recursive: true, force: true });
}

function unlessGone(error: NodeJS.ErrnoException): void {
  // Moved by the one who decided, before it died.
  if (error.code !== "ENOENT") throw error;
}

async function modeOf(file: string): Promise<number> {
  const stats = await lstat(file).catch(unlessGone);
  if (stats === undefined) return 0o644;
  if (stats.isFile()) return stats.mode & 0o777;
  throw new AppError("setup.read_only", `${file} is no plain file: change it where it really is.`);
}

async function writeSynced(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, "w", mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function take(lock: string): Promise<void> {
  const untilMs = systemClock.nowMs() + LOCK_WITHIN_MS;
  for (;;) {
    try {
      const handle = await open(lock, "wx", 0o600);
      held.add(lock);
      await handle.writeFile(String(process.pid));
      await handle.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (await isLeft(lock)) await rm(lock, { force: true });
    else if (systemClock.nowMs() >= untilMs) {
      throw new AppError("store.conflict", `Another command is changing ${path.dirname(lock)}: try again.`);
    } else await systemClock.sleep(LOCK_AGAIN_MS);
  }
}

/** A lock whose holder has died. One that has not written its id yet has the time to do so. */
async function isLeft(lock: string): Promise<boolean> {
  const stats = await stat(lock).catch(unlessGone);
  if (stats === undefined) return false;
  const holder = Number(await readFile(lock, "utf8").catch(() => ""));
  if (holder > 0) return holder === process.pid ? !held.has(lock) : !isAlive(holder);
  return systemClock.wallMs() - stats.mtimeMs > LOCK_WITHIN_MS;
}

async function writable<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (AppError.is(error)) throw error;
    const { message } = error as Error;
    throw new AppError("setup.read_only", `${folder} cannot be written: ${message}.`, { cause: error });
  }
}
