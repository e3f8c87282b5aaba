/** A file that is appended to, synced when asked, and rotated before it grows over its bound. */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, realpath, rename, rm } from "node:fs/promises";
import { dirname, relative, resolve, sep } from "node:path";
import { AppError } from "@myelin/kernel";
import { ownName } from "./own-name.js";

/** When a file is put aside, and how many stay. */
export interface Rotation {
  /** Rotation begins before a file would grow over this. */
  readonly maxBytes: number;
  /** Older files kept beside it as `<path>.1`, the youngest, to `<path>.<keep>`. */
  readonly keep: number;
}

export interface RotatingFileOptions {
  /** Must exist or be creatable; nothing outside of it is ever written. */
  readonly dataDir: string;
  /** Relative to `dataDir`. */
  readonly path: string;
  /** Who writes; the first one to write here has the path itself, see `ownName`. */
  readonly instance: string;
  readonly rotation: Rotation;
  /** Told once that another instance has the path, and what is written instead. */
  readonly onShared: (file: string) => void;
}

/** Where a path below `dataDir` lies. @throws AppError `route.invalid` for a path that leads out of it */
export function resolveInside(dataDir: string, path: string): string {
  const full = resolve(dataDir, path);
  const inside = relative(resolve(dataDir), full);
  const bad = path.includes("\0") || inside === "" || inside === ".." || inside.startsWith(`..${sep}`);
  if (bad || resolve(path) === path) {
    throw new AppError(
      "route.invalid",
      `a file target must lie below the data directory, ${JSON.stringify(path)} does not`,
    );
  }
  return full;
}

/** Not for concurrent use: the caller waits for one call before the next. */
export class RotatingFile {
  /** Takes effect at the next write. */
  rotation: Rotation;
  private readonly wanted: string;
  /** What is written; the same as what is wanted unless another instance has that. */
  private full: string | undefined;
  private handle: FileHandle | undefined;
  private size = 0;

  constructor(private readonly options: RotatingFileOptions) {
    this.wanted = resolveInside(options.dataDir, options.path);
    this.rotation = options.rotation;
  }

  /**
   * Appends whole lines; with `sync` they are on the disk when it resolves.
   * @throws AppError `store.write_failed`: nothing of `lines` is in the file then
   */
  async append(lines: string, sync: boolean): Promise<void> {
    const bytes = Buffer.from(lines, "utf8");
    try {
      const handle = await this.ready(bytes.length);
      await this.writeAt(handle, bytes);
      if (sync) await handle.datasync();
    } catch (thrown) {
      await this.close();
      throw AppError.wrap("store.write_failed", `cannot write to ${this.options.path}`, thrown);
    }
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  private async writeAt(handle: FileHandle, bytes: Buffer): Promise<void> {
    try {
      let at = 0;
      while (at < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, this.size + at);
        at += bytesWritten;
      }
      this.size += bytes.length;
    } catch (thrown) {
      // A part of a line would be taken for data: the file ends where it ended before.
      await handle.truncate(this.size).catch(() => undefined);
      throw thrown;
    }
  }

  private async ready(more: number): Promise<FileHandle> {
    this.handle ??= await this.open();
    if (this.size === 0 || this.size + more <= this.rotation.maxBytes) return this.handle;
    await this.rotate();
    this.handle = await this.open();
    return this.handle;
  }

  private async name(): Promise<string> {
    if (this.full !== undefined) return this.full;
    this.full = await ownName(this.wanted, this.options.instance);
    if (this.full !== this.wanted) this.options.onShared(this.full);
    return this.full;
  }

  private async open(): Promise<FileHandle> {
    const directory = dirname(this.wanted);
    await mkdir(directory, { recursive: true });
    const [root, real] = await Promise.all([realpath(this.options.dataDir), realpath(directory)]);
    if (real !== root && !real.startsWith(`${root}${sep}`)) {
      throw new AppError("route.invalid", `${this.options.path} leads out of the data directory by a link`);
    }
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const handle = await open(await this.name(), O_RDWR | O_CREAT | O_NOFOLLOW, 0o640);
    try {
      this.size = await endOfLastLine(handle);
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    return handle;
  }

  private async rotate(): Promise<void> {
    const { handle } = this;
    if (handle !== undefined) await handle.datasync();
    await this.close();
    const { keep } = this.rotation;
    const full = await this.name();
    // Those beyond too: it was perhaps told to keep more before.
    for (let i = Math.max(1, keep); await removeIfThere(`${full}.${i}`); i++);
    for (let i = keep - 1; i >= 1; i--) await renameIfThere(`${full}.${i}`, `${full}.${i + 1}`);
    if (keep === 0) await rm(full, { force: true });
    else await renameIfThere(full, `${full}.1`);
    this.size = 0;
  }
}

const TAIL_BYTES = 64 * 1024;
const LINE_BREAK = 0x0a;

/** A process that died while writing may have left a part of a line: it is cut off, its message was never acknowledged. */
async function endOfLastLine(handle: FileHandle): Promise<number> {
  const { size } = await handle.stat();
  const tail = Buffer.alloc(TAIL_BYTES);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - TAIL_BYTES);
    const { bytesRead } = await handle.read(tail, 0, end - start, start);
    const at = tail.subarray(0, bytesRead).lastIndexOf(LINE_BREAK);
    if (at >= 0) {
      if (start + at + 1 < size) await handle.truncate(start + at + 1);
      return start + at + 1;
    }
    end = start;
  }
  if (size > 0) await handle.truncate(0);
  return 0;
}

async function removeIfThere(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw thrown;
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
  }
}
