/** Who may speak on a line, and when: one after the other, the urgent first, the units in turn. */
import { AppError, abortError, type Clock, type Timer } from "@myelin/kernel";
import { PRIORITIES, type Priority } from "./link.js";

/** How a line is shared. */
export interface LineQueueOptions {
  readonly clock: Clock;
  /** Name of the line, for messages. */
  readonly name: string;
  /** How many turns may run at once; 1 for everything that is a wire. A unit has one at a time, unless `perUnit` allows more. */
  readonly concurrency?: number;
  readonly perUnit?: number;
  /** Silence between two turns: ends a frame on a serial line. */
  readonly gapMs?: number;
  /** Most requests that wait; one more is refused, for it would be stale when its turn comes. */
  readonly maxWaiting?: number;
}

/** Who asks for a turn. */
export interface TurnRequest {
  readonly unit: number;
  readonly priority: Priority;
  /** Longest wait for the turn. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly unit: number;
  readonly signal: AbortSignal;
  readonly start: () => void;
  readonly refuse: (error: AppError) => void;
  readonly timer: Timer;
  readonly onAbort: () => void;
}

const DEFAULT_MAX_WAITING = 4096;

/**
 * Turns on a line. What is more urgent goes first, units of the same urgency take turns, and whoever has waited too long
 * or was called off never speaks: a request that nobody waits for any more costs the line nothing.
 */
export class LineQueue {
  readonly #options: Required<LineQueueOptions>;
  // By urgency; in each the units that wait, in the order in which they are served, with their requests.
  readonly #waiting: readonly Map<number, Waiter[]>[] = PRIORITIES.map(() => new Map());
  readonly #running = new Map<number, number>();
  #active = 0;
  #waiters = 0;
  #quietSinceMs = Number.NEGATIVE_INFINITY;
  #wake: Timer | undefined;
  #busyMs = 0;
  #busySinceMs = 0;

  constructor(options: LineQueueOptions) {
    this.#options = {
      concurrency: 1,
      perUnit: 1,
      gapMs: 0,
      maxWaiting: DEFAULT_MAX_WAITING,
      ...options,
    };
  }

  /** How many may speak at once. */
  get concurrency(): number {
    return this.#options.concurrency;
  }

  /** Silence between two requests. */
  get gapMs(): number {
    return this.#options.gapMs;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiters;
  }

  /** Whether anybody speaks. */
  get isBusy(): boolean {
    return this.#active > 0;
  }

  /** Milliseconds in which somebody spoke, the gaps behind them included, since the line was made: its rate is the busy share. */
  get busyMs(): number {
    return this.#busyMs + (this.#active > 0 ? this.#options.clock.nowMs() - this.#busySinceMs : 0);
  }

  /** Somebody was heard between turns: the gap begins anew. */
  heard(): void {
    this.#quietSinceMs = this.#options.clock.nowMs();
  }

  /**
   * Waits for a turn and runs `work` in it; the turn ends when `work` does, however it does.
   * @throws AppError `operation.timeout` or `operation.aborted` when the turn did not come, `queue.full` when too many
   * wait; in all three `work` was not called.
   */
  async run<T>(request: TurnRequest, work: () => Promise<T>): Promise<T> {
    await this.#turn(request);
    try {
      return await work();
    } finally {
      this.#end(request.unit);
    }
  }

  #turn(request: TurnRequest): Promise<void> | undefined {
    const { signal, unit } = request;
    if (signal.aborted) throw abortError(signal);
    if (this.#waiters === 0 && this.#isFree(unit) && this.#gapLeftMs() <= 0) {
      this.#begin(unit);
      return undefined;
    }
    const { name, maxWaiting } = this.#options;
    if (this.#waiters >= maxWaiting) {
      throw new AppError("queue.full", `${this.#waiters} requests wait for ${name} already`);
    }
    return new Promise((resolve, reject) => {
      this.#enqueue(request, resolve, reject);
      this.#serve();
    });
  }

  #enqueue(request: TurnRequest, start: () => void, refuse: (error: AppError) => void): void {
    const { unit, signal, priority, waitMs } = request;
    const { clock, name } = this.#options;
    const level = this.#waiting[PRIORITIES.indexOf(priority)] as Map<number, Waiter[]>;
    const leave = (error: AppError): void => {
      if (!this.#remove(level, waiter)) return;
      refuse(error);
    };
    const onAbort = (): void => leave(abortError(signal));
    const timer = clock.setTimeout(() => {
      leave(new AppError("operation.timeout", `${name} had no time for unit ${unit} within ${waitMs} ms`));
    }, waitMs);
    const waiter: Waiter = { unit, signal, start, refuse, timer, onAbort };
    signal.addEventListener("abort", onAbort, { once: true });
    const line = level.get(unit);
    if (line === undefined) level.set(unit, [waiter]);
    else line.push(waiter);
    this.#waiters += 1;
  }

  #remove(level: Map<number, Waiter[]>, waiter: Waiter): boolean {
    const line = level.get(waiter.unit);
    const at = line?.indexOf(waiter) ?? -1;
    if (line === undefined || at < 0) return false;
    line.splice(at, 1);
    if (line.length === 0) level.delete(waiter.unit);
    this.#settle(waiter);
    return true;
  }

  #settle(waiter: Waiter): void {
    this.#waiters -= 1;
    this.#options.clock.clear(waiter.timer);
    waiter.signal.removeEventListener("abort", waiter.onAbort);
  }

  #serve(): void {
    while (this.#waiters > 0 && this.#active < this.#options.concurrency) {
      const leftMs = this.#gapLeftMs();
      if (leftMs > 0) {
        this.#wakeIn(leftMs);
        return;
      }
      const waiter = this.#next();
      if (waiter === undefined) return;
      this.#begin(waiter.unit);
      waiter.start();
    }
  }

  #next(): Waiter | undefined {
    for (const level of this.#waiting) {
      for (const [unit, line] of level) {
        if (!this.#isFree(unit)) continue;
        const waiter = line.shift() as Waiter;
        // Behind all others of this urgency: that is what makes units take turns.
        level.delete(unit);
        if (line.length > 0) level.set(unit, line);
        this.#settle(waiter);
        return waiter;
      }
    }
    return undefined;
  }

  #isFree(unit: number): boolean {
    const { concurrency, perUnit } = this.#options;
    return this.#active < concurrency && (this.#running.get(unit) ?? 0) < perUnit;
  }

  #begin(unit: number): void {
    if (this.#active === 0) this.#busySinceMs = this.#options.clock.nowMs();
    this.#active += 1;
    this.#running.set(unit, (this.#running.get(unit) ?? 0) + 1);
  }

  #end(unit: number): void {
    const nowMs = this.#options.clock.nowMs();
    const running = (this.#running.get(unit) ?? 1) - 1;
    if (running === 0) this.#running.delete(unit);
    else this.#running.set(unit, running);
    this.#active -= 1;
    this.#quietSinceMs = nowMs;
    if (this.#active === 0) this.#busyMs += nowMs - this.#busySinceMs + this.#options.gapMs;
    this.#serve();
  }

  #gapLeftMs(): number {
    return this.#options.gapMs === 0
      ? 0
      : this.#quietSinceMs + this.#options.gapMs - this.#options.clock.nowMs();
  }

  #wakeIn(ms: number): void {
    if (this.#wake !== undefined) return;
    this.#wake = this.#options.clock.setTimeout(() => {
      this.#wake = undefined;
      this.#serve();
    }, ms);
  }
}

/** Silence that ends an RTU frame: 3.5 characters, and 1.75 ms above 19,200 baud (Modbus over Serial Line 1.02, 2.5.1.1). */
export function rtuGapMs(baudRate: number, bitsPerByte: number): number {
  return baudRate > 19_200 ? 1.75 : (3.5 * bitsPerByte * 1000) / baudRate;
}
