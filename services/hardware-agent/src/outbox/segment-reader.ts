/** Reads the intact records of one segment, in order, and counts what is damaged between them. */
import type { FolderFile } from "./folder.js";
import {
  findRecord,
  MAX_RECORD_BYTES,
  RECORD_HEADER_BYTES,
  type RecordPlace,
  recordPlace,
} from "./record.js";

const READ_BYTES = 256 * 1024;
const LONGEST = MAX_RECORD_BYTES + RECORD_HEADER_BYTES;

/** Give it back with `close`. One `next` at a time. */
export class SegmentReader {
  /** Where the record lies in `buffer`, good until the next call of `next`. */
  readonly place: RecordPlace = recordPlace();
  /** Bytes that were passed over because they belong to no intact record. */
  damagedBytes = 0;
  /** Place in the file behind the last intact record. */
  goodBytes = 0;
  buffer: Buffer = Buffer.alloc(0);

  readonly #file: FolderFile;
  readonly #seed: number;
  #from = 0;
  #to = 0;
  /** Place in the file of the byte behind `#to`. */
  #position = 0;
  #isWhole = false;
  #expected: number | undefined;

  /**
   * @param first the smallest ordinal that a record may have, and then the end of the one before it: older ones are left of a write that failed.
   * Absent: ordinals mean nothing
   */
  constructor(file: FolderFile, seed: number, first?: number) {
    this.#file = file;
    this.#seed = seed;
    this.#expected = first;
  }

  /** False at the end. Rejects with the system's error. */
  async next(): Promise<boolean> {
    const { place } = this;
    for (;;) {
      const from = this.#from;
      const range = { from, to: this.#to, isWhole: this.#isWhole, seed: this.#seed };
      const found = findRecord(this.buffer, range, place);
      this.damagedBytes += place.start - from;
      if (found === "record") {
        this.#from = place.end;
        if (this.#expected !== undefined) {
          if (place.ordinal < this.#expected) {
            this.damagedBytes += place.end - place.start;
            continue;
          }
          this.#expected = place.ordinal + place.samples;
        }
        this.goodBytes = this.#position - (this.#to - this.#from);
        return true;
      }
      this.#from = place.start;
      if (this.#isWhole) return false;
      await this.#fill();
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #fill(): Promise<void> {
    const kept = this.#to - this.#from;
    const size = kept < READ_BYTES / 2 ? READ_BYTES : LONGEST + READ_BYTES;
    // A new buffer each time: whoever was given a record may still be looking at it.
    const next = Buffer.allocUnsafeSlow(size);
    this.buffer.copy(next, 0, this.#from, this.#to);
    const read = await this.#file.read(next.subarray(kept), this.#position);
    this.#isWhole = read < size - kept;
    this.#position += read;
    this.buffer = next;
    this.#from = 0;
    this.#to = kept + read;
  }
}
