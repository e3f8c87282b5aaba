/** One set-up at a time in one checkout. */
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { explain, SetupFailure } from "./failure.mjs";

const BEAT_MS = 2_000;
// Far more than the beat: a machine that swaps or a laptop that wakes up must not lose its lock.
const STALE_MS = 30_000;
const GIVE_UP_MS = 20 * 60_000;
const POLL_MS = 200;

/**
 * Does `work` while holding the lock file; waits for another holder that is alive, and takes over from a dead one.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @param {(pid: number) => void} [onWait] told once, when another process is at it
 * @returns {Promise<T>}
 * @throws {SetupFailure} when the other one does not come to an end within 20 minutes
 */
export async function withLock(file, work, onWait) {
  const begun = Date.now();
  let told = false;
  while (!take(file)) {
    const holder = holderOf(file);
    if (holder !== undefined && isStale(file, holder)) {
      removeStale(file);
      continue;
    }
    if (!told && holder !== undefined) onWait?.(holder.pid);
    told ||= holder !== undefined;
    if (Date.now() - begun > GIVE_UP_MS) {
      throw new SetupFailure(`Another set-up holds ${file} for 20 minutes; end it, or remove the file.`);
    }
    await delay(POLL_MS);
  }
  const beat = setInterval(() => touch(file), BEAT_MS);
  const release = () => rmSync(file, { force: true });
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    process.off("exit", release);
    release();
  }
}

/** @param {string} file */
function take(file) {
  try {
    writeFileSync(file, JSON.stringify({ pid: process.pid, host: hostname() }), { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw explain("taking the set-up's lock", error);
  }
}

/**
 * @param {string} file
 * @returns {{ pid: number, host: string } | undefined} undefined: it has just gone, or is being written
 */
function holderOf(file) {
  try {
    const text = readFileSync(file, "utf8");
    // A holder that died between creating and filling its file leaves an empty one.
    return text === "" ? { pid: 0, host: "" } : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {string} file @param {{ pid: number, host: string }} holder */
function isStale(file, holder) {
  if (holder.pid !== 0 && holder.host === hostname() && !isAlive(holder.pid)) return true;
  try {
    return Date.now() - statSync(file).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/**
 * Two waiters may find the same stale lock. The second must not remove the lock that the first has taken meanwhile, so
 * removal is guarded by a lock of its own and looks again under it.
 * @param {string} file
 */
function removeStale(file) {
  const guard = `${file}.guard`;
  if (!take(guard)) {
    const holder = holderOf(guard);
    if (holder !== undefined && isStale(guard, holder)) rmSync(guard, { force: true });
    return;
  }
  try {
    const holder = holderOf(file);
    if (holder !== undefined && isStale(file, holder)) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/** @param {string} file */
function touch(file) {
  try {
    utimesSync(file, new Date(), new Date());
  } catch {
    // Gone: someone removed it by hand. The work goes on; at worst it is done twice.
  }
}
