/** Wills of the clients of one partition, as their listeners tell them: for the day on which one of those dies. */
import type { control, Protocol } from "@myelin/contract";

/** What a will costs beside its bytes. */
const ENTRY_BYTES = 256;

/** Room for the wills of all partitions of this process. */
export class WillRoom {
  usedBytes = 0;
  /** Wills that found no room: they are known to their listeners alone. */
  refused = 0;

  constructor(readonly maxBytes: number) {}
}

/** One client's will, and who publishes it. */
export interface ToldWill {
  readonly key: string;
  readonly tenant: string;
  readonly deviceId: string;
  readonly protocol: Protocol;
  readonly holder: string;
  /** A KeptWill. */
  readonly will: Buffer;
  /** When its client was lost, monotonic; undefined while it is connected. */
  lostAtMs: number | undefined;
  /** It is settled: its client is back, it was published, or it is known in another form. */
  isSettled: boolean;
}

/** Who holds wills: one incarnation of a listener. */
export interface WillHolder {
  readonly listener: string;
  readonly incarnation: number;
}

/** One per owned partition. */
export class ToldWills {
  private readonly wills = new Map<string, ToldWill>();
  private readonly byHolder = new Map<string, WillHolder>();

  constructor(private readonly room: WillRoom) {}

  get size(): number {
    return this.wills.size;
  }

  /** Those who have told of wills and were not given up. */
  holders(): Iterable<WillHolder> {
    return this.byHolder.values();
  }

  /** What a listener says now of a client of its: the will it has, or none. @param lostAtMs absent: it is connected */
  tell(key: string, from: WillHolder, change: control.PresenceChange, lostAtMs?: number): void {
    this.settle(key);
    const { tenant, deviceId, protocol } = change;
    const bytes = change.will.length;
    if (bytes === 0) return;
    if (this.room.usedBytes + bytes + ENTRY_BYTES > this.room.maxBytes) {
      this.room.refused += 1;
      return;
    }
    const holder = keyOf(from);
    if (!this.byHolder.has(holder)) {
      this.byHolder.set(holder, { listener: from.listener, incarnation: from.incarnation });
    }
    // Copied: it would keep the whole batch in memory.
    const will = Buffer.from(change.will);
    const told = { key, tenant, deviceId, protocol, holder, will, lostAtMs, isSettled: false };
    this.wills.set(key, told);
    this.room.usedBytes += bytes + ENTRY_BYTES;
  }

  /** Nothing is to be published for the client any more. @param holder only if it is this one's */
  settle(key: string, holder?: WillHolder): void {
    const told = this.wills.get(key);
    if (told === undefined || (holder !== undefined && told.holder !== keyOf(holder))) return;
    told.isSettled = true;
    this.wills.delete(key);
    this.room.usedBytes -= told.will.length + ENTRY_BYTES;
  }

  /** A listener tells everything again. */
  retell(holder: WillHolder): void {
    const name = keyOf(holder);
    this.byHolder.delete(name);
    for (const [key, told] of this.wills) if (told.holder === name) this.settle(key);
  }

  /** A listener has died: what it leaves, which stays here until it is settled. */
  orphans(holder: WillHolder, lostAtMs: number): ToldWill[] {
    const name = keyOf(holder);
    this.byHolder.delete(name);
    const left = [...this.wills.values()].filter((told) => told.holder === name);
    for (const told of left) told.lostAtMs ??= lostAtMs;
    return left;
  }

  /** The partition is given up. */
  clear(): void {
    for (const key of [...this.wills.keys()]) this.settle(key);
    this.byHolder.clear();
  }
}

function keyOf({ listener, incarnation }: WillHolder): string {
  return `${incarnation} ${listener}`;
}
