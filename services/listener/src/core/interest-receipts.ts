/** Which dispatchers have applied what this listener has told them, and who waits for that. */
import type { Clock, Timer } from "@myelin/kernel";

/** Then whoever waits goes on without those that have not answered. */
const DEADLINE_MS = 500;

interface Wait {
  /** Of the batch that must be applied; infinite while it is not published. */
  sequence: number;
  readonly untilMs: number;
  readonly done: PromiseWithResolvers<void>;
  waiting: number;
}

/**
 * Dispatchers are known by what they confirm: all of them do so at the start of a listener, which tells them everything. One that misses a
 * deadline is not waited for until it confirms something again: it has ended or hangs, and costs that one wait.
 */
export class InterestReceipts {
  /** Numbers of the last batches applied. */
  private readonly dispatchers = new Map<string, number>();
  /** By sequence, and by deadline as well. */
  private waits: Wait[] = [];
  private timer: Timer | undefined;
  private isClosed = false;
  /** Whoever has waited in vain. */
  missed = 0;

  constructor(private readonly clock: Clock) {}

  applied({ dispatcher, sequence }: { readonly dispatcher: string; readonly sequence: number }): void {
    this.dispatchers.set(dispatcher, sequence);
    this.settle();
  }

  /** Undefined: all dispatchers have applied it. Those who wait for the same batch share a promise. @param sequence infinite: of the next batch */
  settled(sequence: number): Promise<void> | undefined {
    if (this.isClosed || this.isApplied(sequence)) return undefined;
    let wait = this.waits.at(-1);
    if (wait === undefined || wait.sequence < sequence) {
      const untilMs = this.clock.nowMs() + DEADLINE_MS;
      wait = { sequence, untilMs, done: Promise.withResolvers<void>(), waiting: 0 };
      this.waits.push(wait);
      this.timer ??= this.clock.setTimeout(() => this.late(), DEADLINE_MS);
    }
    wait.waiting += 1;
    return wait.done.promise;
  }

  /** What was waited for as the next batch is published, and this is its number. */
  told(sequence: number): void {
    const last = this.waits.at(-1);
    if (last?.sequence !== Number.POSITIVE_INFINITY) return;
    last.sequence = sequence;
    this.settle();
  }

  /** Nobody waits any longer. */
  close(): void {
    this.isClosed = true;
    this.dispatchers.clear();
    this.settle();
  }

  private isApplied(sequence: number): boolean {
    for (const applied of this.dispatchers.values()) if (applied < sequence) return false;
    return true;
  }

  private settle(): void {
    let settled = 0;
    for (const wait of this.waits) {
      if (!this.isApplied(wait.sequence)) break;
      wait.done.resolve();
      settled += 1;
    }
    if (settled > 0) this.waits.splice(0, settled);
    if (this.waits.length > 0) return;
    this.clock.clear(this.timer);
    this.timer = undefined;
  }

  private late(): void {
    this.timer = undefined;
    const now = this.clock.nowMs();
    for (const { sequence, untilMs, waiting } of this.waits) {
      if (untilMs > now) break;
      this.missed += waiting;
      for (const [dispatcher, applied] of this.dispatchers) {
        if (applied < sequence) this.dispatchers.delete(dispatcher);
      }
    }
    this.settle();
    const [next] = this.waits;
    if (next !== undefined)
      this.timer = this.clock.setTimeout(() => this.late(), Math.max(1, next.untilMs - now));
  }
}
