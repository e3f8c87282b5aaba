/** Gathers what is written at the same time into one transaction: a sync to the disk costs the same for one reading and for many. */
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { ReadingBlock } from "./reading-block.js";

export interface GroupWriterOptions {
  readonly clock: Clock;
  /** A group is written as soon as it has so many readings, */
  readonly maxReadings: number;
  /** or when its first one has waited for so long. */
  readonly waitMs: number;
  /** All of it or nothing. */
  readonly write: (blocks: readonly ReadingBlock[]) => Promise<void>;
}

interface Waiting {
  readonly block: ReadingBlock;
  readonly resolve: () => void;
  readonly reject: (thrown: unknown) => void;
}

/** What may wait, as a multiple of a group; those who write bound themselves long before. */
const MAX_GROUPS = 64;

/** One group is on its way at a time; what comes meanwhile is the next one. */
export class GroupWriter {
  private waiting: Waiting[] = [];
  private readings = 0;
  private timer: Timer | undefined;
  private busy = false;

  constructor(private readonly options: GroupWriterOptions) {}

  /** @throws AppError `queue.full`, or what writing its group throws */
  write(block: ReadingBlock): Promise<void> {
    const { maxReadings, waitMs, clock } = this.options;
    if (block.count === 0) return Promise.resolve();
    if (this.readings > maxReadings * MAX_GROUPS) {
      return Promise.reject(
        new AppError("queue.full", `${this.readings} readings wait to be written already`),
      );
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ block, resolve, reject });
      this.readings += block.count;
      if (this.busy) return;
      if (this.readings >= maxReadings || waitMs === 0) this.begin();
      else this.timer ??= clock.setTimeout(() => this.begin(), waitMs);
    });
  }

  /** What waits is refused; what is on its way is not. */
  stop(): void {
    this.options.clock.clear(this.timer);
    this.timer = undefined;
    const error = new AppError("store.unavailable", "the store is being closed");
    for (const { reject } of this.waiting.splice(0)) reject(error);
    this.readings = 0;
  }

  private begin(): void {
    this.options.clock.clear(this.timer);
    this.timer = undefined;
    if (this.busy || this.waiting.length === 0) return;
    this.busy = true;
    // In a microtask, so that everything that comes in this turn goes along.
    queueMicrotask(() => void this.writeGroup());
  }

  private async writeGroup(): Promise<void> {
    const group = this.take();
    try {
      await this.options.write(group.map(({ block }) => block));
      for (const { resolve } of group) resolve();
    } catch (thrown) {
      for (const { reject } of group) reject(thrown);
    }
    this.busy = false;
    if (this.readings >= this.options.maxReadings) this.begin();
    else if (this.waiting.length > 0) {
      this.timer ??= this.options.clock.setTimeout(() => this.begin(), this.options.waitMs);
    }
  }

  /** Whole blocks, the first of them whatever its size. */
  private take(): Waiting[] {
    let count = 0;
    let blocks = 0;
    for (const { block } of this.waiting) {
      if (blocks > 0 && count + block.count > this.options.maxReadings) break;
      count += block.count;
      blocks += 1;
    }
    this.readings -= count;
    return this.waiting.splice(0, blocks);
  }
}
