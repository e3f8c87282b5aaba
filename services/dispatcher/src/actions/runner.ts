/** Does the actions of firings: each for itself, within its rate, tried again, and left alone while it keeps failing. */
import type { RuleSpec } from "@myelin/config";
import { AppError, CircuitBreaker, type Clock, retry } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { Action, ActionContext, ActionPlugin, FiredRule } from "./action.js";
import type { ActionPlugins } from "./plugins.js";
import { SlidingWindow } from "./sliding-window.js";

const TRIES = 5;
const BACKOFF = { initialMs: 200, maxMs: 10_000 };
const BREAKER = { failures: 5, pause: { initialMs: 1_000, maxMs: 60_000 } };

/** What became of actions. Plain numbers; never reset. */
export interface ActionCounters {
  done: number;
  /** Given up after the last try. */
  failed: number;
  /** Beyond the rate of the rule. */
  limited: number;
  /** Left alone, because it kept failing. */
  broken: number;
  /** Not done, because it stems from what was kept during an outage. */
  replayed: number;
}

interface Bound {
  readonly kind: ActionPlugin["kind"];
  readonly plugin: ActionPlugin<never>;
  readonly action: Action;
  readonly window: SlidingWindow;
  readonly breaker: CircuitBreaker;
}

/** The actions of one version of one rule. */
export class RuleActions {
  readonly #lists: Readonly<Record<"actions" | "cleared", readonly Bound[]>>;

  constructor(
    private readonly rule: string,
    spec: RuleSpec,
    plugins: ActionPlugins,
    context: ActionContext,
    private readonly counters: ActionCounters,
    private readonly log: CoreLog,
  ) {
    const { clock } = context;
    this.clock = clock;
    const bind = (one: RuleSpec["actions"][number], i: number): Bound => {
      const [kind, own] = Object.entries(one).find(([, value]) => value !== undefined)!;
      const plugin = plugins.get(kind);
      if (plugin === undefined)
        throw new AppError("rule.invalid", `rule ${rule}: spec.actions[${i}]: no action is called ${kind}`);
      return {
        kind: plugin.kind,
        plugin,
        action: plugin.create(own as never, context),
        window: new SlidingWindow(spec.limits.actions, spec.limits.per),
        breaker: new CircuitBreaker({ name: `action ${kind} of rule ${rule}`, clock, ...BREAKER }),
      };
    };
    this.#lists = { actions: spec.actions.map(bind), cleared: spec.cleared.map(bind) };
  }

  private readonly clock: Clock;

  /** Actions that are left alone now. */
  get broken(): readonly string[] {
    const all = [...this.#lists.actions, ...this.#lists.cleared];
    return all.filter(({ breaker }) => breaker.state === "open").map(({ kind }) => kind);
  }

  /** Whether there is anything to do but what is done at once. */
  hasWork(state: FiredRule["state"]): boolean {
    return this.#of(state).some(({ plugin }) => plugin.isImmediate !== true);
  }

  /** Does what is done at once, in the order of the firings. */
  runImmediate(fired: FiredRule): void {
    for (const { plugin, action, window } of this.#of(fired.state)) {
      if (plugin.isImmediate !== true) continue;
      if (!this.#mayRun(window)) continue;
      void action.run(fired, AbortSignal.abort());
      this.counters.done++;
    }
  }

  /** Does the rest, all at the same time; resolves when each is done or given up. */
  async run(fired: FiredRule, signal: AbortSignal): Promise<void> {
    const due = this.#of(fired.state).filter(({ plugin }) => plugin.isImmediate !== true);
    await Promise.all(due.map((one) => this.#attempt(one, fired, signal)));
  }

  #of(state: FiredRule["state"]): readonly Bound[] {
    return state === "cleared" ? this.#lists.cleared : this.#lists.actions;
  }

  #mayRun(window: SlidingWindow): boolean {
    if (window.take(this.clock.nowMs())) return true;
    this.counters.limited++;
    return false;
  }

  async #attempt({ kind, plugin, action, window, breaker }: Bound, fired: FiredRule, signal: AbortSignal) {
    if (fired.isReplayed && plugin.isControl === true) {
      this.counters.replayed++;
      return;
    }
    if (!this.#mayRun(window)) return;
    const { clock } = this;
    try {
      await retry(
        () => breaker.run(async () => action.run(fired, signal)),
        { backoff: BACKOFF, attempts: TRIES, clock, isRetryable: (e) => e.retryable && e.code !== OPEN },
        signal,
      );
      this.counters.done++;
    } catch (thrown) {
      const error = AppError.from(thrown);
      if (signal.aborted) throw error;
      if (error.code === OPEN) this.counters.broken++;
      else {
        this.counters.failed++;
        this.log.warn({ err: error, rule: this.rule, action: kind }, "an action of a rule was given up");
      }
    }
  }
}

const OPEN = "operation.circuit_open";
