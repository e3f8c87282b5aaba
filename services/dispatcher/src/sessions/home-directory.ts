/** What every dispatcher knows of all homes: who they are, and which filters their sessions want. */
import type { session as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";

export interface HomeDirectoryOptions {
  readonly partitions: number;
  readonly clock: Clock;
  /** A home wants a filter, as `filterKey` makes it, or does so no longer. */
  readonly wanted: (partition: number, key: string) => void;
  readonly unwanted: (partition: number, key: string) => void;
  /** So many members of a group of a shared subscription has a home whose clients are connected, and so many whose are not. */
  readonly grouped: (partition: number, key: string, present: number, away: number) => void;
  /** Another process is the home of a partition now. */
  readonly moved: (partition: number) => void;
  /** Something was missed: the home must be asked for all its filters. */
  readonly replayNeeded: (partition: number) => void;
}

interface Home {
  epoch: number;
  sequence: number;
  /** All its filters were heard of. */
  isComplete: boolean;
  readonly keys: Set<string>;
  readonly groups: Set<string>;
  /** During a replay: what it has said so far. */
  replay: { readonly keys: Set<string>; readonly groups: Set<string> } | undefined;
}

/** One per process. Filters of a home that is away stay: its sessions want their messages all the same. */
export class HomeDirectory {
  private readonly homes: Home[] = [];
  private waiting: (() => void)[] = [];

  constructor(private readonly options: HomeDirectoryOptions) {
    for (let p = 0; p < options.partitions; p++) {
      const known = { keys: new Set<string>(), groups: new Set<string>() };
      this.homes.push({ epoch: 0, sequence: 0, isComplete: false, ...known, replay: undefined });
    }
  }

  /** Epoch of a partition's home; 0: none was heard of. */
  epochOf(partition: number): number {
    return this.homes[partition]?.epoch ?? 0;
  }

  /** Partitions whose homes have not said what their sessions want. */
  get unknown(): number[] {
    return this.homes.flatMap(({ isComplete }, partition) => (isComplete ? [] : [partition]));
  }

  /** Resolves when the filters of all homes are known. False: not within the deadline. */
  async allKnown(deadlineMs: number): Promise<boolean> {
    const { clock } = this.options;
    if (this.unknown.length === 0) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.waiting.push(resolve);
    const timer = clock.setTimeout(resolve, deadlineMs);
    await promise;
    clock.clear(timer);
    this.waiting = this.waiting.filter((one) => one !== resolve);
    return this.unknown.length === 0;
  }

  beat({ partition, epoch, interest }: wire.HomeBeat): void {
    const home = this.homes[partition];
    if (home === undefined || epoch < home.epoch) return;
    this.see(partition, home, epoch);
    if (!home.isComplete || interest !== home.sequence) this.options.replayNeeded(partition);
  }

  interest(batch: wire.SessionInterest): void {
    const { partition, epoch, sequence } = batch;
    const home = this.homes[partition];
    if (home === undefined || epoch < home.epoch) return;
    this.see(partition, home, epoch);
    if (batch.reset) home.replay = { keys: new Set(), groups: new Set() };
    else if (sequence <= home.sequence) return;
    else if (sequence !== home.sequence + 1 || (!home.isComplete && home.replay === undefined)) {
      // The next beat asks for all of it.
      home.isComplete = home.isComplete && sequence === home.sequence + 1;
      return;
    }
    home.sequence = sequence;
    const { wanted, unwanted, grouped } = this.options;
    for (const key of batch.removed) if (home.keys.delete(key)) unwanted(partition, key);
    for (const key of batch.added) {
      home.replay?.keys.add(key);
      if (home.keys.has(key)) continue;
      home.keys.add(key);
      wanted(partition, key);
    }
    for (const { key, present, away } of batch.groups) {
      home.replay?.groups.add(key);
      if (present + away > 0) home.groups.add(key);
      else home.groups.delete(key);
      grouped(partition, key, present, away);
    }
    if (!batch.complete) return;
    const { replay } = home;
    if (replay !== undefined) {
      home.replay = undefined;
      for (const key of [...home.keys]) {
        if (replay.keys.has(key)) continue;
        home.keys.delete(key);
        unwanted(partition, key);
      }
      for (const key of [...home.groups]) {
        if (replay.groups.has(key)) continue;
        home.groups.delete(key);
        grouped(partition, key, 0, 0);
      }
    }
    home.isComplete = true;
    if (this.waiting.length > 0 && this.unknown.length === 0) for (const known of this.waiting) known();
  }

  private see(partition: number, home: Home, epoch: number): void {
    if (epoch === home.epoch) return;
    home.epoch = epoch;
    home.sequence = 0;
    home.replay = undefined;
    home.isComplete = false;
    this.options.moved(partition);
  }
}

/** @throws AppError `internal.invalid_argument` for what is no partition's name */
export function partitionOfTarget(name: string): number {
  const partition = Number(name);
  if (Number.isInteger(partition) && partition >= 0 && String(partition) === name) return partition;
  throw new AppError("internal.invalid_argument", `there is no home of sessions ${name}`);
}
