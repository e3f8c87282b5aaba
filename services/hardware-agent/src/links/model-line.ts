/** A line whose units are models in this process: it takes the time that a real one would. */
import type { BusSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { LineQueue } from "./line-queue.js";
import type { Link, Priority } from "./link.js";

const BITS_PER_BYTE = 11;
/** A read that has waited so long is a bad sample. */
const WAIT_MS = 5_000;

/** Who speaks, and how much. */
export interface Conversation {
  readonly unit: number;
  readonly priority: Priority;
  readonly bytes: number;
  /** How much longer than usual the unit keeps the line. */
  readonly silenceMs: number;
}

/** One conversation at a time. */
export class ModelLine implements Link {
  readonly kind = "simulated";
  readonly queue: LineQueue;
  #isCut = false;

  constructor(
    readonly name: string,
    private readonly settings: NonNullable<BusSpec["link"]["simulated"]>,
    gapMs: number,
    private readonly clock: Clock,
  ) {
    this.queue = new LineQueue({ clock, name, gapMs });
  }

  async connect(): Promise<void> {
    if (this.#isCut) throw new AppError("hardware.line_down", `the line ${this.name} is cut`);
  }

  async disconnect(): Promise<void> {
    // Nothing is open.
  }

  /** Takes the line away, or gives it back. */
  cut(isCut: boolean): void {
    this.#isCut = isCut;
  }

  /**
   * Waits for its turn and keeps the line as long as a conversation takes; how long that was, without the wait.
   * @throws AppError `hardware.line_down`, what `LineQueue` throws, or the signal's reason
   */
  converse({ unit, priority, bytes, silenceMs }: Conversation, signal: AbortSignal): Promise<number> {
    return this.queue.run({ unit, priority, waitMs: WAIT_MS, signal }, async () => {
      await this.connect();
      const { latency, bitsPerSecond } = this.settings;
      const onTheWayMs = bitsPerSecond === undefined ? 0 : (bytes * BITS_PER_BYTE * 1_000) / bitsPerSecond;
      const ms = latency + onTheWayMs + silenceMs;
      if (ms > 0) await this.clock.sleep(ms, signal);
      await this.connect();
      return ms;
    });
  }
}
