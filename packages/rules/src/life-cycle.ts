/** When a rule fires and when that is over: from a condition that holds to what is told. */
import type { DeviceState, RuleState, Value } from "./device.js";
import { ask, type Moment } from "./evaluator.js";
import type { EngineCounters, Firing } from "./firing.js";
import type { BoundRule } from "./plan.js";

/** What the life cycle needs of the engine. */
export interface LifeCyclePorts {
  readonly counters: EngineCounters;
  readonly onFiring: (firing: Firing) => void;
  /** Calls `ripe` or `silent` at that time. */
  readonly timer: (dueMs: number, state: DeviceState, rule: string) => void;
}

/** A point of time at which nobody speaks. */
function at(atMs: number): Moment {
  return { atMs, topic: "", isReplayed: false, online: undefined };
}

/** One per engine; states lie with the devices. */
export class LifeCycle {
  constructor(private readonly ports: LifeCyclePorts) {}

  /** Something that the rule is triggered by has come. */
  look(state: DeviceState, bound: BoundRule, moment: Moment): void {
    const { rule } = bound;
    const holds = ask(state, bound, rule.when, bound.whenInputs, moment, this.ports.counters);
    if (holds === undefined) return;
    if (rule.isOnce) {
      this.#step(state, bound, holds, moment);
      return;
    }
    if (!holds || this.#isCooling(state, bound, moment.atMs)) return;
    if (rule.spec.limits.cooldown > 0) this.#stateFor(state, bound).firedMs = moment.atMs;
    this.tell(state, bound, "fired", moment);
  }

  #step(state: DeviceState, bound: BoundRule, holds: boolean, moment: Moment): void {
    const { name, spec, clearWhen } = bound.rule;
    const { atMs } = moment;
    const own = state.states.get(name);
    const phase = own?.phase ?? "idle";
    if (phase === "idle") {
      if (!holds || this.#isCooling(state, bound, atMs)) return;
      if (spec.for === 0) this.#raise(state, bound, moment);
      else this.#enter(state, bound, "pending", atMs, atMs + spec.for);
      return;
    }
    if (phase === "pending") {
      if (!holds) this.#leave(state, bound);
      else if (atMs - own!.sinceMs >= spec.for) this.#raise(state, bound, moment);
      return;
    }
    const isOver =
      clearWhen === undefined
        ? !holds
        : ask(state, bound, clearWhen, bound.clearInputs, moment, this.ports.counters);
    if (isOver === undefined) return;
    const forMs = spec.clear?.for ?? 0;
    if (!isOver) {
      if (phase === "clearing") this.#enter(state, bound, "active", atMs, undefined);
    } else if (forMs === 0 || (phase === "clearing" && atMs - own!.sinceMs >= forMs)) {
      this.#leave(state, bound);
      this.tell(state, bound, "cleared", moment);
    } else if (phase === "active") this.#enter(state, bound, "clearing", atMs, atMs + forMs);
  }

  /** A time has passed for which something was to hold. */
  ripe(state: DeviceState, bound: BoundRule, dueMs: number): void {
    const { name, spec, when } = bound.rule;
    const own = state.states.get(name);
    if (own === undefined || (own.phase !== "pending" && own.phase !== "clearing")) return;
    const forMs = own.phase === "pending" ? spec.for : (spec.clear?.for ?? 0);
    // The timer is of an earlier time that it held.
    if (own.sinceMs + forMs > dueMs) return;
    const moment = at(dueMs);
    const holds = ask(state, bound, when, bound.whenInputs, moment, this.ports.counters);
    if (holds !== undefined) this.#step(state, bound, holds, moment);
    // Nobody knows whether it held all the time.
    else if (own.phase === "pending") this.#leave(state, bound);
    else this.#enter(state, bound, "active", dueMs, undefined);
  }

  /** The device has said something: silence ends. */
  heard(state: DeviceState, moment: Moment): void {
    if (state.plan.onAbsence.length === 0) return;
    for (const bound of state.plan.onAbsence) {
      const own = state.states.get(bound.rule.name);
      if (own?.phase !== "active" || !(lastHeard(state, bound) > own.sinceMs)) continue;
      this.#leave(state, bound);
      this.tell(state, bound, "cleared", moment);
    }
    this.arm(state);
  }

  /** Sees to the timers of silence: one per device and rule, which is set anew when it comes too early, not one per message. */
  arm(state: DeviceState): void {
    for (const bound of state.plan.onAbsence) {
      const { name, spec } = bound.rule;
      if (state.armed.has(name) || state.states.get(name)?.phase === "active") continue;
      const lastMs = lastHeard(state, bound);
      if (lastMs === Number.NEGATIVE_INFINITY) continue;
      state.armed.add(name);
      this.ports.timer(lastMs + spec.trigger.absence!.for, state, name);
    }
  }

  /** A device may have been silent for long enough. */
  silent(state: DeviceState, bound: BoundRule, dueMs: number): void {
    const { name, spec, when } = bound.rule;
    state.armed.delete(name);
    if (lastHeard(state, bound) + spec.trigger.absence!.for > dueMs) {
      this.arm(state);
      return;
    }
    if (state.states.get(name)?.phase === "active" || this.#isCooling(state, bound, dueMs)) return;
    const moment = at(dueMs);
    if (ask(state, bound, when, bound.whenInputs, moment, this.ports.counters) === true)
      this.#raise(state, bound, moment);
  }

  /** Tells of it with all that the rule names. */
  tell(state: DeviceState, { rule, bindings }: BoundRule, what: Firing["state"], moment: Moment): void {
    const { atMs, topic, isReplayed } = moment;
    const values: Record<string, Value> = {};
    for (const binding of bindings) {
      const value = state.read(binding, atMs);
      if (value !== undefined) values[binding.name] = value;
    }
    const { tenant, device } = state;
    this.ports.counters.firings++;
    this.ports.onFiring({ rule, tenant, device, state: what, atMs, values, topic, isReplayed });
  }

  #raise(state: DeviceState, bound: BoundRule, moment: Moment): void {
    this.#enter(state, bound, "active", moment.atMs, undefined).firedMs = moment.atMs;
    this.tell(state, bound, "raised", moment);
  }

  #stateFor(state: DeviceState, { rule }: BoundRule): RuleState {
    let own = state.states.get(rule.name);
    if (own === undefined) {
      own = { phase: "idle", sinceMs: 0, firedMs: Number.NEGATIVE_INFINITY };
      state.states.set(rule.name, own);
    }
    state.isUrgent = true;
    return own;
  }

  #enter(
    state: DeviceState,
    bound: BoundRule,
    phase: RuleState["phase"],
    sinceMs: number,
    dueMs: number | undefined,
  ): RuleState {
    const own = this.#stateFor(state, bound);
    own.phase = phase;
    own.sinceMs = sinceMs;
    if (dueMs !== undefined) this.ports.timer(dueMs, state, bound.rule.name);
    return own;
  }

  /** Back to where nothing is kept, but for when it fired last while that matters. */
  #leave(state: DeviceState, bound: BoundRule): void {
    this.#stateFor(state, bound).phase = "idle";
    if (bound.rule.spec.limits.cooldown === 0) state.states.delete(bound.rule.name);
  }

  #isCooling(state: DeviceState, { rule }: BoundRule, atMs: number): boolean {
    const { cooldown } = rule.spec.limits;
    if (cooldown === 0) return false;
    const firedMs = state.states.get(rule.name)?.firedMs ?? Number.NEGATIVE_INFINITY;
    if (atMs - firedMs >= cooldown) return false;
    this.ports.counters.cooled++;
    return true;
  }
}

function lastHeard(state: DeviceState, { absenceSlots }: BoundRule): number {
  if (absenceSlots === undefined) return state.seenMs;
  let last = Number.NEGATIVE_INFINITY;
  for (const slot of absenceSlots) last = Math.max(last, state.timeOf(slot));
  return last;
}
