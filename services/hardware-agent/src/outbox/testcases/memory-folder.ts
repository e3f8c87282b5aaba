/** A folder in memory that can fail, hang, fill up and lose power. */
import type { Folder, FolderEntry, FolderFile } from "../folder.js";

interface Content {
  bytes: Buffer;
  /** What would be there after a loss of power. */
  synced: Buffer;
}

export class MemoryFolder implements Folder {
  readonly path = "memory";
  readonly files = new Map<string, Content>();
  /** All files together; a write beyond it is done in part and refused with ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Code of the error that every write gives. */
  failure: string | undefined;
  /** Writes wait for it. */
  held: Promise<void> | undefined;
  readFailure: string | undefined;

  get usedBytes(): number {
    return [...this.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  get segments(): string[] {
    return [...this.files.keys()].filter((name) => name.endsWith(".seg")).sort();
  }

  /** What the next process finds after kill -9: everything written. */
  afterKill(): MemoryFolder {
    return this.#copy(({ bytes }) => bytes);
  }

  /** What it finds after a loss of power: everything synced. */
  afterPowerLoss(): MemoryFolder {
    return this.#copy(({ synced }) => synced);
  }

  async list(): Promise<readonly FolderEntry[]> {
    return [...this.files].map(([name, { bytes }]) => ({ name, bytes: bytes.length }));
  }

  async create(name: string): Promise<FolderFile> {
    const content = { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) };
    this.files.set(name, content);
    return this.#file(content);
  }

  async openFile(name: string): Promise<FolderFile> {
    const content = this.files.get(name);
    if (content === undefined) throw errorOf("ENOENT");
    return this.#file(content);
  }

  async readWhole(name: string): Promise<Buffer | undefined> {
    return this.files.get(name)?.bytes;
  }

  async replace(name: string, bytes: Uint8Array): Promise<void> {
    if (this.failure !== undefined) throw errorOf(this.failure);
    const content = Buffer.from(bytes);
    this.files.set(name, { bytes: content, synced: content });
  }

  async remove(name: string): Promise<void> {
    this.files.delete(name);
  }

  async syncNames(): Promise<void> {}

  #copy(of: (content: Content) => Buffer): MemoryFolder {
    const copy = new MemoryFolder();
    for (const [name, content] of this.files) {
      const bytes = Buffer.from(of(content));
      copy.files.set(name, { bytes, synced: bytes });
    }
    return copy;
  }

  #file(content: Content): FolderFile {
    return {
      write: async (bytes, position) => {
        await this.held;
        if (this.failure !== undefined) throw errorOf(this.failure);
        const room = this.capacityBytes - this.usedBytes + content.bytes.length - position;
        const part = bytes.subarray(0, Math.max(0, room));
        const next = Buffer.alloc(Math.max(content.bytes.length, position + part.length));
        content.bytes.copy(next);
        next.set(part, position);
        content.bytes = next;
        if (part.length < bytes.length) throw errorOf("ENOSPC");
      },
      sync: async () => {
        if (this.failure !== undefined) throw errorOf(this.failure);
        content.synced = Buffer.from(content.bytes);
      },
      read: async (into, position) => {
        if (this.readFailure !== undefined) throw errorOf(this.readFailure);
        return content.bytes.copy(into, 0, position);
      },
      truncate: async (bytes) => {
        content.bytes = content.bytes.subarray(0, bytes);
      },
      close: async () => {},
    };
  }
}

function errorOf(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: no`), { code });
}
