/** A clock that stands still until a test moves it. */
import { type Clock, sleepOn, type Timer } from "./clock.js";

interface FakeTimer extends Timer {
  dueMs: number;
  readonly order: number;
  readonly everyMs: number | undefined;
  readonly callback: () => void;
}

/** For tests: time moves only by `advance`, and timers fire in the order in which they fall due. */
export class FakeClock implements Clock {
  readonly #timers = new Set<FakeTimer>();
  readonly #startWallMs: number;
  #nowMs = 0;
  #created = 0;

  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#startWallMs = startWallMs;
  }

  /** How many timers are pending; a component that has stopped must leave none. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return Math.floor(this.#startWallMs + this.#nowMs);
  }

  wallUs(): number {
    return Math.round((this.#startWallMs + this.#nowMs) * 1000);
  }

  setTimeout(callback: () => void, ms: number): Timer {
    return this.#add(callback, ms, undefined);
  }

  setInterval(callback: () => void, ms: number): Timer {
    // Node raises intervals below one millisecond to one; without that, advance would never end.
    return this.#add(callback, Math.max(1, ms), Math.max(1, ms));
  }

  clear(timer: Timer | undefined): void {
    this.#timers.delete(timer as FakeTimer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /**
   * Moves time forward and fires what falls due on the way, each at its own time.
   * Between two timers promises get their turn, so a loop of sleeps runs as it would in real time.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#nextDue(endMs); next !== undefined; next = this.#nextDue(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.everyMs === undefined) this.#timers.delete(next);
      else next.dueMs = this.#nowMs + next.everyMs;
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }

  #add(callback: () => void, ms: number, everyMs: number | undefined): Timer {
    const clock = this;
    const delayMs = Math.max(0, ms);
    const timer: FakeTimer = {
      dueMs: this.#nowMs + delayMs,
      order: this.#created++,
      everyMs,
      callback,
      unref: () => timer,
      refresh() {
        timer.dueMs = clock.#nowMs + delayMs;
        clock.#timers.add(timer);
        return timer;
      },
    };
    this.#timers.add(timer);
    return timer;
  }

  #nextDue(limitMs: number): FakeTimer | undefined {
    let next: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs > limitMs) continue;
      if (next === undefined || timer.dueMs < next.dueMs) next = timer;
      else if (timer.dueMs === next.dueMs && timer.order < next.order) next = timer;
    }
    return next;
  }
}

// A macrotask lets every promise that is ready run, however long its chain.
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
