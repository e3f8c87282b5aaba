/** Who waits until something has happened to a run. */
import { AppError, type Clock } from "@myelin/kernel";

const MAX_WATCHERS = 10_000;

/** Of one partition. */
export class Watchers {
  readonly #byRun = new Map<string, Set<() => void>>();
  #count = 0;

  constructor(private readonly clock: Clock) {}

  /** Resolves when something has happened to the run, or the time is over. @throws AppError `queue.full` */
  async changed(run: string, waitMs: number): Promise<void> {
    if (this.#count >= MAX_WATCHERS) throw new AppError("queue.full", "too many wait for runs");
    this.#count += 1;
    await new Promise<void>((resolve) => {
      const watching = this.#byRun.get(run) ?? new Set();
      this.#byRun.set(run, watching);
      const wake = (): void => {
        this.clock.clear(timer);
        watching.delete(wake);
        if (watching.size === 0 && this.#byRun.get(run) === watching) this.#byRun.delete(run);
        this.#count -= 1;
        resolve();
      };
      const timer = this.clock.setTimeout(wake, waitMs);
      watching.add(wake);
    });
  }

  wake(run: string): void {
    for (const wake of [...(this.#byRun.get(run) ?? [])]) wake();
  }

  wakeAll(): void {
    for (const run of [...this.#byRun.keys()]) this.wake(run);
  }
}
