/** Gives the messages of shares to the keepers of their topics; a share is settled when all of them have what is theirs. */
import { BATCH_FLAGS, BatchView, HopHeader, Lane } from "@myelin/contract";
import { AppError, backoff, type Clock } from "@myelin/kernel";
import type { Share } from "../../core/share.js";
import type { RetainedKeeper } from "../../retained/keeper.js";
import { type RetainedMessage, retainedOf } from "../../retained/message.js";
import type { Outlet, OutletEvents, Way } from "../target.js";

export interface RetainedOutletOptions {
  readonly way: Way;
  readonly events: OutletEvents;
  readonly keeper: Pick<RetainedKeeper, "keep" | "keepHere" | "partitionOf">;
  readonly clock: Clock;
  readonly onError: (error: AppError) => void;
  readonly onClose: (outlet: RetainedOutlet) => void;
}

interface Flight {
  isDone: boolean;
  readonly bytes: number;
}

/** What may be with the keepers. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** Keeps the order of messages for each keeper. What cannot be kept now is tried again until it can, and meanwhile it is away. */
export class RetainedOutlet implements Outlet {
  readonly header: HopHeader;
  state: "open" | "away" = "open";
  private readonly view = new BatchView();
  private readonly flights: Flight[] = [];
  /** By partition: what is on its way there and must not be overtaken. */
  private readonly lines = new Map<number, Promise<void>>();
  private bytes = 0;
  private isClosed = false;
  /** Shares wait in the queue because the window was full. */
  private isBehind = false;
  private failing = 0;
  private caughtUp: (() => void)[] = [];

  constructor(private readonly options: RetainedOutletOptions) {
    const { partition, lane } = options.way;
    this.header = new HopHeader({
      sender: "",
      incarnation: 0,
      partition,
      lane: lane === "event" ? Lane.EVENT : Lane.TELEMETRY,
      target: "",
      targetInstance: "",
    });
  }

  /** Resolves when everything routed so far has reached its keeper. */
  async handedOver(): Promise<void> {
    while (this.isBehind && !this.isClosed) {
      await new Promise<void>((resolve) => {
        this.caughtUp.push(resolve);
      });
    }
    await Promise.all(this.lines.values());
  }

  trySend(share: Share): "later" | "taken" {
    this.isBehind = this.bytes > 0 && this.bytes + share.data.length > WINDOW_BYTES;
    if (this.isBehind) return "later";
    const flight: Flight = { isDone: false, bytes: share.data.length };
    this.bytes += flight.bytes;
    this.flights.push(flight);
    const redelivered = (share.flags & BATCH_FLAGS.redelivered) !== 0;
    const waits: Promise<void>[] = [];
    for (const [partition, messages] of this.byPartition(share)) {
      const wait = this.give(partition, messages, redelivered);
      if (wait !== undefined) waits.push(wait);
    }
    // Never from within: the queue does not know yet that it was taken.
    if (waits.length === 0) queueMicrotask(() => this.done(flight));
    else void Promise.all(waits).then(() => this.done(flight));
    return "taken";
  }

  close(): void {
    this.isClosed = true;
    this.flights.length = 0;
    this.lines.clear();
    this.wake();
    this.options.onClose(this);
  }

  private done(flight: Flight): void {
    if (this.isClosed) return;
    flight.isDone = true;
    let count = 0;
    while (this.flights[0]?.isDone === true) {
      this.bytes -= this.flights.shift()!.bytes;
      count += 1;
    }
    // What waits in the queue is sent from within this call, and says again whether there was room.
    this.isBehind = false;
    if (count > 0) this.options.events.settled(count);
    if (!this.isBehind) this.wake();
  }

  private wake(): void {
    for (const resolve of this.caughtUp.splice(0)) resolve();
  }

  private byPartition(share: Share): Map<number, RetainedMessage[]> {
    const { view } = this;
    const found = new Map<number, RetainedMessage[]>();
    view.reset(share.data);
    while (view.next()) {
      const message = retainedOf(view);
      const partition = this.options.keeper.partitionOf(message);
      const messages = found.get(partition);
      if (messages === undefined) found.set(partition, [message]);
      else messages.push(message);
    }
    return found;
  }

  /** Undefined when there is nothing to wait for. Where the keeper is in this process it has the messages when this returns. */
  private give(
    partition: number,
    messages: readonly RetainedMessage[],
    redelivered: boolean,
  ): Promise<void> | undefined {
    const { keeper, way } = this.options;
    const stored = way.lane === "event";
    const before = this.lines.get(partition);
    if (before === undefined) {
      const here = keeper.keepHere(partition, messages, { stored, redelivered });
      if (here === "kept") return undefined;
      if (here !== undefined) return here.catch((thrown: unknown) => this.again(partition, messages, thrown));
    }
    const line = this.carry(before, partition, messages, redelivered).finally(() => {
      if (this.lines.get(partition) === line) this.lines.delete(partition);
    });
    this.lines.set(partition, line);
    return line;
  }

  /** Newer ones may have been kept meanwhile, so from now on it counts as redelivered. */
  private again(partition: number, messages: readonly RetainedMessage[], thrown: unknown): Promise<void> {
    this.options.onError(AppError.from(thrown));
    return this.carry(undefined, partition, messages, true);
  }

  private async carry(
    before: Promise<void> | undefined,
    partition: number,
    messages: readonly RetainedMessage[],
    redelivered: boolean,
  ): Promise<void> {
    const { keeper, way, clock, onError } = this.options;
    await before;
    const waits = backoff({ initialMs: 50, maxMs: 5_000 });
    let isAgain = redelivered;
    let hasFailed = false;
    while (!this.isClosed) {
      try {
        await keeper.keep(partition, messages, { stored: way.lane === "event", redelivered: isAgain });
        break;
      } catch (thrown) {
        onError(AppError.from(thrown));
        if (!hasFailed) this.fails(1);
        hasFailed = isAgain = true;
        await clock.sleep(waits.nextMs());
      }
    }
    if (hasFailed) this.fails(-1);
  }

  private fails(by: 1 | -1): void {
    this.failing += by;
    const state = this.failing > 0 ? "away" : "open";
    if (state === this.state || this.isClosed) return;
    this.state = state;
    this.options.events.ready();
  }
}
