/** Reads a directory of resource files, and only what has changed since the last time. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/** `text` of a file, or why it cannot be read. `signature` changes with every write. */
export interface ScannedFile {
  readonly name: string;
  readonly signature: string;
  readonly text: string | undefined;
  readonly error: string | undefined;
}

/** `files` is undefined when the directory itself cannot be read. */
export interface Scan {
  readonly files: readonly ScannedFile[] | undefined;
  readonly error: string | undefined;
}

const MAX_FILES = 10_000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;

// Editors put their temporary and backup files beside the real ones: .x.swp, x~, #x#, x.yaml.tmp.
const RESOURCE_FILE = /^[^.#~][^~#]*\.ya?ml$/;

/** Files in `directory` itself, by name; links are followed, because Kubernetes mounts config maps as links. */
export async function scanDirectory(
  directory: string,
  known: ReadonlyMap<string, ScannedFile>,
): Promise<Scan> {
  let names: string[];
  try {
    names = (await readdir(directory)).filter((name) => RESOURCE_FILE.test(name)).sort();
  } catch (error) {
    return { files: undefined, error: codeOf(error) };
  }
  const files: ScannedFile[] = [];
  for (const name of names.slice(0, MAX_FILES)) {
    const file = await scanFile(directory, name, known.get(name));
    if (file !== undefined) files.push(file);
  }
  const error = names.length > MAX_FILES ? `more than ${MAX_FILES} files` : undefined;
  return { files, error };
}

/** Which directory is at a path now; undefined when none is. */
export async function directoryIdentity(directory: string): Promise<string | undefined> {
  return await stat(directory, { bigint: true }).then(
    (stats) => `${stats.dev}-${stats.ino}`,
    () => undefined,
  );
}

async function scanFile(
  directory: string,
  name: string,
  known: ScannedFile | undefined,
): Promise<ScannedFile | undefined> {
  const path = join(directory, name);
  try {
    const stats = await stat(path, { bigint: true });
    if (!stats.isFile()) return undefined;
    const signature = [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join("-");
    if (known?.signature === signature) return known;
    if (stats.size > MAX_FILE_BYTES)
      return { name, signature, text: undefined, error: `larger than ${MAX_FILE_BYTES} bytes` };
    return { name, signature, text: await readFile(path, "utf8"), error: undefined };
  } catch (error) {
    // Gone between listing and reading: as if it had not been listed.
    if (codeOf(error) === "ENOENT") return undefined;
    return { name, signature: "unreadable", text: undefined, error: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
