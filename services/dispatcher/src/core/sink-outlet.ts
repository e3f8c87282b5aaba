/** Hands shares to something in this process that writes them away: grouped, in order, tried again while that can help. */

import { HopHeader, Lane } from "@myelin/contract";
import { AppError, type Backoff, backoff, type Clock, type Timer } from "@myelin/kernel";
import type { LeftOut, Outlet, OutletEvents, SendAnswer, Way } from "./outlet.js";
import type { Share } from "./share.js";

/** Writes batches away; resolves when they are safe, as the lane asks. */
export interface SinkWriter {
  /** Larger groups cost fewer round trips; 1 where batches must be settled one by one. */
  readonly maxGroup: number;
  /**
   * Called with one group at a time per outlet. The bytes are encoded batches and may be kept until it settles.
   * Resolves with what was left out of each batch; undefined: of none anything.
   */
  write(batches: readonly SinkBatch[], way: Way): Promise<readonly LeftOut[] | undefined>;
}

/** An encoded batch, and the number of the event batch it came from (0 on the telemetry lane), the same at each retry. */
export interface SinkBatch {
  readonly data: Buffer;
  readonly sourceSequence: number;
}

export interface SinkOutletOptions {
  readonly way: Way;
  readonly events: OutletEvents;
  readonly writer: SinkWriter;
  readonly clock: Clock;
  readonly onError: (error: AppError) => void;
  /** Bytes that may be in the writer's hands. */
  readonly windowBytes?: number;
}

/**
 * Telemetry that cannot be written is dropped; events are tried again for as long as the error says that it may help, and
 * meanwhile the target counts as away. An error that cannot be mended refuses the first batch of its group.
 */
export class SinkOutlet implements Outlet {
  readonly header: HopHeader;
  state: "open" | "away" = "open";
  private group: SinkBatch[] = [];
  private next: SinkBatch[] = [];
  private bytes = 0;
  private timer: Timer | undefined;
  private closed = false;
  private readonly waits: Backoff = backoff({ initialMs: 100, maxMs: 10_000 });
  private readonly windowBytes: number;

  constructor(private readonly options: SinkOutletOptions) {
    this.windowBytes = options.windowBytes ?? 1024 * 1024;
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

  trySend(share: Share): SendAnswer {
    if (this.bytes > 0 && this.bytes + share.data.length > this.windowBytes) return "later";
    this.bytes += share.data.length;
    this.next.push({ data: share.data, sourceSequence: share.sourceSequence });
    // Started from a microtask, so that everything the queue has goes as one group.
    if (this.group.length === 0 && this.next.length === 1 && this.timer === undefined) {
      queueMicrotask(() => void this.writeAll());
    }
    return "taken";
  }

  close(): void {
    this.closed = true;
    this.options.clock.clear(this.timer);
    this.group = [];
    this.next = [];
  }

  private async writeAll(): Promise<void> {
    const { way, writer, events, onError } = this.options;
    while (!this.closed) {
      if (this.group.length === 0) {
        this.group = this.next.splice(0, writer.maxGroup);
      }
      const { group } = this;
      if (group.length === 0) return;
      try {
        const leftOut = await writer.write(group, way);
        if (this.closed) return;
        const { length } = group;
        this.finish(length);
        this.recover();
        if (leftOut === undefined) events.settled(length);
        for (const what of leftOut ?? []) {
          events.leftOut(what);
          events.settled(1);
        }
      } catch (thrown) {
        if (this.closed) return;
        const error = AppError.from(thrown);
        onError(error);
        if (!error.retryable || way.lane === "telemetry") {
          const refused = error.retryable ? group.length : 1;
          this.finish(refused);
          for (let i = 0; i < refused; i++) events.refused("target_error");
          continue;
        }
        this.state = "away";
        events.ready();
        this.timer = this.options.clock.setTimeout(() => {
          this.timer = undefined;
          void this.writeAll();
        }, this.waits.nextMs());
        return;
      }
    }
  }

  private finish(count: number): void {
    for (const { data } of this.group.splice(0, count)) this.bytes -= data.length;
  }

  private recover(): void {
    this.waits.reset();
    this.state = "open";
  }
}
