/** What is kept of one device for the rules that are about it. */
import { Baseline } from "./baseline.js";
import type { EngineCounters, Speaker } from "./firing.js";
import type { Binding, Node, Plan } from "./plan.js";
import { bandRms, crest, MAX_LIST, peak, rms } from "./spectrum.js";
import { Window } from "./window.js";

/** What a point may hold. */
export type Value = number | boolean | string | readonly number[];

/** Where a rule stands with a device. */
export interface RuleState {
  /** `pending`: it holds, not long enough yet. `clearing`: it fired, and what ends it holds, not long enough yet. */
  phase: "idle" | "pending" | "active" | "clearing";
  sinceMs: number;
  /** -Infinity: it never fired. */
  firedMs: number;
}

/** Plain data: what a restart goes on with. */
export interface SavedDevice {
  readonly tenant: string;
  readonly device: string;
  readonly profile: string;
  readonly seenMs: number;
  /** Key, value, and when it was measured. */
  readonly slots: readonly (readonly [string, Value, number])[];
  readonly nodes: readonly (readonly [string, readonly number[]])[];
  /** Name of the rule, phase, since when, and when it fired last (-1: never). */
  readonly rules: readonly (readonly [string, RuleState["phase"], number, number])[];
}

/** Bounds the work that lists of numbers make, by the time of the messages, so that it does not depend on the machine. */
export class ListBudget {
  #second = Number.NEGATIVE_INFINITY;
  #left = 0;

  constructor(
    private readonly perSecond: number,
    private readonly counters: Pick<EngineCounters, "overBudget">,
  ) {}

  /** False: there is none left for so many numbers. */
  spend(numbers: number, atMs: number): boolean {
    const second = Math.floor(atMs / 1000);
    if (second > this.#second) {
      this.#second = second;
      this.#left = this.perSecond;
    }
    if (numbers > MAX_LIST || numbers > this.#left) {
      this.counters.overBudget++;
      return false;
    }
    this.#left -= numbers;
    return true;
  }
}

type Keeper = Window | Baseline | undefined;

/** Changes only through the engine. */
export class DeviceState {
  readonly states = new Map<string, RuleState>();
  /** Rules on absence whose timer runs. */
  readonly armed = new Set<string>();
  seenMs = Number.NEGATIVE_INFINITY;
  /** What must not be lost has changed since it was saved: a phase. */
  isUrgent = false;
  /** Anything has. */
  isDirty = false;
  #values: (Value | undefined)[] = [];
  #times: number[] = [];
  #keepers: Keeper[] = [];
  #made: (number | undefined)[] = [];
  #plan: Plan;

  readonly tenant: string;
  readonly device: string;
  readonly profile: string;

  constructor(
    { tenant, device, profile }: Speaker,
    plan: Plan,
    private readonly lists: ListBudget,
  ) {
    this.tenant = tenant;
    this.device = device;
    this.profile = profile;
    this.#plan = plan;
    this.#fit(new Map(), new Map());
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** Other rules, or other versions of them, are about it: what both look at is kept. */
  adopt(plan: Plan): void {
    if (plan === this.#plan) return;
    const old = this.#plan;
    const slots = new Map(old.slotKeys.map((key, i) => [key, [this.#values[i], this.#times[i]!] as const]));
    const keepers = new Map(old.nodes.map(({ key }, i) => [key, this.#keepers[i]]));
    this.#plan = plan;
    this.#fit(slots, keepers);
  }

  #fit(
    slots: ReadonlyMap<string, readonly [Value | undefined, number]>,
    keepers: ReadonlyMap<string, Keeper>,
  ): void {
    const { slotKeys, nodes } = this.#plan;
    this.#values = slotKeys.map((key) => slots.get(key)?.[0]);
    this.#times = slotKeys.map((key) => slots.get(key)?.[1] ?? Number.NEGATIVE_INFINITY);
    this.#keepers = nodes.map((node) => keepers.get(node.key) ?? keeperOf(node));
    this.#made = nodes.map(() => undefined);
  }

  /** When the last good value of a slot was measured; -Infinity: never. */
  timeOf(slot: number): number {
    return this.#times[slot]!;
  }

  /** A new value; undefined: it is not known any more. False: it is older than what is known, and left aside. */
  set(slot: number, value: Value | undefined, atMs: number): boolean {
    if (atMs < this.#times[slot]!) return false;
    this.#values[slot] = value;
    if (value !== undefined) this.#times[slot] = atMs;
    this.isDirty = true;
    const { nodesOfSlot, nodes } = this.#plan;
    for (const at of nodesOfSlot[slot]!) this.#learn(at, nodes[at]!, value !== undefined, atMs);
    return true;
  }

  #learn(at: number, { source, of }: Node, isKnown: boolean, atMs: number): void {
    if (!isKnown) {
      this.#made[at] = undefined;
      return;
    }
    const value = this.read(of, atMs);
    if (source.kind === "list") {
      const isTaken = typeof value === "object" && this.lists.spend(value.length, atMs);
      this.#made[at] = isTaken ? listValue(value, source.what) : undefined;
      return;
    }
    const keeper = this.#keepers[at];
    const number = typeof value === "boolean" ? Number(value) : value;
    if (typeof number !== "number" || !Number.isFinite(number)) {
      this.#made[at] = undefined;
    } else if (keeper instanceof Window) keeper.take(number, atMs);
    else this.#made[at] = keeper?.take(number, atMs);
  }

  /** What a name stands for now; undefined: it is not known. */
  read({ source, at, slot }: Binding, nowMs: number): Value | undefined {
    switch (source.kind) {
      case "point":
      case "field":
        return this.#values[at];
      case "age": {
        const timeMs = this.#times[slot]!;
        return timeMs === Number.NEGATIVE_INFINITY ? undefined : Math.max(0, (nowMs - timeMs) / 1000);
      }
      case "window":
        return (this.#keepers[at] as Window).read(source.what, nowMs);
      default:
        return this.#made[at];
    }
  }

  save(): SavedDevice {
    const { slotKeys, nodes } = this.#plan;
    const { tenant, device, profile, seenMs } = this;
    return {
      tenant,
      device,
      profile,
      seenMs,
      slots: slotKeys.flatMap((key, i) => {
        const value = this.#values[i];
        return value === undefined || Array.isArray(value) ? [] : [[key, value, this.#times[i]!] as const];
      }),
      nodes: nodes.flatMap(({ key }, i) => {
        const saved = this.#keepers[i]?.save() ?? [];
        return saved.length === 0 ? [] : [[key, saved] as const];
      }),
      rules: [...this.states].map(
        ([name, { phase, sinceMs, firedMs }]) => [name, phase, sinceMs, Math.max(-1, firedMs)] as const,
      ),
    };
  }

  /** Takes what fits the rules of today. */
  load({ slots, nodes, rules, seenMs }: SavedDevice): void {
    const { slotKeys, nodes: own, byName } = this.#plan;
    this.seenMs = seenMs;
    for (const [key, value, atMs] of slots) {
      const slot = slotKeys.indexOf(key);
      if (slot < 0) continue;
      this.#values[slot] = value;
      this.#times[slot] = atMs;
    }
    for (const [key, numbers] of nodes)
      this.#keepers[own.findIndex((node) => node.key === key)]?.load(numbers);
    for (const [name, phase, sinceMs, firedMs] of rules)
      if (byName.has(name))
        this.states.set(name, { phase, sinceMs, firedMs: firedMs < 0 ? Number.NEGATIVE_INFINITY : firedMs });
  }
}

function keeperOf({ source }: Node): Keeper {
  if (source.kind === "window") return new Window(source.overMs);
  return source.kind === "anomaly" ? new Baseline(source.options) : undefined;
}

function listValue(list: readonly number[], what: Extract<Node["source"], { kind: "list" }>["what"]): number {
  if (what === "rms") return rms(list);
  if (what === "peak") return peak(list);
  return what === "crest" ? crest(list) : bandRms(list, what);
}
