/** Gives each instance that writes to one path a file of its own, for good. */
import { readlink, symlink } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";

/**
 * The file below which an instance writes: `full` for the instance that came first, `<name>.<instance><extension>` for every other one.
 * Who came first is kept beside it as the link `.<name>.owner`, made in one step on any file system: neither clocks nor process
 * numbers are asked, which say nothing across containers, and a restart changes nothing.
 */
export async function ownName(full: string, instance: string): Promise<string> {
  const owner = await ownerOf(join(dirname(full), `.${basename(full)}.owner`), instance);
  if (owner === instance) return full;
  const extension = extname(full);
  return `${full.slice(0, full.length - extension.length)}.${encodeURIComponent(instance)}${extension}`;
}

async function ownerOf(marker: string, instance: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      await symlink(instance, marker);
      return instance;
    } catch (thrown) {
      if (codeOf(thrown) !== "EEXIST") throw thrown;
    }
    try {
      return await readlink(marker);
    } catch (thrown) {
      // Removed meanwhile by an operator, who wants it to be decided anew.
      if (codeOf(thrown) !== "ENOENT" || attempt >= MAX_ATTEMPTS) throw thrown;
    }
  }
}

const MAX_ATTEMPTS = 10;

function codeOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException).code;
}
