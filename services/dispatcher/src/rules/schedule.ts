/** Points of time as cron writes them. The only file that knows the library. */
import { AppError } from "@myelin/kernel";
import { Cron } from "croner";

/** Says when the next point of time has come. Those that pass while nobody asks are passed over, but for the last one. */
export class Schedule {
  readonly #cron: Cron;
  #nextMs: number;

  /** @throws AppError `rule.invalid` */
  constructor(rule: string, spec: { readonly cron: string; readonly timeZone: string }, nowMs: number) {
    try {
      // Five fields: none of seconds, so that a rule runs once a minute at most.
      this.#cron = new Cron(spec.cron, { timezone: spec.timeZone, paused: true, mode: "5-part" });
      this.#nextMs = this.#after(nowMs);
    } catch (cause) {
      const path = "spec.trigger.schedule.cron";
      throw new AppError("rule.invalid", `rule ${rule}: ${path}: ${AppError.from(cause).message}`, {
        cause,
        details: { rule, path },
      });
    }
  }

  /** The newest point of time that has come since it was asked last; undefined: none. */
  due(nowMs: number): number | undefined {
    let due: number | undefined;
    // A clock that was set forward by years must not be walked through minute by minute.
    if (this.#nextMs <= nowMs - MAX_LATE_MS) this.#nextMs = this.#after(nowMs - MAX_LATE_MS);
    while (this.#nextMs <= nowMs) {
      due = this.#nextMs;
      this.#nextMs = this.#after(this.#nextMs);
    }
    return due;
  }

  #after(atMs: number): number {
    return this.#cron.nextRun(new Date(atMs))?.getTime() ?? Number.POSITIVE_INFINITY;
  }
}

const MAX_LATE_MS = 3_600_000;
