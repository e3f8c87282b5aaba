/** What the rules that are about a device look at together: shared by all devices that the same rules are about. */
import type { AppError } from "@myelin/kernel";
import type { Condition } from "@myelin/profile";
import type { Value } from "./device.js";
import type { Rule } from "./rule.js";
import type { Source } from "./source.js";

/** What comes of one name of a rule: a slot that holds the last value, or a node that makes something of it. */
export interface Binding {
  readonly name: string;
  readonly source: Source;
  /** Of a point or field: its slot. Of anything else: of its node; -1 for an age. */
  readonly at: number;
  /** The slot that it comes from in the end. */
  readonly slot: number;
}

/** One that keeps something between samples, or is worked out once per sample for all rules. */
export interface Node {
  readonly key: string;
  readonly source: Extract<Source, { readonly kind: "list" | "window" | "anomaly" }>;
  readonly of: Binding;
}

/** A rule within a plan. */
export interface BoundRule {
  readonly rule: Rule;
  /** All that it names. */
  readonly bindings: readonly Binding[];
  /** What must be known for the one condition or the other. */
  readonly whenInputs: readonly Binding[];
  readonly clearInputs: readonly Binding[];
  /** What expressions are given; filled anew for each evaluation, so that none of them makes an object. */
  readonly context: Record<string, Value>;
  readonly fields: readonly { readonly slot: number; readonly path: readonly string[] }[];
  /** Of a rule on absence: the slots whose silence counts; undefined: any message. */
  readonly absenceSlots: readonly number[] | undefined;
  /** The message for which it was looked at last. */
  mark: number;
  /** The last time that an expression could not be evaluated. */
  failure: AppError | undefined;
}

/** Made when a device is seen that these rules, and no others, are about. */
export class Plan {
  readonly rules: readonly BoundRule[];
  readonly byName = new Map<string, BoundRule>();
  readonly slotKeys: string[] = [];
  readonly slotOfPoint = new Map<string, number>();
  readonly nodes: Node[] = [];
  /** By slot: what a new value changes, each behind what it is made of. */
  readonly nodesOfSlot: number[][] = [];
  /** By slot: whom a sample of it wakes. */
  readonly rulesOfSlot: BoundRule[][] = [];
  readonly onEvent: readonly BoundRule[];
  readonly onPresence: readonly BoundRule[];
  readonly onShadow: readonly BoundRule[];
  readonly onAbsence: readonly BoundRule[];
  readonly #slots = new Map<string, number>();
  readonly #nodes = new Map<string, number>();

  constructor(rules: readonly Rule[]) {
    this.rules = rules.map((rule) => this.#bind(rule));
    for (const bound of this.rules) {
      this.byName.set(bound.rule.name, bound);
      for (const point of bound.rule.spec.trigger.points ?? [])
        this.rulesOfSlot[this.#pointSlot(point)]!.push(bound);
    }
    const triggered = (by: "event" | "presence" | "shadow" | "absence"): readonly BoundRule[] =>
      this.rules.filter(({ rule }) => rule.spec.trigger[by] !== undefined);
    this.onEvent = triggered("event");
    this.onPresence = triggered("presence");
    this.onShadow = triggered("shadow");
    this.onAbsence = triggered("absence");
  }

  #bind(rule: Rule): BoundRule {
    const bindings = [...rule.sources].map(([name, source]) => this.#binding(name, source));
    const inputs = (condition: Condition | undefined): readonly Binding[] =>
      bindings.filter(({ name }) => condition?.inputs.has(name));
    const seen = new Map<number, readonly string[]>();
    for (const { source } of bindings) collectFields(source, (at) => seen.set(this.#slot(at.key), at.path));
    return {
      rule,
      bindings,
      whenInputs: inputs(rule.when),
      clearInputs: inputs(rule.clearWhen),
      context: {},
      fields: [...seen].map(([slot, path]) => ({ slot, path })),
      absenceSlots: rule.spec.trigger.absence?.points?.map((point) => this.#pointSlot(point)),
      mark: 0,
      failure: undefined,
    };
  }

  #binding(name: string, source: Source): Binding {
    switch (source.kind) {
      case "point": {
        const at = this.#pointSlot(source.point);
        return { name, source, at, slot: at };
      }
      case "field": {
        const at = this.#slot(source.key);
        return { name, source, at, slot: at };
      }
      case "age":
        return { name, source, at: -1, slot: this.#binding(name, source.of).slot };
      case "list":
      case "window":
      case "anomaly":
        return this.#node(name, source);
    }
  }

  #node(name: string, source: Node["source"]): Binding {
    const of = this.#binding(name, source.of);
    let at = this.#nodes.get(source.key);
    if (at === undefined) {
      at = this.nodes.push({ key: source.key, source, of }) - 1;
      this.#nodes.set(source.key, at);
      this.nodesOfSlot[of.slot]!.push(at);
    }
    return { name, source, at, slot: of.slot };
  }

  #pointSlot(point: string): number {
    const slot = this.#slot(`p:${point}`);
    this.slotOfPoint.set(point, slot);
    return slot;
  }

  #slot(key: string): number {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = this.slotKeys.push(key) - 1;
      this.#slots.set(key, slot);
      this.nodesOfSlot[slot] = [];
      this.rulesOfSlot[slot] = [];
    }
    return slot;
  }
}

function collectFields(source: Source, found: (field: Extract<Source, { kind: "field" }>) => void): void {
  if (source.kind === "field") found(source);
  else if (source.kind !== "point") collectFields(source.of, found);
}
