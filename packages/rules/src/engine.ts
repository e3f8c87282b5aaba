/** Rules over devices: takes what devices say, in order and with its time, and tells what fires. Has no clock, so that the past runs as the present does. */
import TinyQueue from "tinyqueue";
import { DeviceState, ListBudget, type SavedDevice, type Value } from "./device.js";
import type { EngineCounters, Firing, Occasion, PointValue, Speaker } from "./firing.js";
import { LifeCycle } from "./life-cycle.js";
import { type BoundRule, Plan } from "./plan.js";
import type { Rule } from "./rule.js";
import { MAX_LIST } from "./spectrum.js";

/** What an engine needs. */
export interface RuleEngineOptions {
  readonly onFiring: (firing: Firing) => void;
  /** Devices about which something is kept; beyond it the one that was quiet for longest is forgotten. */
  readonly maxDevices: number;
  /** Numbers of lists that may be worked through for each second of messages; absent: as many as come. */
  readonly listNumbersPerSecond?: number | undefined;
}

interface Due {
  readonly dueMs: number;
  readonly state: DeviceState;
  readonly rule: string;
}

const NOBODY = { topic: "", isReplayed: false, online: undefined } as const;

/** One per partition, so that its states go where the partition goes. */
export class RuleEngine {
  readonly counters: EngineCounters = {
    evaluations: 0,
    firings: 0,
    cooled: 0,
    failed: 0,
    late: 0,
    overBudget: 0,
    forgotten: 0,
  };
  readonly #options: RuleEngineOptions;
  readonly #devices = new Map<string, DeviceState>();
  readonly #plans = new Map<string, Plan>();
  readonly #timers = new TinyQueue<Due>([], (a, b) => a.dueMs - b.dueMs);
  #rules: readonly Rule[] = [];
  #specific: readonly Rule[] = [];
  #mark = 0;
  #nowMs = Number.NEGATIVE_INFINITY;
  readonly #life: LifeCycle;
  readonly #lists: ListBudget;

  constructor(options: RuleEngineOptions) {
    this.#options = options;
    const { counters } = this;
    this.#lists = new ListBudget(options.listNumbersPerSecond ?? Number.POSITIVE_INFINITY, counters);
    this.#life = new LifeCycle({
      counters,
      onFiring: options.onFiring,
      timer: (dueMs, state, rule) => this.#timers.push({ dueMs, state, rule }),
    });
  }

  /** Devices about which something is kept. */
  get size(): number {
    return this.#devices.size;
  }

  /** Puts these in force, and no others. A rule of the same name goes on where the one before was; what is gone is over. */
  setRules(rules: readonly Rule[]): void {
    const names = new Set(rules.map(({ name }) => name));
    for (const state of this.#devices.values())
      for (const [name, { phase }] of state.states) {
        if (names.has(name)) continue;
        const bound = state.plan.byName.get(name);
        const isActive = phase === "active" || phase === "clearing";
        if (isActive && bound !== undefined)
          this.#life.tell(state, bound, "cleared", { atMs: this.#nowMs, ...NOBODY });
        state.states.delete(name);
        state.isUrgent = true;
      }
    this.#rules = rules;
    this.#specific = rules.filter(({ spec }) => spec.devices !== undefined);
    this.#plans.clear();
    for (const state of this.#devices.values()) {
      state.adopt(this.#planFor(state.device, state.profile));
      this.#life.arm(state);
    }
  }

  /** Whether any rule is about this device. */
  isWatched(device: string, profile: string): boolean {
    return this.#planFor(device, profile).rules.length > 0;
  }

  /** Samples of one message. */
  samples(occasion: Occasion, samples: readonly PointValue[]): void {
    const state = this.#seen(occasion);
    if (state === undefined) return;
    const { plan } = state;
    const { atMs } = occasion;
    const mark = ++this.#mark;
    // All are set before any rule looks: a rule over two points sees both of the same message.
    for (const { point, value } of samples) {
      const slot = plan.slotOfPoint.get(point);
      if (slot !== undefined && !state.set(slot, value ?? undefined, atMs)) this.counters.late++;
    }
    for (const { point } of samples) {
      const slot = plan.slotOfPoint.get(point);
      if (slot === undefined) continue;
      for (const bound of plan.rulesOfSlot[slot]!) {
        if (bound.mark === mark) continue;
        bound.mark = mark;
        this.#life.look(state, bound, occasion);
      }
    }
    this.#life.heard(state, occasion);
  }

  /** A message on a topic that rules name. `fields` reads the payload; it is called when a rule needs it. */
  event(occasion: Occasion, matches: (rule: Rule) => boolean, fields: () => unknown): void {
    const state = this.#seen(occasion);
    if (state === undefined) return;
    for (const bound of state.plan.onEvent)
      if (matches(bound.rule)) this.#lookWith(state, bound, occasion, fields);
    this.#life.heard(state, occasion);
  }

  /** A shadow of the device has changed. `name`: empty for the unnamed one. */
  shadow(occasion: Occasion, name: string, document: unknown): void {
    const state = this.#watched(occasion);
    if (state === undefined) return;
    for (const bound of state.plan.onShadow)
      if (bound.rule.spec.trigger.shadow?.name === name)
        this.#lookWith(state, bound, occasion, () => document);
  }

  /** The device came or went. */
  presence(occasion: Occasion, isOnline: boolean): void {
    const state = this.#watched(occasion);
    if (state === undefined) return;
    const word = isOnline ? "online" : "offline";
    for (const bound of state.plan.onPresence)
      if (bound.rule.spec.trigger.presence?.includes(word) === true)
        this.#life.look(state, bound, { ...occasion, online: isOnline });
  }

  /** A point of time of the rule's schedule, for each device that is known. */
  schedule(name: string, atMs: number): void {
    for (const state of [...this.#devices.values()]) {
      const bound = state.plan.byName.get(name);
      if (bound === undefined) continue;
      this.#life.look(state, bound, { atMs, ...NOBODY });
    }
  }

  /** When something happens by itself next; undefined: nothing does. */
  get nextDueMs(): number | undefined {
    return this.#timers.peek()?.dueMs;
  }

  /** Time goes on: what has held for long enough fires, and so does silence. */
  advance(nowMs: number): void {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs;
    for (let due = this.#timers.peek(); due !== undefined && due.dueMs <= nowMs; due = this.#timers.peek()) {
      this.#timers.pop();
      const bound = due.state.plan.byName.get(due.rule);
      if (bound === undefined || this.#devices.get(keyOf(due.state)) !== due.state) continue;
      if (bound.rule.spec.trigger.absence === undefined) this.#life.ripe(due.state, bound, due.dueMs);
      else this.#life.silent(due.state, bound, due.dueMs);
    }
  }

  /** What has changed since it was last asked; with `all` also what may be lost. */
  *changed(all: boolean): Iterable<SavedDevice> {
    for (const state of this.#devices.values()) {
      if (!(state.isUrgent || (all && state.isDirty))) continue;
      state.isUrgent = false;
      state.isDirty = false;
      yield state.save();
    }
  }

  /** All that is kept; nothing is taken for saved by it. */
  *all(): Iterable<SavedDevice> {
    for (const state of this.#devices.values()) yield state.save();
  }

  /** Goes on with what was kept of a device. */
  restore(saved: SavedDevice): void {
    const state = this.#stateOf(saved);
    if (state === undefined) return;
    state.load(saved);
    for (const [name, own] of state.states) {
      const bound = state.plan.byName.get(name);
      const { for: holdMs = 0, clear } = bound?.rule.spec ?? {};
      if (own.phase === "pending") this.#timers.push({ dueMs: own.sinceMs + holdMs, state, rule: name });
      if (own.phase === "clearing")
        this.#timers.push({ dueMs: own.sinceMs + (clear?.for ?? 0), state, rule: name });
    }
    this.#life.arm(state);
  }

  /** A device is gone for good. */
  forget(tenant: string, device: string): void {
    this.#devices.delete(keyOf({ tenant, device }));
  }

  #planFor(device: string, profile: string): Plan {
    // Most rules name no devices, so the few that do tell plans of one profile apart.
    const own = this.#specific.filter((rule) => rule.isAbout(device, profile));
    const key = [profile, ...own.map(({ name }) => name)].join("\0");
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      plan = new Plan(this.#rules.filter((rule) => rule.isAbout(device, profile)));
      this.#plans.set(key, plan);
    }
    return plan;
  }

  #stateOf(speaker: Speaker): DeviceState | undefined {
    const key = keyOf(speaker);
    const known = this.#devices.get(key);
    if (known !== undefined && known.profile === speaker.profile) return known;
    const made = new DeviceState(speaker, this.#planFor(speaker.device, speaker.profile), this.#lists);
    if (known !== undefined) made.load(known.save());
    this.#devices.delete(key);
    this.#devices.set(key, made);
    if (this.#devices.size > this.#options.maxDevices) this.#forgetOne();
    return made;
  }

  /** Undefined: no rule is about it. */
  #watched(occasion: Occasion): DeviceState | undefined {
    const state = this.#stateOf(occasion);
    return state === undefined || state.plan.rules.length === 0 ? undefined : state;
  }

  /** As `#watched`, of what the device itself has said. */
  #seen(occasion: Occasion): DeviceState | undefined {
    const state = this.#watched(occasion);
    if (state !== undefined && occasion.atMs > state.seenMs) state.seenMs = occasion.atMs;
    return state;
  }

  /** Those for which something is pending or active are kept as long as there are others. */
  #forgetOne(): void {
    let candidate: string | undefined;
    let looked = 0;
    for (const [key, state] of this.#devices) {
      candidate ??= key;
      if (state.states.size === 0) {
        candidate = key;
        break;
      }
      if (++looked === 64) break;
    }
    if (candidate === undefined) return;
    this.#devices.delete(candidate);
    this.counters.forgotten++;
  }

  #lookWith(state: DeviceState, bound: BoundRule, occasion: Occasion, read: () => unknown): void {
    if (bound.fields.length > 0) {
      const document = read();
      for (const { slot, path } of bound.fields)
        if (!state.set(slot, fieldOf(document, path), occasion.atMs)) this.counters.late++;
    }
    this.#life.look(state, bound, occasion);
  }
}

function keyOf({ tenant, device }: { readonly tenant: string; readonly device: string }): string {
  return `${tenant}\0${device}`;
}

function fieldOf(document: unknown, path: readonly string[]): Value | undefined {
  let value = document;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value === "boolean" || typeof value === "string") return value;
  return isNumbers(value) ? value : undefined;
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= MAX_LIST && value.every((one) => Number.isFinite(one));
}
