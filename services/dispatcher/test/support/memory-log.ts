/** The journal of a partition in memory. */
import { AppError } from "@myelin/kernel";
import type { JournalPort } from "../../src/sessions/journal.js";

/** A subject of a stream, with answers that get lost. */
export class MemoryLog implements JournalPort {
  entries: { sequence: number; data: Buffer }[] = [];
  losesAnswer = false;
  /** Appends wait until it is false again. */
  isStuck = false;
  private last = 0;

  async append(data: Uint8Array, after: number): Promise<number> {
    while (this.isStuck) await new Promise<void>((resolve) => setImmediate(resolve));
    if (after !== this.last) throw new AppError("bus.conflict", `the last is ${this.last}`);
    this.last += 1;
    this.entries.push({ sequence: this.last, data: Buffer.from(data) });
    if (this.losesAnswer) {
      this.losesAnswer = false;
      throw new AppError("bus.timeout", "no answer");
    }
    return this.last;
  }
  async read(from: number) {
    return this.entries.filter(({ sequence }) => sequence >= from).slice(0, 3);
  }
  async lastSequence() {
    return this.last;
  }
  async removeUpTo(sequence: number) {
    this.entries = this.entries.filter((entry) => entry.sequence > sequence);
  }
}
