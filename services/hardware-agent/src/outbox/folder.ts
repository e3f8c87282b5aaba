/** The one place that touches the disk: a folder of files that are written at their end, synced, read and removed. */
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** An open file. One write at a time; reads and syncs may run beside it. Everything rejects with the system's error. */
export interface FolderFile {
  /** Writes all of it, or rejects; a part may have been written then. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Resolves when what was written before the call outlives a loss of power. */
  sync(): Promise<void>;
  /** Fills `into` from `position` on; returns fewer bytes at the end of the file only. */
  read(into: Uint8Array, position: number): Promise<number>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** What is in a folder. */
export interface FolderEntry {
  readonly name: string;
  readonly bytes: number;
}

/** A folder for one owner: nobody else writes in it. */
export interface Folder {
  /** For messages. */
  readonly path: string;
  /** Makes the folder where it is missing. */
  list(): Promise<readonly FolderEntry[]>;
  /** A new file; one of this name that is there already is emptied. The name outlives a loss of power once `syncNames` has resolved. */
  create(name: string): Promise<FolderFile>;
  openFile(name: string): Promise<FolderFile>;
  /** The content of a small file; undefined: there is none. */
  readWhole(name: string): Promise<Buffer | undefined>;
  /** Puts a small file in the place of the one of that name: after a loss of power either of them is there, whole. */
  replace(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
  syncNames(): Promise<void>;
}

/** A folder of the file system. */
export function diskFolder(path: string): Folder {
  const at = (name: string): string => join(path, name);
  const syncNames = async (): Promise<void> => {
    await using folder = await open(path, "r");
    await folder.sync();
  };
  return {
    path,
    async list() {
      await mkdir(path, { recursive: true, mode: 0o750 });
      const found = await readdir(path, { withFileTypes: true });
      const files = found.filter((entry) => entry.isFile());
      return Promise.all(files.map(async ({ name }) => ({ name, bytes: (await stat(at(name))).size })));
    },
    create: async (name) => diskFile(at(name), "w+"),
    openFile: async (name) => diskFile(at(name), "r+"),
    async readWhole(name) {
      try {
        return await readFile(at(name));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw thrown;
      }
    },
    async replace(name, bytes) {
      const next = at(`${name}.next`);
      {
        await using file = await open(next, "w", 0o640);
        await file.writeFile(bytes);
        await file.datasync();
      }
      await rename(next, at(name));
      await syncNames();
    },
    remove: async (name) => rm(at(name), { force: true }),
    syncNames,
  };
}

async function diskFile(path: string, flags: "w+" | "r+"): Promise<FolderFile> {
  const file = await open(path, flags, 0o640);
  return {
    async write(bytes, position) {
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
      }
    },
    sync: async () => file.datasync(),
    async read(into, position) {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await file.read(into, done, into.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    truncate: async (bytes) => file.truncate(bytes),
    close: async () => file.close(),
  };
}
