import { checkValue, type Resource, ruleKind } from "@myelin/config";
import { rule as wire } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { MemoryLog } from "../../test/support/memory-log.js";
import type { ActionContext, ActionPlugin, FiredRule } from "../actions/action.js";
import { alarmAction } from "../actions/alarm/alarm-action.js";
import { RuleTable } from "./rule-table.js";
import { RuleShard } from "./shard.js";

const rule = (name: string, spec: object): Resource<"Rule"> =>
  ({
    apiVersion: "myelin.dev/v1alpha1",
    kind: "Rule",
    metadata: { name },
    spec: checkValue(ruleKind.spec, spec).value,
  }) as never;

class Rig {
  readonly clock = new FakeClock();
  readonly port = new MemoryLog();
  readonly done: FiredRule[] = [];
  fails: () => AppError | undefined = () => undefined;
  shard!: RuleShard;
  readonly table: RuleTable;
  atMs = this.clock.wallMs();
  #epoch = 0;

  constructor(...rules: readonly Resource<"Rule">[]) {
    const publish: ActionPlugin<never> = {
      kind: "publish",
      create: () => ({
        run: async (fired) => {
          this.done.push(fired);
          const error = this.fails();
          if (error !== undefined) throw error;
        },
      }),
    };
    const context = {
      clock: this.clock,
      raise: (fired: FiredRule, alarm: { key: string; message: string }) => this.shard.raise(fired, alarm),
    } as unknown as ActionContext;
    const plugins = new Map<string, ActionPlugin<never>>([
      ["publish", publish],
      ["alarm", alarmAction as ActionPlugin<never>],
    ]);
    const { clock } = this;
    this.table = new RuleTable({
      placement: "hub",
      plugins,
      context,
      log: silentLogger,
      clock,
      profile: () => undefined,
    });
    this.table.apply(rules);
  }

  /** A new owner of the partition. */
  async begin(): Promise<this> {
    this.shard = new RuleShard({
      ownership: { partition: 3, epoch: ++this.#epoch, held: true },
      port: this.port,
      table: this.table,
      clock: this.clock,
      log: silentLogger,
      maxDevices: 100,
      listNumbersPerSecond: 1_000,
    });
    await this.shard.start(new AbortController().signal);
    return this;
  }

  say(t: number, { device = "d1", causes = [] as string[], isReplayed = false } = {}): boolean {
    this.atMs += 1_000;
    const occasion = { tenant: "", device, profile: "", topic: "t", atMs: this.atMs, isReplayed };
    return this.shard.take(causes, (engine) => engine.samples(occasion, [{ point: "t", value: t }]));
  }

  async turns(until: () => boolean): Promise<void> {
    for (let i = 0; i < 1_000 && !until(); i++) await new Promise(setImmediate);
    expect(until()).toBe(true);
  }

  get alarms(): readonly wire.Alarm[] {
    const any = {
      tenant: "",
      device: "",
      rule: "",
      states: [],
      leastSeverity: 0,
      beforeMs: 0,
      beforeId: "",
      limit: 100,
      id: "",
    } as const;
    return this.shard.alarms.list({ ...any, states: [] }).alarms;
  }
}

const hot = (more: object = {}) => ({
  trigger: { points: ["t"] },
  when: "t > 80",
  actions: [{ publish: { topic: "a" } }, { alarm: { message: "too hot" } }],
  cleared: [{ publish: { topic: "b" } }],
  ...more,
});

describe("the rules of a partition", () => {
  it("do the actions of what fires, the end after the beginning, each under an id of its own", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    expect([it.say(90), it.say(91), it.say(70)]).toEqual([true, false, true]);
    await it.turns(() => it.shard.pending === 0);
    expect(it.done.map(({ id, state }) => [id, state])).toEqual([
      ["3-1", "raised"],
      ["3-2", "cleared"],
    ]);
  });

  it("go on after a restart with what was not done, under the same id, and not with what was", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    it.say(90, { device: "d0" });
    await it.turns(() => it.shard.pending === 0);
    it.fails = () => new AppError("action.failed", "away");
    it.say(90);
    await it.turns(() => it.done.length === 2);
    await it.shard.stop(false);
    it.fails = () => undefined;
    await it.begin();
    await it.turns(() => it.shard.pending === 0);
    expect(it.done.map(({ id, device }) => [id, device])).toEqual([
      ["3-1", "d0"],
      ["3-2", "d1"],
      ["3-2", "d1"],
    ]);
    // Neither forgets that it has fired, nor when it is over.
    it.say(95);
    it.say(60);
    await it.turns(() => it.shard.pending === 0);
    expect(it.done.slice(3).map(({ id, state }) => [id, state])).toEqual([["3-3", "cleared"]]);
  });

  it("keep the time for which something holds through a restart", async () => {
    const it = await new Rig(rule("hot", hot({ for: "30s" }))).begin();
    it.say(90);
    await it.shard.stored();
    await it.shard.stop(false);
    await it.begin();
    it.shard.advance(it.atMs + 29_999);
    expect(it.shard.pending).toBe(0);
    it.shard.advance(it.atMs + 30_000);
    await it.turns(() => it.done.length === 1);
  });

  it("acknowledge nothing before it is stored", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    it.port.isStuck = true;
    it.say(90);
    let isStored = false;
    const stored = it.shard.stored().then(() => {
      isStored = true;
    });
    for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    expect([isStored, it.done.length]).toEqual([false, 0]);
    it.port.isStuck = false;
    await stored;
  });

  it("stop a rule that leads to itself, however long the way, and say so", async () => {
    const it = await new Rig(rule("hot", hot({ actions: [{ publish: { topic: "a" } }] }))).begin();
    it.say(90, { causes: ["hot", "other"] });
    expect(it.shard.pending).toBe(0);
    expect(it.table.conditions()).toMatchObject([
      { status: false, reason: "Loop", message: expect.stringContaining("hot → other → hot") },
    ]);
    it.say(70);
    it.say(90, { device: "d2", causes: ["a", "b", "c", "d", "e", "f", "g", "h"] });
    expect(it.table.figures()[0]?.figures).toMatchObject({ looped: 2 });
  });

  it("only count what a rule would have done that is observed", async () => {
    const it = await new Rig(rule("hot", hot({ mode: "observe" }))).begin();
    it.say(90);
    expect([it.shard.pending, it.alarms.length]).toEqual([0, 0]);
    expect(it.table.figures()[0]?.figures).toMatchObject({ firings: 1, observed: 1 });
  });

  it("end the alarms of a rule that is gone", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    it.say(90);
    expect(it.alarms).toMatchObject([{ state: wire.AlarmState.RAISED }]);
    it.table.apply([]);
    it.shard.rulesChanged();
    expect(it.alarms).toMatchObject([{ state: wire.AlarmState.CLEARED }]);
  });

  it("write their journal anew when it has grown, and lose nothing of it", async () => {
    const it = await new Rig(rule("hot", hot({ for: "1h" })), rule("alarmed", hot())).begin();
    it.say(90);
    for (let i = 0; i < 60; i++) {
      for (let d = 0; d < 100; d++) it.say(i % 2 === 0 ? 90 : 10, { device: `d${d}-${"x".repeat(900)}` });
      await it.shard.stored();
    }
    const before = it.port.entries.length;
    await it.clock.advance(30_000);
    await it.turns(() => it.port.entries.length < before / 2);
    const open = it.shard.alarms.open;
    await it.turns(() => it.shard.pending === 0);
    await it.shard.stop(true);
    await it.begin();
    expect(it.shard.alarms.open).toBe(open);
  });
});

describe("alarms", () => {
  it("are one per device and key while they stand, counted, and new after they were cleared", async () => {
    const it = await new Rig(
      rule("hot", hot()),
      rule("hotter", hot({ when: "t > 95", severity: "critical", actions: [{ alarm: { key: "hot" } }] })),
    ).begin();
    it.say(90);
    it.say(99);
    expect(it.alarms).toMatchObject([{ key: "hot", count: 2, severity: wire.Severity.CRITICAL }]);
    it.say(10);
    it.say(90);
    expect(it.alarms.map(({ state, count }) => [state, count])).toEqual([
      [wire.AlarmState.RAISED, 1],
      [wire.AlarmState.CLEARED, 2],
    ]);
  });

  it("are acknowledged and cleared by people, and kept through a restart", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    it.say(90);
    const [{ id } = { id: "" }] = it.alarms;
    const change = (state: wire.AlarmState) => ({ tenant: "", id, state, who: "ann", note: "on my way" });
    expect(await it.shard.change(change(wire.AlarmState.ACKNOWLEDGED))).toMatchObject({
      acknowledgedBy: "ann",
    });
    await it.shard.stop(false);
    await it.begin();
    expect(it.alarms).toMatchObject([{ id, state: wire.AlarmState.ACKNOWLEDGED, note: "on my way" }]);
    expect(await it.shard.change(change(wire.AlarmState.CLEARED))).toMatchObject({ clearedBy: "ann" });
    await expect(it.shard.change(change(wire.AlarmState.ACKNOWLEDGED))).rejects.toMatchObject({
      code: "alarm.over",
    });
    await expect(it.shard.change({ ...change(wire.AlarmState.CLEARED), tenant: "x" })).rejects.toMatchObject({
      code: "alarm.unknown",
    });
  });

  it("are forgotten when they are over for long", async () => {
    const it = await new Rig(rule("hot", hot())).begin();
    it.say(90);
    it.say(10);
    it.say(90, { device: "d2" });
    it.shard.alarms.sweep(it.atMs + 31 * 24 * 3_600_000);
    expect(it.alarms.map(({ device }) => device)).toEqual(["d2"]);
  });
});
