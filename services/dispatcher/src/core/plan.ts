/** Compiles the head of a channel into the list of targets its messages go to. Slow, and asked once per channel. */
import type { Head } from "@myelin/contract";
import { SubscriberIndex } from "./matcher/subscriber-index.js";
import { compareRoutes, compileMatch, type RouteSpec } from "./route.js";

/** One target of this process; `index` is its place in every partition's table of queues and never changes. */
export interface TargetRef {
  readonly index: number;
  readonly kind: string;
  readonly name: string;
}

/** What a transformation makes of one envelope: the encoded envelope, or why there is none. */
export type TransformResult = Uint8Array | "drop" | "unrouted";

/** Rewrites one envelope; `undefined` passes it on as it is. Must not throw. */
export interface Transform {
  readonly name: string;
  apply(envelope: Uint8Array, event: boolean): TransformResult | undefined;
}

/** One way out of a plan. */
export interface Leg {
  readonly target: TargetRef;
  readonly transform: Transform | undefined;
  /** Nobody knows yet whether the target wants them: a message that has no other leg is unrouted. */
  readonly isAside?: boolean;
}

/** A header that a message must carry with exactly this value. */
export interface HeaderCondition {
  readonly name: string;
  readonly value: string;
}

/** Compiled routes ready to be asked. */
export interface CompiledRoute {
  readonly spec: RouteSpec;
  readonly legs: readonly Leg[];
}

/** A subscription of an app or a listener; `test` is what it asks beside the filter. */
export interface Subscriber {
  readonly target: TargetRef;
  readonly test: ((head: Head) => boolean) | undefined;
}

/** The targets of a channel. Equal plans are one object, so that runs can be told by comparing references. */
export interface Plan {
  readonly legs: readonly Leg[];
  /** Headers to look at per message before the legs are known; undefined: `legs` is all there is. */
  readonly conditions: readonly HeaderCondition[] | undefined;
  /** The plan for the conditions that hold, one `t` or `f` per condition. */
  readonly variant: (outcomes: string) => Plan;
}

interface Entry {
  readonly test: (head: Head) => boolean;
  readonly legs: readonly Leg[];
  readonly stop: boolean;
  readonly conditions: readonly HeaderCondition[];
}

const MAX_INTERNED = 50_000;
/** Legs remembered when the target of a group goes; beyond it those of targets that are gone are forgotten. */
const MAX_LEGS = 20_000;

/** Subscriptions of all listeners and sessions together. */
const MAX_FILTERS = 1 << 23;
/** Subscriptions of apps, all together, and the bytes of their text. */
const MAX_APP_FILTERS = 1 << 20;
const MAX_APP_TEXT_BYTES = 1 << 27;

/** Looks on beside the routes: whether messages with a head go to its target whatever the routes say. */
export interface Onlooker {
  readonly target: TargetRef;
  /** `maybe`: it is not known yet; plans are made anew once it is. */
  interest(head: Head): "yes" | "maybe" | "no";
}

/**
 * Holds the routes and subscriptions in force. `generation` grows with every change of routes and apps; plans of an older one
 * are void. Subscriptions of listeners come and go much more often: which plans they void is told by `listeners.filters`.
 */
export class PlanCompiler {
  generation = 1;
  /** By tenant: a listener shows its connections nothing of another one. */
  readonly listeners = new SubscriberIndex<Subscriber>({ maxFilters: MAX_FILTERS, maxPairs: MAX_FILTERS });
  private entries: readonly Entry[] = [];
  /** Apps see all tenants. */
  private readonly apps = new SubscriberIndex<Subscriber>({
    maxFilters: MAX_APP_FILTERS,
    maxPairs: MAX_APP_FILTERS,
    maxTextBytes: MAX_APP_TEXT_BYTES,
  });
  private readonly interned = new Map<string, Plan>();
  private readonly legIds = new Map<Leg, number>();
  private readonly direct = new Map<TargetRef, Leg>();
  private onlooker: { readonly of: Onlooker; readonly leg: Leg; readonly aside: Leg } | undefined;

  /** Replaces all routes at once. */
  setRoutes(routes: readonly CompiledRoute[]): void {
    this.entries = [...routes]
      .sort((a, b) => compareRoutes(a.spec, b.spec))
      .map(({ spec, legs }) => ({
        test: compileMatch(spec.match),
        legs,
        stop: spec.stop === true,
        conditions: Object.entries(spec.match.headers ?? {}).map(([name, value]) => ({ name, value })),
      }));
    this.invalidate();
  }

  /** From now on it is asked about every head. */
  setOnlooker(of: Onlooker): void {
    const leg: Leg = { target: of.target, transform: undefined };
    this.onlooker = { of, leg, aside: { ...leg, isAside: true } };
    this.invalidate();
  }

  /** For apps. Takes effect with the next `invalidate`, so that many changes cost one recompilation. */
  subscribe(filter: string, subscriber: Subscriber): void {
    this.apps.add("", filter, subscriber);
  }

  /** As `subscribe`. */
  unsubscribe(filter: string, subscriber: Subscriber): void {
    this.apps.remove("", filter, subscriber);
  }

  /** The target is no more and no route or subscription names it. */
  forget(target: TargetRef): void {
    // What is remembered of it as well. Groups come and go with their clients, and their plans are void already.
    const isRemembered = this.direct.delete(target);
    if (isRemembered && (target.kind !== "group" || this.legIds.size > MAX_LEGS)) this.invalidate();
  }

  /** Voids every plan made so far. */
  invalidate(): void {
    this.generation++;
    this.interned.clear();
    this.legIds.clear();
  }

  /** The plan for messages with this head. */
  compile(head: Head): Plan {
    const matched = this.entries.filter((entry) => entry.test(head));
    const conditions = matched.flatMap((entry) => entry.conditions);
    if (conditions.length === 0) return this.concrete(head, matched, undefined);
    const variants = new Map<string, Plan>();
    return {
      legs: [],
      conditions,
      variant: (outcomes) => {
        let plan = variants.get(outcomes);
        if (plan === undefined) {
          plan = this.concrete(head, matched, outcomes);
          if (variants.size < 256) variants.set(outcomes, plan);
        }
        return plan;
      },
    };
  }

  private concrete(head: Head, matched: readonly Entry[], outcomes: string | undefined): Plan {
    // A target named by several matching routes gets the message once, as the first of them says.
    const legs = new Map<TargetRef, Leg>();
    let stopped = false;
    let at = 0;
    for (const entry of matched) {
      const end = at + entry.conditions.length;
      const holds = outcomes === undefined || !outcomes.slice(at, end).includes("f");
      at = end;
      if (!holds) continue;
      for (const leg of entry.legs) if (!legs.has(leg.target)) legs.set(leg.target, leg);
      if (entry.stop) {
        stopped = true;
        break;
      }
    }
    if (!stopped) {
      const add = ({ target, test }: Subscriber): void => {
        if (!legs.has(target) && (test === undefined || test(head))) legs.set(target, this.directLeg(target));
      };
      this.apps.match("", head.path, add);
      this.listeners.match(head.tenant, head.path, add);
    }
    if (this.onlooker !== undefined) {
      const { of, leg, aside } = this.onlooker;
      const interest = of.interest(head);
      if (interest !== "no") legs.set(of.target, interest === "yes" ? leg : aside);
    }
    return this.intern([...legs.values()]);
  }

  private directLeg(target: TargetRef): Leg {
    let leg = this.direct.get(target);
    if (leg === undefined) {
      leg = { target, transform: undefined };
      this.direct.set(target, leg);
    }
    return leg;
  }

  private intern(legs: readonly Leg[]): Plan {
    const key = legs
      .map((leg) => this.legId(leg))
      .sort((a, b) => a - b)
      .join(",");
    let plan = this.interned.get(key);
    if (plan === undefined) {
      const made: Plan = { legs, conditions: undefined, variant: () => made };
      plan = made;
      if (this.interned.size < MAX_INTERNED) this.interned.set(key, plan);
    }
    return plan;
  }

  private legId(leg: Leg): number {
    let id = this.legIds.get(leg);
    if (id === undefined) {
      id = this.legIds.size + 1;
      this.legIds.set(leg, id);
    }
    return id;
  }
}
