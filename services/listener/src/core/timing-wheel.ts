/** One timer for all connections: a wheel of linked lists, so that a deadline costs two pointers and no timer of its own. */
import type { Clock, Timer } from "@myelin/kernel";

/** Length of a tick; every deadline of a connection is exact to this. */
export const TICK_MS = 500;
const SLOTS = 256;

/** A node of the wheel; connections are ones themselves. */
export interface WheelEntry {
  wheelNext: WheelEntry | undefined;
  wheelPrev: WheelEntry | undefined;
  /** Slot it lies in, or -1. */
  wheelSlot: number;
  /**
   * Called when its time has come; returns in how many ticks to look again, 0 for never.
   * Activity only needs to note the tick: the entry finds out here that its deadline has moved.
   */
  onWheel(nowTick: number): number;
}

/** Ticks that `ms` takes, at least one. */
export function ticksOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / TICK_MS));
}

/** Looks at each entry when its tick comes; waits beyond 127 s are looked at in between. */
export class TimingWheel {
  /** Ticks the loop has lived through; entries store it as the time they were last active. */
  now = 0;
  private readonly slots: (WheelEntry | undefined)[] = new Array<WheelEntry | undefined>(SLOTS + 1).fill(
    undefined,
  );
  private timer: Timer | undefined;

  constructor(private readonly clock: Clock) {}

  start(): void {
    if (this.timer !== undefined) return;
    this.timer = this.clock.setInterval(() => this.advance(), TICK_MS).unref();
  }

  stop(): void {
    this.clock.clear(this.timer);
    this.timer = undefined;
  }

  /** Places the entry, or moves it, so that it is looked at in `ticks` or earlier. */
  schedule(entry: WheelEntry, ticks: number): void {
    if (entry.wheelSlot >= 0) this.cancel(entry);
    const slot = (this.now + Math.min(Math.max(ticks, 1), SLOTS - 1)) % SLOTS;
    const head = this.slots[slot];
    entry.wheelNext = head;
    entry.wheelPrev = undefined;
    entry.wheelSlot = slot;
    if (head !== undefined) head.wheelPrev = entry;
    this.slots[slot] = entry;
  }

  cancel(entry: WheelEntry): void {
    if (entry.wheelSlot < 0) return;
    if (entry.wheelPrev === undefined) this.slots[entry.wheelSlot] = entry.wheelNext;
    else entry.wheelPrev.wheelNext = entry.wheelNext;
    if (entry.wheelNext !== undefined) entry.wheelNext.wheelPrev = entry.wheelPrev;
    entry.wheelNext = entry.wheelPrev = undefined;
    entry.wheelSlot = -1;
  }

  /**
   * One tick per call, however late it comes: a loop that was blocked has listened to nobody, so the time counts against nobody. Catching
   * up would also find entries silent that were active while `now` stood still.
   */
  private advance(): void {
    this.now++;
    this.turn(this.now % SLOTS);
  }

  private turn(slot: number): void {
    // Moved to a list of its own first: an entry placed again is not met twice, one cancelled meanwhile is not met at all.
    const slots = this.slots;
    slots[SLOTS] = slots[slot];
    slots[slot] = undefined;
    for (let entry = slots[SLOTS]; entry !== undefined; entry = entry.wheelNext) entry.wheelSlot = SLOTS;
    for (let entry = slots[SLOTS]; entry !== undefined; entry = slots[SLOTS]) {
      this.cancel(entry);
      const again = entry.onWheel(this.now);
      if (again > 0 && entry.wheelSlot < 0) this.schedule(entry, again);
    }
  }
}
