/** What a target offers to the queues: one outlet per partition and lane. */
import type { HopHeader } from "@myelin/contract";
import type { Component } from "@myelin/kernel";
import type { DropReason } from "./ledger.js";
import type { Share } from "./share.js";
import type { LaneWord } from "./words.js";

/** Answer of `trySend`: not now, taken and to be settled, or taken and done with. */
export type SendAnswer = "later" | "taken" | "done";

/** Envelopes of one share that a target did without: too old, or refused by it for good. */
export interface LeftOut {
  readonly expired: number;
  readonly refused: number;
}

/** What a queue tells its outlet to call, always from outside of `trySend`. */
export interface OutletEvents {
  /** Sending may succeed now; also called when the state changed. */
  ready(): void;
  /** The oldest `count` shares that were taken are in safe hands. */
  settled(count: number): void;
  /** The oldest share that was taken can never be delivered; it is dropped for this reason. */
  refused(reason: DropReason): void;
  /** Of the oldest share that was taken, some envelopes were not delivered; called before it is settled. */
  leftOut(what: LeftOut): void;
  /** Nothing that was taken and not settled will be; all of it must be sent again, in order. */
  lost(): void;
}

/** The way to one target for one partition and lane. */
export interface Outlet {
  /** `away`: nobody is there who could take anything, and waiting a moment will not change that. */
  readonly state: "open" | "away";
  /** The header shares should be written with; may change when the receiver does. */
  readonly header: HopHeader;
  /** Called by the queue, in order; `again` says that the share was sent before, perhaps by an earlier owner. */
  trySend(share: Share, again: boolean): SendAnswer;
  /** Gives up what was taken without settling it; nothing is called afterwards. Safe twice. */
  close(): void;
}

/** Where an outlet leads. */
export interface Way {
  readonly partition: number;
  /** Of the partition's owner, written into every batch. */
  readonly epoch: number;
  readonly lane: LaneWord;
}

/**
 * `overflow`: kept in the overflow stream, in order. `drop`: dropped and counted.
 * `hold`: they wait, and with them the partition, because there is no other place for them.
 */
export type WhenLagging = "overflow" | "drop" | "hold";

/** One target, for all partitions this process owns. Started before its first outlet, stopped after its last. */
export interface Target extends Component {
  /** What happens to events while it is away or lags. */
  readonly whenLagging: WhenLagging;
  /** A route names it with other settings than before; those of the route that was compiled last hold for all. */
  configure?(spec: unknown): void;
  /**
   * For receivers that are connections: who is there now, undefined when nobody is. Nothing is kept for nobody, and what was kept for
   * somebody else is given up. Absent: what is kept is for whoever comes.
   */
  keptFor?(): string | undefined;
  openOutlet(way: Way, events: OutletEvents): Outlet;
}
