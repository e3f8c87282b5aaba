/** Folders that live as long as a test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is removed, with all it holds, when it is disposed of. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** The path of an entry in this folder; nothing is created. */
  join(...parts: string[]): string;
}

/** An empty folder under the system's temporary folder. `label` becomes part of its name. */
export async function tempDir(label = "test"): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), `myelin-${label}-`));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    // A server that was just killed may still be unlinking; a few tries outlast it.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }),
  };
}
