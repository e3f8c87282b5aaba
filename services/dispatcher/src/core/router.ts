/** Sorts the envelopes of a batch by their plans. Per message: a channel number, two array look-ups, one comparison. */
import { BATCH_FLAGS, BatchView, envelope } from "@myelin/contract";
import type { TrackedBatch } from "./event-tracker.js";
import type { LaneQueues } from "./lane-queues.js";
import type { Account } from "./ledger.js";
import type { HeaderCondition, Leg, Plan, TargetRef } from "./plan.js";
import type { PlanCache } from "./plan-cache.js";

/** Where one lane of one partition routes to and books. */
export interface RouteLane {
  readonly event: boolean;
  readonly queues: LaneQueues;
  readonly account: Account;
  /** Where events go that nobody wants; undefined on the telemetry lane, which drops them. */
  readonly unrouted: TargetRef | undefined;
}

/** Says of an envelope with a sender's id whether it was seen; the view stands on it. */
export interface DoubleCheck {
  isDouble(view: BatchView): boolean;
}

/** One per process: it keeps nothing of a batch between calls. */
export class Router {
  private readonly scratch = new BatchView();
  private scratchOf: Buffer | undefined;
  private retained: Leg | undefined;
  private readonly retainedPlans = new WeakMap<Plan, Plan>();

  constructor(
    private readonly plans: PlanCache,
    private readonly nowUs: () => number,
  ) {}

  /** From now on messages with `retain` set go to this target too, whatever their plan says. */
  keepRetained(target: TargetRef): void {
    this.retained = { target, transform: undefined };
  }

  /**
   * Routes every envelope of `view` and hands the shares to the queues. `source` is claimed once per share.
   * @throws AppError `contract.bad_envelope`: nothing of the batch was routed then
   */
  route(
    view: BatchView,
    lane: RouteLane,
    source: TrackedBatch | undefined,
    redelivered: boolean,
    doubles: DoubleCheck | undefined,
  ): void {
    const { queues, account } = lane;
    const cached = this.plans.sync(view);
    const { flags } = view.hop;
    const retaining = this.retained !== undefined && (flags & BATCH_FLAGS.retained) !== 0;
    const careful = (flags & (BATCH_FLAGS.expiry | BATCH_FLAGS.senderIds)) !== 0;
    let received = 0;
    let routed = 0;
    let current: Plan | undefined;
    let start = 0;
    let count = 0;
    let expired = 0;
    let doubled = 0;
    this.scratchOf = undefined;
    try {
      while (view.next()) {
        received++;
        if (careful) {
          const gone = this.isExpired(view, flags) ? 1 : this.isDouble(view, flags, doubles) ? 2 : 0;
          if (gone !== 0) {
            if (gone === 1) expired++;
            else doubled++;
            if (current !== undefined)
              routed += this.close(view, lane, current, start, view.recordStart, count);
            current = undefined;
            continue;
          }
        }
        let plan = this.plans.find(cached, view);
        if (plan.conditions !== undefined) plan = plan.variant(outcomesOf(view, plan.conditions, flags));
        if (retaining && view.retain) plan = this.withRetained(plan);
        if (plan !== current) {
          if (current !== undefined)
            routed += this.close(view, lane, current, start, view.recordStart, count);
          current = plan;
          start = view.recordStart;
          count = 0;
        }
        count++;
      }
      if (current !== undefined) routed += this.close(view, lane, current, start, view.recordEnd, count);
    } catch (error) {
      queues.discard();
      throw error;
    }
    account.received += received;
    account.expired += expired;
    account.drop("double", doubled);
    account.forwarded += routed;
    const unrouted = received - expired - doubled - routed;
    if (unrouted > 0) {
      if (lane.unrouted === undefined) account.drop("unrouted", unrouted);
      else account.stored += unrouted;
    }
    queues.flush(view, redelivered, source?.delivery.streamSequence ?? 0, source);
  }

  /** Ends a run of envelopes with one plan; returns how many of them had at least one target. */
  private close(
    view: BatchView,
    lane: RouteLane,
    plan: Plan,
    start: number,
    end: number,
    count: number,
  ): number {
    const { legs } = plan;
    let taken = false;
    for (let i = 0; i < legs.length; i++) {
      const leg = legs[i]!;
      if (leg.transform === undefined)
        taken = (lane.queues.add(leg.target, start, end, count) && leg.isAside !== true) || taken;
      else taken = this.transform(view, lane, leg, start, end) || taken;
    }
    if (taken) return count;
    if (lane.unrouted !== undefined) lane.queues.add(lane.unrouted, start, end, count);
    return 0;
  }

  /** Rewrites each envelope of a run for one target; false when the target is no more. */
  private transform(view: BatchView, lane: RouteLane, leg: Leg, start: number, end: number): boolean {
    const queue = lane.queues.of(leg.target);
    if (queue === undefined || leg.transform === undefined) return false;
    const { scratch } = this;
    if (this.scratchOf !== view.bytes) this.scratchOf = scratch.reset(view.bytes).bytes;
    scratch.recordEnd = start;
    while (scratch.recordEnd < end && scratch.next()) {
      const made = leg.transform.apply(scratch.envelopeBytes(), lane.event);
      if (made === undefined) lane.queues.add(leg.target, scratch.recordStart, scratch.recordEnd, 1);
      else if (typeof made !== "string") lane.queues.addRewritten(leg.target, made);
      else if (made === "unrouted" && lane.unrouted !== undefined) {
        queue.refuse(1, undefined);
        lane.queues.add(lane.unrouted, scratch.recordStart, scratch.recordEnd, 1);
      } else queue.refuse(1, "codec_error");
    }
    return true;
  }

  private withRetained(plan: Plan): Plan {
    let made = this.retainedPlans.get(plan);
    if (made === undefined) {
      made = { ...plan, legs: [...plan.legs, this.retained!] };
      this.retainedPlans.set(plan, made);
    }
    return made;
  }

  private isExpired(view: BatchView, flags: number): boolean {
    if ((flags & BATCH_FLAGS.expiry) === 0) return false;
    const at = view.expiresAtUs;
    return at !== 0 && at <= this.nowUs();
  }

  private isDouble(view: BatchView, flags: number, doubles: DoubleCheck | undefined): boolean {
    return doubles !== undefined && (flags & BATCH_FLAGS.senderIds) !== 0 && doubles.isDouble(view);
  }
}

/** One `t` or `f` per condition. Header names are compared as written. */
function outcomesOf(view: BatchView, conditions: readonly HeaderCondition[], flags: number): string {
  if ((flags & BATCH_FLAGS.headers) === 0) return "f".repeat(conditions.length);
  const { headers } = envelope.Envelope.decode(view.envelopeBytes());
  let out = "";
  for (const { name, value } of conditions) {
    out += headers.some((h) => h.name === name && h.value === value) ? "t" : "f";
  }
  return out;
}
