/** What a process of the box writes, in a file of bounded size with one predecessor. */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

/** Beyond that the file becomes `<file>.1`, which replaces the one before. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Written synchronously: services log little, and a supervisor that is killed loses nothing. */
export class LogFile {
  readonly #file: string;
  readonly #maxBytes: number;
  #fd: number | undefined;
  #bytes = 0;

  constructor(file: string, maxBytes: number = MAX_BYTES) {
    this.#file = file;
    this.#maxBytes = maxBytes;
  }

  /** Opens for appending; an open file stays as it is. */
  open(): void {
    if (this.#fd !== undefined) return;
    this.#fd = openSync(this.#file, "a", 0o600);
    this.#bytes = fstatSync(this.#fd).size;
  }

  /** Writes a chunk; what does not fit on the disk is lost, because a full disk must not end the box. */
  write(chunk: Uint8Array): void {
    if (this.#fd === undefined) return;
    try {
      if (this.#bytes + chunk.length > this.#maxBytes) this.#turnOver();
      this.#bytes += writeSync(this.#fd, chunk);
    } catch {
      // ENOSPC and its like: the services themselves report a full disk where it matters.
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #turnOver(): void {
    // Somebody may have removed it, or the last turn got no further than this.
    if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.1`);
    const full = this.#fd as number;
    this.#fd = openSync(this.#file, "a", 0o600);
    closeSync(full);
    this.#bytes = 0;
  }
}
