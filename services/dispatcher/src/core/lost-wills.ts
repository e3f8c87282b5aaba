/** Sees which listeners have died, and hands the wills that they leave to others that publish them. */
import { control, subjects } from "@myelin/contract";
import type { Partition } from "./partition.js";
import type { DispatcherPorts } from "./ports.js";
import type { ToldWill, WillHolder } from "./told-wills.js";

/** A listener that is silent has died when it is silent for this much longer, with NATS there at the beginning and the end. */
const CONFIRM_MS = 3_000;
/** What a silence of listeners had lasted when it was noticed, but for one heartbeat. */
const SILENT_MS = 2_000;
const BATCH_BYTES = 256 * 1024;
const ANSWER_MS = 5_000;
const RETRY_MS = 500;
/** When no listener has come by then, nobody waits for these wills. */
const GIVE_UP_MS = 10 * 60_000;

/** A partition, as far as wills go. */
export type WillPartition = Pick<Partition, "wills" | "isHeld" | "claimAgain">;

export interface LostWillsOptions {
  readonly ports: Pick<DispatcherPorts, "clock" | "log" | "request"> & {
    readonly external: Pick<DispatcherPorts["external"], "flush">;
  };
  readonly partitions: () => Iterable<WillPartition>;
  /** As `ListenerDirectory.incarnationOf`. */
  readonly incarnationOf: (listener: string) => number | undefined;
  /** As `ListenerDirectory.knowsAll`. */
  readonly knowsAll: () => boolean;
}

interface Suspect {
  readonly sinceMs: number;
  isConfirmed: boolean;
}

interface Orphan {
  readonly partition: WillPartition;
  readonly told: ToldWill;
  readonly sinceMs: number;
}

/** One per dispatcher. */
export class LostWills {
  /** Handed to a listener. */
  handedOver = 0;
  /** Given up: no listener was there to take them. */
  givenUp = 0;
  private readonly suspects = new Map<string, Suspect>();
  private orphans: Orphan[] = [];
  private isHanding = false;
  private isStopped = false;

  constructor(private readonly options: LostWillsOptions) {}

  /** Called about twice a second. */
  sweep(): void {
    const nowMs = this.options.ports.clock.nowMs();
    const silent = new Set<string>();
    for (const partition of this.options.partitions()) {
      for (const holder of [...partition.wills.holders()]) {
        const lostAtMs = this.lostAt(holder, nowMs, silent);
        if (lostAtMs === undefined) continue;
        for (const told of partition.wills.orphans(holder, lostAtMs)) {
          this.orphans.push({ partition, told, sinceMs: nowMs });
        }
      }
    }
    for (const name of this.suspects.keys()) if (!silent.has(name)) this.suspects.delete(name);
    if (this.orphans.length > 0 && !this.isHanding) void this.handOver();
  }

  /** NATS is back: who was not heard meanwhile may well be there. */
  reconnected(): void {
    this.suspects.clear();
  }

  stop(): void {
    this.isStopped = true;
    this.orphans = [];
  }

  /** When the holder has died; undefined while it lives or may live. */
  private lostAt(
    { listener, incarnation }: WillHolder,
    nowMs: number,
    silent: Set<string>,
  ): number | undefined {
    const current = this.options.incarnationOf(listener);
    if (current === incarnation) return undefined;
    // A successor of the same name begins when it has ended.
    if (current !== undefined) return nowMs;
    if (!this.options.knowsAll()) return undefined;
    const name = `${incarnation} ${listener}`;
    silent.add(name);
    let suspect = this.suspects.get(name);
    if (suspect === undefined) {
      suspect = { sinceMs: nowMs, isConfirmed: false };
      this.suspects.set(name, suspect);
      void this.confirm(name, suspect);
    }
    return suspect.isConfirmed ? suspect.sinceMs - SILENT_MS : undefined;
  }

  /** Silence may be that of NATS, or our own: only what stays silent while messages come through is dead. */
  private async confirm(name: string, suspect: Suspect): Promise<void> {
    const { ports } = this.options;
    try {
      await ports.external.flush();
      await ports.clock.sleep(CONFIRM_MS);
      await ports.external.flush();
      suspect.isConfirmed = true;
    } catch (err) {
      ports.log.debug({ err, listener: name }, "NATS is away, so nothing is known of a silent listener");
      if (this.suspects.get(name) === suspect) this.suspects.delete(name);
    }
  }

  private async handOver(): Promise<void> {
    const { ports } = this.options;
    this.isHanding = true;
    while (this.orphans.length > 0 && !this.isStopped) {
      const batch = this.nextBatch();
      if (batch.length === 0) continue;
      const nowMs = ports.clock.nowMs();
      const wills = batch.map(({ told }) => lostWill(told, nowMs));
      try {
        await ports.request(subjects.lostWills(), control.LostWills.encode({ wills }).finish(), ANSWER_MS);
        this.handedOver += batch.length;
        for (const { partition, told } of batch) this.taken(partition, told);
      } catch (err) {
        ports.log.debug(
          { err, wills: wills.length },
          "no listener takes the wills of one that has died, will retry",
        );
        this.orphans.unshift(...batch);
        await ports.clock.sleep(RETRY_MS);
      }
    }
    this.isHanding = false;
  }

  private nextBatch(): Orphan[] {
    const batch: Orphan[] = [];
    const oldestMs = this.options.ports.clock.nowMs() - GIVE_UP_MS;
    let bytes = 0;
    let at = 0;
    for (; at < this.orphans.length && bytes < BATCH_BYTES; at++) {
      const orphan = this.orphans[at]!;
      const { partition, told, sinceMs } = orphan;
      if (told.isSettled || !partition.isHeld) continue;
      if (sinceMs < oldestMs) {
        this.givenUp += 1;
        partition.wills.settle(told.key);
        continue;
      }
      batch.push(orphan);
      bytes += told.will.length;
    }
    this.orphans.splice(0, at);
    return batch;
  }

  /** A listener has it, and tells of it if it waits on there. */
  private taken(partition: WillPartition, told: ToldWill): void {
    if (!told.isSettled) partition.wills.settle(told.key);
    // Its client has come back meanwhile: told after the will, all listeners know.
    else partition.claimAgain(told.tenant, told.deviceId);
  }
}

function lostWill(
  { tenant, deviceId, protocol, will, lostAtMs = 0 }: ToldWill,
  nowMs: number,
): control.LostWill {
  return { tenant, deviceId, protocol, will, lostMs: Math.max(0, Math.round(nowMs - lostAtMs)) };
}
