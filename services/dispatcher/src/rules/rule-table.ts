/** The rules in force, compiled, with their actions. */
import { generationOf, type Resource, type RuleSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { type ProfileNames, Rule, unknownName } from "@myelin/rules";
import type { ResourceCondition, ResourceRefusal } from "@myelin/service-host";
import type { ActionContext } from "../actions/action.js";
import type { ActionPlugins } from "../actions/plugins.js";
import { type ActionCounters, RuleActions } from "../actions/runner.js";
import { ReadyConditions } from "../conditions.js";
import type { CoreLog } from "../core/ports.js";
import { Schedule } from "./schedule.js";

type RuleResource = Resource<"Rule">;

/** A rule in force. */
export interface ActiveRule {
  readonly generation: number;
  readonly rule: Rule;
  readonly actions: RuleActions;
  readonly schedule: Schedule | undefined;
  /** What became of its firings; told with the resource. */
  readonly counts: { firings: number; observed: number; looped: number };
  /** Rules that led to it when it was stopped last, itself in front; empty: it was not. */
  loop: readonly string[];
}

/** Keeps the last good version of every rule: one that cannot be put in force leaves the one before. */
export class RuleTable {
  readonly counters: ActionCounters = { done: 0, failed: 0, limited: 0, broken: 0, replayed: 0 };
  #good: ReadonlyMap<string, ActiveRule> = new Map();
  readonly #ready = new ReadyConditions();

  constructor(
    private readonly options: {
      readonly placement: RuleSpec["placement"];
      readonly plugins: ActionPlugins;
      readonly context: ActionContext;
      readonly log: CoreLog;
      readonly clock: Pick<Clock, "wallUs" | "wallMs">;
      /** The profile of that name that is in force. */
      readonly profile: (name: string) => ProfileNames | undefined;
    },
  ) {}

  get size(): number {
    return this.#good.size;
  }

  get(name: string): ActiveRule | undefined {
    return this.#good.get(name);
  }

  all(): Iterable<ActiveRule> {
    return this.#good.values();
  }

  /** For each rule: is it in force? One that was stopped because it led to itself says so, and one that names what its profiles do not have. */
  conditions(): readonly ResourceCondition[] {
    return this.#ready.list().map((condition) => {
      const active = this.#good.get(condition.name);
      if (active === undefined || !condition.status) return condition;
      const { loop } = active;
      // Asked each time: profiles come and go without the rule.
      const unknown = unknownName(active.rule, this.options.profile);
      if (unknown !== undefined)
        return { ...condition, status: false, reason: "UnknownName", message: unknown.message };
      if (loop.length === 0) return condition;
      return {
        ...condition,
        status: false,
        reason: "Loop",
        message: `its actions lead to itself by ${loop.join(" → ")}: what it fires for in such a circle is not acted on`,
      };
    });
  }

  /** What rules have done, for `myelin get` and `describe`. */
  figures(): readonly {
    readonly kind: string;
    readonly name: string;
    readonly figures: Readonly<Record<string, number>>;
  }[] {
    return [...this.#good].map(([name, { counts }]) => ({ kind: "Rule", name, figures: { ...counts } }));
  }

  /** Compiles these without putting them in force. @param profile those that would be in force with them */
  check(
    resources: readonly RuleResource[],
    profile: (name: string) => ProfileNames | undefined,
  ): readonly ResourceRefusal[] {
    const refusals: ResourceRefusal[] = [];
    for (const { kind, metadata, spec } of resources) {
      try {
        const unknown = unknownName(this.#made(metadata.name, spec, 0).rule, profile);
        if (unknown !== undefined) throw unknown;
      } catch (thrown) {
        refusals.push({ kind, name: metadata.name, error: AppError.from(thrown) });
      }
    }
    return refusals;
  }

  /** Puts these in force, and no others. */
  apply(resources: readonly RuleResource[]): void {
    const { log, clock, placement } = this.options;
    const next = new Map<string, ActiveRule>();
    const refused = new Map<string, AppError>();
    for (const { metadata, spec } of resources) {
      const { name } = metadata;
      const generation = generationOf(spec);
      const known = this.#good.get(name);
      if (spec.placement !== placement) {
        const message = `it runs at the ${spec.placement}, this is the ${placement}`;
        refused.set(name, new AppError("rule.elsewhere", message));
        continue;
      }
      try {
        next.set(name, known?.generation === generation ? known : this.#made(name, spec, generation));
      } catch (thrown) {
        const error = AppError.from(thrown);
        refused.set(name, error);
        log.warn({ rule: name, err: error, kept: known !== undefined }, "a rule was refused");
        if (known !== undefined) next.set(name, known);
      }
    }
    this.#good = next;
    this.#ready.say(resources, refused, (name) => next.has(name), clock.wallUs() / 1000);
  }

  #made(name: string, spec: RuleSpec, generation: number): ActiveRule {
    const { plugins, context, log, clock } = this.options;
    const { schedule } = spec.trigger;
    return {
      generation,
      rule: new Rule(name, spec),
      actions: new RuleActions(name, spec, plugins, context, this.counters, log),
      schedule: schedule && new Schedule(name, schedule, clock.wallMs()),
      counts: { firings: 0, observed: 0, looped: 0 },
      loop: [],
    };
  }
}
