import { checkValue, type RuleSpec, ruleKind } from "@myelin/config";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import type { ActionContext, ActionPlugin, FiredRule } from "./action.js";
import { RuleActions } from "./runner.js";
import { SlidingWindow } from "./sliding-window.js";

const FIRED: FiredRule = {
  id: "3-1",
  rule: "hot",
  description: "",
  severity: "warning",
  tenant: "",
  device: "d1",
  state: "fired",
  atMs: 0,
  values: {},
  topic: "",
  isReplayed: false,
  causes: ["hot"],
};

function setUp(answer: (n: number) => AppError | undefined, limits: object = {}) {
  const clock = new FakeClock();
  const calls: FiredRule[] = [];
  const plugin: ActionPlugin<never> = {
    kind: "command",
    isControl: true,
    create: () => ({
      async run(fired) {
        calls.push(fired);
        const error = answer(calls.length);
        if (error !== undefined) throw error;
      },
    }),
  };
  const spec = checkValue(ruleKind.spec, {
    trigger: { presence: ["online"] },
    actions: [{ command: { name: "stop" } }],
    limits,
  }).value as RuleSpec;
  const counters = { done: 0, failed: 0, limited: 0, broken: 0, replayed: 0 };
  const context = { clock } as unknown as ActionContext;
  const plugins = new Map([["command", plugin]]);
  const actions = new RuleActions("hot", spec, plugins, context, counters, silentLogger);
  const run = async (fired = FIRED, signal = new AbortController().signal): Promise<void> => {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    const end = actions.run(fired, signal);
    end.then(over, over);
    while (!isOver) {
      await new Promise(setImmediate);
      if (!isOver && clock.pendingTimers > 0) await clock.advance(100);
    }
    await end;
  };
  return { clock, calls, counters, run, actions };
}

const away = new AppError("action.failed", "away");

describe("an action", () => {
  it("is tried again until it is done", async () => {
    const { run, calls, counters } = setUp((n) => (n < 4 ? away : undefined));
    await run();
    expect([calls.length, counters.done, counters.failed]).toEqual([4, 1, 0]);
  });

  it("is given up when it is refused, and after five tries", async () => {
    const refused = setUp(() => new AppError("action.refused", "no"));
    await refused.run();
    expect([refused.calls.length, refused.counters.failed]).toEqual([1, 1]);
    const gone = setUp(() => away);
    await gone.run();
    expect([gone.calls.length, gone.counters.failed]).toEqual([5, 1]);
  });

  it("is left alone while it keeps failing, then tried once, and done again when that was well", async () => {
    let isWell = false;
    const { run, calls, counters, clock, actions } = setUp(() => (isWell ? undefined : away));
    await run();
    expect(actions.broken).toEqual(["command"]);
    await run();
    expect([calls.length, counters.broken]).toEqual([5, 1]);
    isWell = true;
    await clock.advance(120_000);
    await run();
    expect([calls.length, counters.done, actions.broken]).toEqual([6, 1, []]);
  });

  it("is done no more often than its rule allows, within any stretch of that length", async () => {
    const { run, calls, counters, clock } = setUp(() => undefined, { actions: 3, per: "10s" });
    for (let i = 0; i < 5; i++) await run();
    expect([calls.length, counters.limited]).toEqual([3, 2]);
    await clock.advance(30_000);
    await run();
    expect(calls).toHaveLength(4);
  });

  it("that reaches into the world is not done for what was kept during an outage", async () => {
    const { run, calls, counters } = setUp(() => undefined);
    await run({ ...FIRED, isReplayed: true });
    expect([calls.length, counters.replayed]).toEqual([0, 1]);
  });

  it("ends with its partition, so that the next owner does it", async () => {
    const ending = new AbortController();
    const { run, calls } = setUp(() => {
      ending.abort(new AppError("operation.aborted", "given up"));
      return away;
    });
    await expect(run(FIRED, ending.signal)).rejects.toMatchObject({ code: "action.failed" });
    expect(calls).toHaveLength(1);
  });
});

describe("a sliding window", () => {
  it("never lets more by within its length than it may, whenever they come", () => {
    const window = new SlidingWindow(10, 1_000);
    const taken: number[] = [];
    for (let nowMs = 0; nowMs < 10_000; nowMs += 7) if (window.take(nowMs)) taken.push(nowMs);
    // The count before is taken as evenly spread, so the worst stretch may have some more, never twice as many.
    for (const from of taken)
      expect(taken.filter((one) => one >= from && one < from + 1_000).length).toBeLessThan(20);
    expect(taken.length).toBeGreaterThan(80);
    expect(taken.length).toBeLessThanOrEqual(101);
  });
});
