/** Events for groups of shared subscriptions none of whose members has room: they wait apart, so that nobody else waits for them. */
import { type Clock, Ring, type Timer } from "@myelin/kernel";
import type { SharedGroup } from "./shared-groups.js";

/** Between looks for members that have room again. */
const LOOK_EVERY_MS = 10;
/** So long a group waits for members that take nothing at all. */
const STUCK_FOR_MS = 30_000;
/** Bytes that wait for all groups together. Beyond it groups wait no longer: those that are slow are ended then, as other subscribers are. */
const MAX_BYTES = 64 * 1024 * 1024;

export interface ParkedGroupsOptions<B> {
  readonly clock: Clock;
  /** The batch stands on these bytes from now on. */
  readonly begin: (batch: B, data: Uint8Array, group: SharedGroup) => void;
  /** Gives out what is left of the batch as far as the group is not stuck; true: it is done with, and acknowledged. */
  readonly finish: (batch: B) => boolean;
}

/** One batch in the middle, and those behind it. */
interface Parked<B> {
  readonly batch: B;
  /** Of the one in the middle. */
  bytes: number;
  readonly held: Ring<Uint8Array>;
  isGivingOut: boolean;
  /** Since when nobody has taken anything. */
  sinceMs: number;
}

/** One per process. `B` is what the caller reads a batch with. */
export class ParkedGroups<B> {
  private readonly byGroup = new Map<SharedGroup, Parked<B>>();
  private looking: Timer | undefined;
  private bytes = 0;

  constructor(private readonly options: ParkedGroupsOptions<B>) {}

  has(group: SharedGroup): boolean {
    return this.byGroup.has(group);
  }

  /** The rest of the batch, and what is taken for the group from now on, waits until a member has room. */
  park(group: SharedGroup, batch: B, bytes: number): void {
    const sinceMs = this.options.clock.nowMs();
    this.byGroup.set(group, { batch, bytes, held: new Ring(), isGivingOut: false, sinceMs });
    this.bytes += bytes;
    this.lookLater();
  }

  /** False when nothing waits for the group: the batch may go its way. */
  take(group: SharedGroup, data: Uint8Array): boolean {
    const parked = this.byGroup.get(group);
    if (parked === undefined) return false;
    parked.held.push(data);
    this.bytes += data.length;
    return true;
  }

  /** The group has no member any more, and the caller gives what is for it to somebody else. */
  passOn(group: SharedGroup): void {
    const parked = this.byGroup.get(group);
    // Whoever is giving out goes on with it.
    if (parked !== undefined && !parked.isGivingOut) this.giveOut(group, parked);
  }

  close(): void {
    this.options.clock.clear(this.looking);
    this.looking = undefined;
    this.byGroup.clear();
    this.bytes = 0;
  }

  private lookLater(): void {
    this.looking ??= this.options.clock
      .setTimeout(() => {
        this.looking = undefined;
        this.look();
        if (this.byGroup.size > 0) this.lookLater();
      }, LOOK_EVERY_MS)
      .unref();
  }

  private look(): void {
    const nowMs = this.options.clock.nowMs();
    for (const [group, parked] of this.byGroup) {
      group.isOverdue = nowMs - parked.sinceMs >= STUCK_FOR_MS || this.bytes > MAX_BYTES;
      if (group.isStuck) continue;
      parked.sinceMs = nowMs;
      this.giveOut(group, parked);
      group.isOverdue = false;
    }
  }

  private giveOut(group: SharedGroup, parked: Parked<B>): void {
    const { begin, finish } = this.options;
    parked.isGivingOut = true;
    while (finish(parked.batch)) {
      this.bytes -= parked.bytes;
      const next = parked.held.shift();
      if (next === undefined) {
        this.byGroup.delete(group);
        return;
      }
      parked.bytes = next.length;
      begin(parked.batch, next, group);
    }
    parked.isGivingOut = false;
  }
}
