/** What can be learned about a process from its id alone. Ids are reused, so an id by itself proves nothing. */
import { readFile } from "node:fs/promises";

/** True when a process with this id exists, also one of another user. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Program and arguments of a process; undefined where the system does not tell (no /proc) or it is gone. */
export async function commandLine(pid: number): Promise<readonly string[] | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/cmdline`, "utf8");
    return text.split("\0").slice(0, -1);
  } catch {
    return undefined;
  }
}
