/** Walks through what lies in segments, oldest first, wherever it is asked to go on. */
import type { Segment, SegmentLog } from "./segment-log.js";
import type { SegmentReader } from "./segment-reader.js";

/** How often a segment that cannot be read is tried before its rest is given up. */
const READ_TRIES = 5;

interface Open {
  readonly reader: SegmentReader;
  readonly segment: Segment;
  /** First ordinal behind the segment. */
  readonly end: number;
  /** Ordinal behind the last record that was read. */
  at: number;
}

/** One `find` at a time. */
export class Backlog {
  readonly #log: SegmentLog;
  readonly #gone: (from: number, to: number) => void;
  #open: Open | undefined;
  #failures = 0;

  /** @param gone told what should be there and is not: damaged, or never written */
  constructor(log: SegmentLog, gone: (from: number, to: number) => void) {
    this.#log = log;
    this.#gone = gone;
  }

  /**
   * The record that has `ordinal`, in `reader.place`, good until the next call. Undefined: `gone` was told about some of what was looked for; ask again. Rejects
   * with the system's error when the segment cannot be read now.
   */
  async find(ordinal: number): Promise<{ reader: SegmentReader; segment: Segment } | undefined> {
    try {
      const found = await this.#find(ordinal);
      this.#failures = 0;
      return found;
    } catch (thrown) {
      const end = this.#open?.end ?? this.#log.endOf(ordinal);
      await this.close();
      this.#failures += 1;
      if (this.#failures < READ_TRIES) throw thrown;
      this.#failures = 0;
      this.#gone(ordinal, end);
      return undefined;
    }
  }

  /** Safe at any time but during a `find`, and twice. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.reader.close();
  }

  async #find(ordinal: number): Promise<{ reader: SegmentReader; segment: Segment } | undefined> {
    const kept = this.#open;
    const goesOn = kept !== undefined && ordinal >= kept.at && ordinal < kept.end;
    if (goesOn && (await this.#seek(kept, ordinal)) && kept.reader.place.ordinal <= ordinal) return kept;
    // What has been written since a reader came to the end is found by a new one only.
    await this.close();
    const opened = await this.#log.read(ordinal);
    if (opened === undefined) {
      this.#gone(ordinal, this.#log.endOf(ordinal));
      return undefined;
    }
    const open: Open = { ...opened, at: opened.segment.base };
    this.#open = open;
    if (await this.#seek(open, ordinal)) {
      if (open.reader.place.ordinal <= ordinal) return open;
      this.#gone(ordinal, open.reader.place.ordinal);
    } else this.#gone(ordinal, open.end);
    await this.close();
    return undefined;
  }

  /** Whether there is a record that ends behind `ordinal`. */
  async #seek(open: Open, ordinal: number): Promise<boolean> {
    while (await open.reader.next()) {
      const { place } = open.reader;
      open.at = place.ordinal + place.samples;
      if (open.at > ordinal) return true;
    }
    return false;
  }
}
