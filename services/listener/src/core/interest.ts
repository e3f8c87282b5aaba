/** Tells the dispatchers which filters this listener's subscribers want. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import { InterestReceipts } from "./interest-receipts.js";
import type { InterestListener, SubscriptionTable } from "./subscription-table.js";

const FILTERS_PER_BATCH = 2000;
/** Then the event loop turns: a million filters must not keep messages waiting. */
const BATCHES_PER_TURN = 5;
const ALL_LISTENERS = "all";
/** Dispatchers that start together ask together: one replay answers all that ask within this time. */
const REPLAY_PAUSE_MS = 50;

export class Interest implements Component, InterestListener {
  readonly name = "interest";
  private added = new Set<string>();
  private removed = new Set<string>();
  /** Groups with as many members as they have now. */
  private groups = new Map<string, number>();
  private sequence = 0;
  private ends: Unsubscribe[] = [];
  private table: SubscriptionTable | undefined;
  private replaying: Timer | undefined;
  /** What is left to tell of a replay. */
  private left: Iterator<string> | undefined;
  private readonly receipts: InterestReceipts;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {
    this.receipts = new InterestReceipts(clock);
  }

  /** Answers of `settled` that came by its deadline, counted once for each that waited. */
  get unconfirmed(): number {
    return this.receipts.missed;
  }

  /** Before `start`: the table is made with this listener of its changes. */
  attach(table: SubscriptionTable): void {
    this.table = table;
  }

  async start(): Promise<void> {
    const onSync = (): void => {
      if (this.left !== undefined) this.startAgain();
      else this.replaying ??= this.clock.setTimeout(() => this.replay(), REPLAY_PAUSE_MS);
    };
    this.ends = [
      this.bus.subscribe(subjects.interestSync(this.bus.instance), onSync),
      this.bus.subscribe(subjects.interestSync(ALL_LISTENERS), onSync),
      this.bus.subscribe(subjects.interestApplied(this.bus.instance), (data) => {
        const receipt = control.InterestApplied.decode(data);
        // What an earlier start of this listener was told says nothing about this one.
        if (receipt.incarnation === this.bus.incarnation) this.receipts.applied(receipt);
      }),
      this.bus.onConnectionChange((connected) => {
        if (connected) this.replay();
      }),
    ];
    this.replay();
  }

  async stop(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
    this.clock.clear(this.replaying);
    this.replaying = undefined;
    this.left = undefined;
    // Nobody is here any more; dispatchers need not find out by our silence.
    this.send(true, [], []);
    this.sayAllIsTold();
    this.receipts.close();
  }

  /** Resolves when all dispatchers have applied what has changed so far, or have not done so within half a second. Undefined: they have. */
  settled(): Promise<void> | undefined {
    return this.receipts.settled(this.isIdle ? this.sequence : Number.POSITIVE_INFINITY);
  }

  wanted(key: string): void {
    this.changed();
    if (!this.removed.delete(key)) this.added.add(key);
  }

  unwanted(key: string): void {
    this.changed();
    if (!this.added.delete(key)) this.removed.add(key);
  }

  shared(key: string, members: number): void {
    this.changed();
    this.groups.set(key, members);
  }

  /**
   * Published when the running callback is done: what the subscriber sends or causes after it comes behind this on our connection to
   * NATS. What others send comes behind it when the dispatchers have confirmed it, for which SUBACK waits.
   */
  private changed(): void {
    if (this.isIdle) queueMicrotask(() => this.flush());
  }

  private get isIdle(): boolean {
    return this.added.size === 0 && this.removed.size === 0 && this.groups.size === 0;
  }

  private flush(): void {
    const added = [...this.added];
    const removed = [...this.removed];
    this.added = new Set();
    this.removed = new Set();
    this.sendGroups(this.groups);
    this.groups = new Map();
    for (let i = 0; i < Math.max(added.length, removed.length); i += FILTERS_PER_BATCH) {
      this.send(false, added.slice(i, i + FILTERS_PER_BATCH), removed.slice(i, i + FILTERS_PER_BATCH));
    }
    this.receipts.told(this.sequence);
  }

  /** Tells everything from the beginning. What changes meanwhile is told between, as always. */
  private replay(): void {
    this.clock.clear(this.replaying);
    this.replaying = undefined;
    this.flush();
    this.left = (this.table?.filters() ?? [])[Symbol.iterator]();
    this.send(true, this.take(), []);
    this.sendGroups([...(this.table?.groups() ?? [])].map(({ key, size }) => [key, size]));
    this.tellMore();
  }

  private sendGroups(counts: Iterable<readonly [string, number]>): void {
    const groups = [...counts].map(([key, members]) => ({ key, members }));
    for (let i = 0; i < groups.length; i += FILTERS_PER_BATCH)
      this.send(false, [], [], groups.slice(i, i + FILTERS_PER_BATCH));
  }

  private startAgain(): void {
    this.left = undefined;
    this.clock.clear(this.replaying);
    this.replaying = this.clock.setTimeout(() => this.replay(), REPLAY_PAUSE_MS);
  }

  private tellMore(): void {
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      const more = this.take();
      if (more.length === 0) {
        this.left = undefined;
        this.replaying = undefined;
        this.sayAllIsTold();
        return;
      }
      this.send(false, more, []);
    }
    this.replaying = this.clock.setTimeout(() => this.tellMore(), 1);
  }

  private take(): string[] {
    const keys: string[] = [];
    while (keys.length < FILTERS_PER_BATCH) {
      const next = this.left?.next();
      if (next === undefined || next.done === true) break;
      keys.push(next.value);
    }
    return keys;
  }

  /** An empty batch ends a replay: what was not told again is no more. */
  private sayAllIsTold(): void {
    this.send(false, [], []);
  }

  private send(
    reset: boolean,
    added: string[],
    removed: string[],
    groups: control.GroupInterest[] = [],
  ): void {
    this.sequence += 1;
    const { instance: listener, incarnation } = this.bus;
    const batch = { listener, incarnation, reset, added, removed, sequence: this.sequence, groups };
    this.bus.publish(subjects.interest(), control.InterestBatch.encode(batch).finish());
  }
}
