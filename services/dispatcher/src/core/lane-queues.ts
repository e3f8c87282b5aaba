/** The queues of one partition and lane, one per target, found by the target's index. */
import { type BatchView, Lane } from "@myelin/contract";
import type { TrackedBatch } from "./event-tracker.js";
import type { Ledger } from "./ledger.js";
import type { Target, Way } from "./outlet.js";
import { OverflowQueue } from "./overflow.js";
import type { TargetRef } from "./plan.js";
import type { DispatcherPorts } from "./ports.js";
import { TargetQueue } from "./target-queue.js";

/** Bounds of every queue. */
export interface QueueLimits {
  readonly telemetryBytes: number;
  readonly eventBytes: number;
  readonly awayGraceMs: number;
}

export interface LaneQueuesOptions {
  readonly ports: DispatcherPorts;
  readonly ledger: Ledger;
  readonly way: Way;
  readonly limits: QueueLimits;
  /** The running target behind a reference; undefined when it was taken out since. */
  readonly targetOf: (ref: TargetRef) => Target | undefined;
}

/** Created with the partition, closed with it. */
export class LaneQueues {
  private readonly queues: (TargetQueue | undefined)[] = [];
  private readonly refs: TargetRef[] = [];
  private readonly touched: TargetQueue[] = [];

  constructor(private readonly options: LaneQueuesOptions) {}

  /** The queue of a target, made when it is first asked for; undefined when the target is no more. */
  of(ref: TargetRef): TargetQueue | undefined {
    return this.queues[ref.index] ?? this.open(ref);
  }

  /** Adds records of the batch at hand to a target's share. The hot path. */
  add(ref: TargetRef, start: number, end: number, count: number): boolean {
    const queue = this.queues[ref.index] ?? this.open(ref);
    if (queue === undefined) return false;
    if (queue.builder.count === 0) this.touched.push(queue);
    queue.builder.add(start, end, count);
    return true;
  }

  /** Adds an envelope that was rewritten. */
  addRewritten(ref: TargetRef, envelope: Uint8Array): boolean {
    const queue = this.of(ref);
    if (queue === undefined) return false;
    if (queue.builder.count === 0) this.touched.push(queue);
    queue.builder.addRewritten(envelope);
    return true;
  }

  /** Hands every share of the batch at hand to its queue. `source` is claimed once per share. */
  flush(
    view: BatchView,
    redelivered: boolean,
    sourceSequence: number,
    source: TrackedBatch | undefined,
  ): void {
    for (const queue of this.touched) {
      if (queue.builder.count === 0) continue;
      source?.claim();
      try {
        queue.take(view, redelivered, sourceSequence, source);
      } catch (err) {
        // A defect of one target is not the others': its share waits in its queue, or comes again with the batch.
        queue.builder.discard();
        this.options.ports.log.error({ err }, "a share could not be given to its target");
      }
    }
    this.touched.length = 0;
  }

  /** Forgets what was collected of a batch that turned out to be broken. */
  discard(): void {
    for (const queue of this.touched) queue.builder.discard();
    this.touched.length = 0;
  }

  /** Queues with their targets. */
  *entries(): IterableIterator<readonly [TargetRef, TargetQueue]> {
    for (const ref of this.refs) {
      const queue = this.queues[ref.index];
      if (queue !== undefined) yield [ref, queue];
    }
  }

  /** Everything that can be settled is settled. */
  get idle(): boolean {
    for (const [, queue] of this.entries()) if (!queue.idle) return false;
    return true;
  }

  /** The queue of a target if there is one. */
  peek(ref: TargetRef): TargetQueue | undefined {
    return this.queues[ref.index];
  }

  /** Closes the queue of a target that is taken out. */
  remove(ref: TargetRef): void {
    this.queues[ref.index]?.close();
    this.queues[ref.index] = undefined;
    const at = this.refs.indexOf(ref);
    if (at >= 0) this.refs.splice(at, 1);
  }

  close(): void {
    for (const [, queue] of this.entries()) queue.close();
    this.queues.length = 0;
    this.refs.length = 0;
  }

  private open(ref: TargetRef): TargetQueue | undefined {
    const { ports, ledger, way, limits, targetOf } = this.options;
    const target = targetOf(ref);
    if (target === undefined) return undefined;
    const name = `${ref.kind}:${ref.name}`;
    const account =
      ref.kind === "unrouted"
        ? ledger.account("unrouted", way.lane)
        : // Clients name groups, and may name many: in the books they are one.
          ledger.account("fanout", way.lane, ref.kind === "group" ? "groups" : name);
    const event = way.lane === "event";
    const queue = new TargetQueue({
      lane: way.lane,
      maxBytes: event ? limits.eventBytes : limits.telemetryBytes,
      awayGraceMs: limits.awayGraceMs,
      nowMs: () => ports.clock.nowMs(),
      nowUs: () => ports.clock.wallUs(),
      account,
      keptFor: target.keptFor && (() => target.keptFor?.()),
      whenLagging: event ? target.whenLagging : "drop",
      createOutlet: (events) => target.openOutlet(way, events),
      createOverflow:
        event && target.whenLagging === "overflow"
          ? (feed) =>
              new OverflowQueue({
                port: ports.openOverflow(ref.kind, ref.name, way.partition),
                feed,
                clock: ports.clock,
                link: {
                  sender: ports.instance,
                  incarnation: ports.incarnation,
                  partition: way.partition,
                  lane: Lane.EVENT,
                  target: name,
                },
                keptFor: target.keptFor && (() => target.keptFor?.()),
                idPrefix: `${name}.${way.partition}`,
                epoch: way.epoch,
                account,
                drained: ledger.account("drain", way.lane, name),
                onError: (err) =>
                  ports.log.warn(
                    { err, target: name, partition: way.partition },
                    "overflow is not available, will retry",
                  ),
              })
          : undefined,
    });
    this.queues[ref.index] = queue;
    this.refs.push(ref);
    return queue;
  }
}
