/** When what is gathered goes out: at once where little comes, in larger pieces where much does. */
import type { Clock, Timer } from "@myelin/kernel";

/** As short as timers are. */
const LEAST_MS = 1;
/** Thousands a second fill pieces of dozens by then, and nobody notices the time. */
const MOST_MS = 16;

/**
 * Calls `flush` a millisecond after the first `add`. Where more than one a millisecond comes the wait doubles from piece to piece, up to
 * 16 ms: a storm must not cost others a message each.
 */
export class Gathering {
  private timer: Timer | undefined;
  private waitMs = LEAST_MS;
  private count = 0;

  constructor(
    private readonly clock: Clock,
    private readonly flush: () => void,
  ) {}

  /** One more waits. */
  add(): void {
    this.count++;
    this.timer ??= this.clock.setTimeout(this.due, this.waitMs);
  }

  /** Nothing is called any more for what waits. */
  clear(): void {
    this.clock.clear(this.timer);
    this.timer = undefined;
    this.count = 0;
  }

  private readonly due = (): void => {
    this.timer = undefined;
    this.waitMs = this.count > this.waitMs ? Math.min(MOST_MS, this.waitMs * 2) : LEAST_MS;
    this.count = 0;
    this.flush();
  };
}
