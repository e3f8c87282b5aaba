/** Any flow, any outcome, any interleaving, a crash after any event: what the engine promises holds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyEvent } from "./apply.js";
import { attemptsUnderWay, type Decision, nextOf } from "./next.js";
import type { RunPlan, StepPlan } from "./plan.js";
import {
  type AttemptName,
  attemptKey,
  createRun,
  isOver,
  type Outcome,
  type RunEvent,
  type RunState,
} from "./state.js";

const retry = (attempts: number) => ({ attempts, waitMs: 10, factor: 2, maxWaitMs: 40 });

const someFlow: fc.Arbitrary<RunPlan> = fc
  .record({
    steps: fc.array(
      fc.record({
        before: fc.array(fc.nat(7), { maxLength: 3 }),
        attempts: fc.integer({ min: 1, max: 3 }),
        mayFail: fc.boolean(),
        hasUndo: fc.boolean(),
        atOnce: fc.integer({ min: 1, max: 3 }),
        failures: fc.nat(1),
      }),
      { minLength: 1, maxLength: 7 },
    ),
    timeoutMs: fc.constantFrom(200, 1_000_000),
    maxTasks: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ steps, timeoutMs, maxTasks }) => ({
    timeoutMs,
    maxTasks,
    steps: steps.map(
      ({ before, attempts, mayFail, hasUndo, atOnce, failures }, i): StepPlan => ({
        name: `s${i}`,
        dependsOn: [...new Set(before.filter((other) => other < i))].map((other) => `s${other}`),
        timeoutMs: 50,
        retry: retry(attempts),
        mayFail,
        atOnce,
        failures,
        undo: hasUndo ? { timeoutMs: 50, retry: retry(2) } : undefined,
      }),
    ),
  }));

const OUTCOMES: readonly Outcome[] = [
  { kind: "succeeded", result: 1 },
  { kind: "succeeded", result: 2 },
  { kind: "failed", retryable: true, failure: { code: "a.b", message: "not now" } },
  { kind: "failed", retryable: false, failure: { code: "a.c", message: "never" } },
  { kind: "unknown", failure: { code: "flow.outcome_unknown", message: "lost" } },
];

/** A process that runs a flow, and whatever can come between. */
class World {
  /** Written down; what lies behind `stored` is lost in a crash. */
  events: RunEvent[] = [];
  stored = 0;
  run: RunState;
  nowMs = 1_000;
  /** Attempts under way in this process. */
  flying = new Map<string, AttemptName>();
  /** How often each attempt was begun, and taken on again. */
  begun = new Map<string, number>();
  /** Keys of what was done, in order. */
  done: string[] = [];
  mostAtOnce = 0;

  constructor(
    readonly plan: RunPlan,
    private readonly draw: (below: number) => number,
  ) {
    this.run = this.fresh();
    this.happen({ kind: "begun", atMs: this.nowMs });
    this.stored = 1;
  }

  fresh(): RunState {
    return createRun(this.plan.steps.map(({ name }) => name));
  }

  happen(event: RunEvent): void {
    applyEvent(this.plan, this.run, event);
    this.events.push(event);
  }

  decide(decision: Decision): void {
    const atMs = this.nowMs;
    if (decision.kind === "open") {
      const { step } = decision;
      const items = Array.from({ length: this.draw(4) }, (_, i) => `d${i}`);
      if (this.draw(5) === 0) this.happen({ kind: "skipped", step, atMs });
      else this.happen({ kind: "opened", step, items, atMs });
    } else if (decision.kind === "try") {
      const { kind: _, item: __, ...name } = decision;
      this.happen({ kind: "tried", ...name, atMs });
      // Nothing is done before it is stored that it will be.
      this.stored = this.events.length;
      this.fly(name);
    } else if (decision.kind === "close")
      this.happen({ kind: "closed", step: decision.step, outputs: {}, failure: decision.failure, atMs });
    else if (decision.kind === "stop") this.happen({ kind: "stopped", cause: decision.cause, atMs });
    else this.happen({ kind: "finished", outputs: {}, atMs });
  }

  fly(name: AttemptName): void {
    const key = attemptKey("run", name);
    this.begun.set(key, (this.begun.get(key) ?? 0) + 1);
    this.flying.set(key, name);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.flying.size);
  }

  land(): void {
    const all = [...this.flying];
    const [key, name] = all[this.draw(all.length)] as [string, AttemptName];
    this.flying.delete(key);
    const outcome = OUTCOMES[this.draw(OUTCOMES.length)] as Outcome;
    if (outcome.kind === "succeeded") this.done.push(key);
    this.happen({ kind: "settled", ...name, outcome, atMs: this.nowMs });
  }

  crash(): void {
    // Some of what was written last was stored all the same.
    const kept = this.stored + this.draw(this.events.length - this.stored + 1);
    this.events = JSON.parse(JSON.stringify(this.events.slice(0, kept))) as RunEvent[];
    this.stored = kept;
    this.run = this.fresh();
    for (const event of this.events) applyEvent(this.plan, this.run, event);
    this.flying.clear();
    for (const { begunAtMs, ...name } of attemptsUnderWay(this.run)) {
      expect(begunAtMs).toBeLessThanOrEqual(this.nowMs);
      // What is known under its key is taken on; of the rest nobody knows.
      if (this.draw(2) === 0) this.flying.set(attemptKey("run", name), name);
      else this.happen({ kind: "settled", ...name, outcome: OUTCOMES[4] as Outcome, atMs: this.nowMs });
    }
  }

  /** To the end, and whether there was one. */
  go(): boolean {
    for (let turn = 0; turn < 5_000; turn++) {
      if (isOver(this.run.status)) return true;
      const { decisions, wakeAtMs } = nextOf(this.plan, this.run, this.nowMs);
      const what = turn < 300 ? this.draw(12) : 5;
      if (what === 0) this.crash();
      else if (what === 1) this.stored = this.events.length;
      else if (what === 2) this.nowMs += this.draw(30);
      else if (what === 3 && this.run.cause === undefined && this.draw(10) === 0)
        this.happen({
          kind: "stopped",
          cause: { kind: "cancelled", failure: { code: "flow.cancelled", message: "" } },
          atMs: this.nowMs,
        });
      else if (what < 8 && decisions.length > 0)
        this.decide(decisions[this.draw(decisions.length)] as Decision);
      else if (this.flying.size > 0) this.land();
      else if (decisions.length > 0) this.decide(decisions[0] as Decision);
      else if (wakeAtMs !== undefined) this.nowMs = Math.max(this.nowMs, wakeAtMs);
      else return false;
    }
    return false;
  }
}

const anyRun = fc.tuple(someFlow, fc.infiniteStream(fc.nat(1_000_000)));

function worldOf([plan, numbers]: [RunPlan, Iterator<number>]): World {
  return new World(plan, (below) => (below === 0 ? 0 : (numbers.next().value as number) % below));
}

describe("the engine of flows", () => {
  it("ends every run in one state, begins each attempt at most once and keeps to the limits", () => {
    fc.assert(
      fc.property(anyRun, (any) => {
        const world = worldOf(any as never);
        expect(world.go()).toBe(true);
        expect(nextOf(world.plan, world.run, world.nowMs).decisions).toEqual([]);
        expect(attemptsUnderWay(world.run)).toEqual([]);
        for (const count of world.begun.values()) expect(count).toBe(1);
        expect(world.mostAtOnce).toBeLessThanOrEqual(world.plan.maxTasks);
      }),
      { numRuns: 400 },
    );
  });

  it("begins a step only when all before it are over", () => {
    fc.assert(
      fc.property(anyRun, (any) => {
        const world = worldOf(any as never);
        world.go();
        const over = new Set<string>();
        for (const event of world.events) {
          if (event.kind === "closed" || event.kind === "skipped") over.add(event.step);
          if (event.kind !== "opened") continue;
          const step = world.plan.steps.find(({ name }) => name === event.step);
          for (const before of step?.dependsOn ?? []) expect(over.has(before)).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("undoes what was done or may have been, the last step first, and nothing else", () => {
    fc.assert(
      fc.property(anyRun, (any) => {
        const world = worldOf(any as never);
        world.go();
        const { run, plan, events } = world;
        const undone = events.flatMap((e) => (e.kind === "tried" && e.isUndo ? [e] : []));
        if (run.status === "succeeded") expect(undone).toEqual([]);
        const places = undone.map(({ step }) => run.closed.indexOf(step));
        expect(places).toEqual([...places].sort((a, b) => b - a));
        const expected = new Set<string>();
        if (run.status !== "succeeded")
          for (const step of plan.steps)
            if (step.undo !== undefined)
              for (const [i, { status }] of (run.steps.get(step.name)?.tasks ?? []).entries())
                if (status === "succeeded" || status === "unknown") expected.add(`${step.name}/${i}`);
        expect(new Set(undone.map(({ step, index }) => `${step}/${index}`))).toEqual(expected);
      }),
      { numRuns: 400 },
    );
  });

  it("begins nothing of the flow any more once a run was stopped", () => {
    fc.assert(
      fc.property(anyRun, (any) => {
        const world = worldOf(any as never);
        world.go();
        const stop = world.events.findIndex(({ kind }) => kind === "stopped");
        const late = stop < 0 ? [] : world.events.slice(stop);
        expect(late.filter((e) => e.kind === "opened" || (e.kind === "tried" && !e.isUndo))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it("refuses an attempt that was made before", () => {
    const plan: RunPlan = {
      timeoutMs: 1_000,
      maxTasks: 1,
      steps: [
        {
          name: "a",
          dependsOn: [],
          timeoutMs: 1,
          retry: retry(1),
          mayFail: false,
          atOnce: 1,
          failures: 0,
          undo: undefined,
        },
      ],
    };
    const run = createRun(["a"]);
    const name = { step: "a", index: 0, isUndo: false, attempt: 1 };
    for (const event of [
      { kind: "begun", atMs: 0 },
      { kind: "opened", step: "a", items: [""], atMs: 0 },
      { kind: "tried", ...name, atMs: 0 },
    ] as const)
      applyEvent(plan, run, event);
    expect(() => applyEvent(plan, run, { kind: "tried", ...name, atMs: 1 })).toThrow("it was tried before");
  });
});
