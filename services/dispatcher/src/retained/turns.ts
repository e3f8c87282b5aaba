import type { Clock } from "@myelin/kernel";

/** Lets things happen one after the other, with a turn of the event loop between them. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Resolves with what `act` does when its turn has come. What was written within a turn of the event loop goes out before the next one. */
  take<T>(act: () => Promise<T>): Promise<T> {
    const done = this.last.then(act);
    const next = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    this.last = done.then(next, next);
    return done;
  }
}

/** Rests are so many times as long as what was before them. */
const RESTS = 3;
const MAX_REST_MS = 250;
const LOOK_EVERY_MS = 10;

/** Takes turns, and rests after each for those who are not in a hurry: work in the background leaves most of the time to what somebody waits for. */
export class Pace {
  private readonly turns = new Turns();
  private restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly clock: Clock) {}

  take<T>(isHurried: () => boolean, act: () => Promise<T>): Promise<T> {
    const { clock } = this;
    return this.turns.take(async () => {
      for (;;) {
        const leftMs = this.restUntilMs - clock.nowMs();
        if (leftMs <= 0 || isHurried()) break;
        await clock.sleep(Math.min(leftMs, LOOK_EVERY_MS));
      }
      const sinceMs = clock.nowMs();
      try {
        return await act();
      } finally {
        const nowMs = clock.nowMs();
        this.restUntilMs = nowMs + Math.min(MAX_REST_MS, RESTS * (nowMs - sinceMs));
      }
    });
  }
}
