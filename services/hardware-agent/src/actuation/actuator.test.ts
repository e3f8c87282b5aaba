import type { CommandSpec, DeviceProfileSpec } from "@myelin/config";
import { type Clock, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { Profile } from "@myelin/profile";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Folder, FolderFile } from "../outbox/folder.js";
import { MemoryFolder } from "../outbox/testcases/memory-folder.js";
import { Actuator, type CommandOrder } from "./actuator.js";
import { CommandJournal } from "./command-journal.js";
import type { CommandResult } from "./command-result.js";
import { type Behaviour, SimulatedUnit } from "./testcases/simulated-unit.js";

const base = { parameters: {}, redelivery: "untilAnswered" } as const;
const target = { parameters: { target: { type: "number", required: true, maxLength: 256 } } } as const;
const verify = { point: "level", equals: { parameter: "target" }, tolerance: 0.5, within: 2_000 } as const;

const COMMANDS: Record<string, CommandSpec> = {
  set: { ...base, ...target, risk: "low", verify },
  "set-locked": {
    ...{ ...base, ...target, risk: "high", verify },
    writes: [
      { point: "lock", set: { number: 85 }, wait: 50 },
      { point: "level", set: { parameter: "target" }, wait: 0 },
      { point: "lock", set: { number: 0 }, wait: 0 },
    ],
  },
  "set-safely": {
    ...{ ...base, ...target, risk: "high", verify },
    safety: {
      parameter: "target",
      range: { min: 0, max: 90 },
      minInterval: 1_000,
      interlock: "running",
      maxAge: 5_000,
    },
  },
  hold: {
    ...{ ...base, ...target, risk: "high", verify },
    failSafe: { after: 3_000, writes: [{ point: "level", set: { number: 5 }, wait: 0 }] },
  },
  pulse: { ...base, risk: "low", writes: [{ point: "relay", set: { boolean: true }, wait: 0 }] },
  halt: { ...base, risk: "stop", writes: [{ point: "relay", set: { boolean: false }, wait: 0 }] },
};

const number = { type: "number", whenMissing: "ignore" } as const;
const boolean = { type: "boolean", whenMissing: "ignore" } as const;
const SPEC: DeviceProfileSpec = {
  payloads: [],
  points: { level: number, lock: number, running: boolean, relay: boolean },
  commands: COMMANDS,
};
const PROFILE = new Profile("tank", SPEC);

let keys = 0;
const order = (command: string, parameters: object = {}, more: Partial<CommandOrder> = {}): CommandOrder => ({
  ...{ key: `key-${keys++}`, command, parameters: { ...parameters }, roles: [], replayed: false },
  expiresAtMs: Number.MAX_SAFE_INTEGER,
  ...more,
});

interface Rig {
  readonly clock: FakeClock;
  readonly unit: SimulatedUnit;
  readonly actuator: Actuator;
}

async function rig(
  folder: Folder = new MemoryFolder(),
  clock = new FakeClock(),
  unit?: SimulatedUnit,
): Promise<Rig> {
  const limits = { keys: 100, keepMs: 86_400_000 };
  const journal = new CommandJournal(folder, () => clock.wallMs(), limits);
  const actuator = new Actuator({ journal, clock, logger: silentLogger });
  await actuator.start();
  return { clock, unit: unit ?? new SimulatedUnit("tank-1", PROFILE, clock), actuator };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

/** Lets time pass until the promise is settled; undefined: it never is. */
async function settled<T>(clock: FakeClock, promise: Promise<T>, forMs = 10_000): Promise<T | undefined> {
  let result: T | undefined;
  let isDone = false;
  void promise.then((value) => {
    result = value;
    isDone = true;
  });
  for (let at = 0; at < forMs && !isDone; at += 50) {
    await turns();
    if (!isDone) await clock.advance(50);
  }
  return result;
}

const run = (r: Rig, o: CommandOrder): Promise<CommandResult | undefined> =>
  settled(r.clock, r.actuator.execute(o, r.unit.device));

describe("commands on hardware", () => {
  it("are written, read back and verified", async () => {
    const r = await rig();
    expect(await run(r, order("set", { target: 40 }))).toEqual({ state: "verified", value: 40 });
    expect(r.unit.written).toEqual([{ point: "level", value: 40, priority: "command" }]);
  });

  it("write all their steps in order", async () => {
    const r = await rig();
    expect(await run(r, order("set-locked", { target: 40 }))).toMatchObject({ state: "verified" });
    expect(r.unit.written.map(({ point, value }) => [point, value])).toEqual([
      ["lock", 85],
      ["level", 40],
      ["lock", 0],
    ]);
  });

  it("end as executed where nothing can be read back, and as mismatch with both values where it differs", async () => {
    const r = await rig();
    expect(await run(r, order("pulse"))).toEqual({ state: "executed" });
    r.unit.behaviour = "ignored";
    expect(await run(r, order("set", { target: 40 }))).toEqual({ state: "mismatch", expected: 40, value: 0 });
  });

  it.each<[Behaviour, boolean, string]>([
    ["silent", true, "verified"],
    ["silent", false, "unknown"],
    ["lost", true, "unknown"],
    ["refused", true, "rejected"],
  ])("say what is certain of a unit that is %s, readable: %s", async (behaviour, isReadable, state) => {
    const r = await rig();
    r.unit.behaviour = behaviour;
    r.unit.isReadable = isReadable;
    expect(await run(r, order("set", { target: 40 }))).toMatchObject({ state });
  });

  it("are executed once by their key, at the same time and later, and after a restart", async () => {
    const folder = new MemoryFolder();
    const r = await rig(folder);
    const o = order("set", { target: 40 });
    const both = Promise.all([r.actuator.execute(o, r.unit.device), r.actuator.execute(o, r.unit.device)]);
    expect(await settled(r.clock, both)).toHaveLength(2);
    await run(r, o);
    const next = await rig(folder.afterPowerLoss(), r.clock, r.unit);
    expect(await run(next, o)).toEqual({ state: "verified", value: 40 });
    expect(r.unit.written).toHaveLength(1);
  });

  it("are refused before anything is written", async () => {
    const r = await rig();
    const reasonOf = async (o: CommandOrder): Promise<unknown> => {
      const result = await run(r, o);
      return result?.state === "rejected" ? result.reason : result?.state;
    };
    expect(await reasonOf(order("set", { target: 1 }, { replayed: true }))).toBe("replayed");
    expect(await reasonOf(order("set", { target: 1 }, { expiresAtMs: r.clock.wallMs() }))).toBe("expired");
    expect(await reasonOf(order("set", { target: "much" }))).toBe("bad_parameters");
    expect(await reasonOf(order("dance"))).toBe("bad_parameters");
    expect(await reasonOf(order("set-safely", { target: 99 }))).toBe("out_of_range");
    expect(await reasonOf(order("set-safely", { target: 50 }))).toBe("input_missing");
    const running = { point: "running", value: true, quality: "good", timeUs: r.clock.wallUs() } as const;
    r.unit.lives.set("running", { sample: running, replayed: true });
    expect(await reasonOf(order("set-safely", { target: 50 }))).toBe("input_replayed");
    r.unit.lives.set("running", { sample: running, replayed: false });
    await r.clock.advance(6_000);
    expect(await reasonOf(order("set-safely", { target: 50 }))).toBe("input_stale");
    r.unit.isReadOnly = true;
    expect(await reasonOf(order("set", { target: 1 }))).toBe("read_only");
    expect(r.unit.written).toEqual([]);
  });

  it("keep their shortest interval also over a restart", async () => {
    const folder = new MemoryFolder();
    const r = await rig(folder);
    const live = (): void => {
      const sample = { point: "running", value: true, quality: "good", timeUs: r.clock.wallUs() } as const;
      r.unit.lives.set("running", { sample, replayed: false });
    };
    live();
    expect(await run(r, order("set-safely", { target: 50 }))).toMatchObject({ state: "verified" });
    const next = await rig(folder.afterKill(), r.clock, r.unit);
    expect(await run(next, order("set-safely", { target: 51 }))).toMatchObject({ reason: "too_soon" });
    await r.clock.advance(1_000);
    live();
    expect(await run(next, order("set-safely", { target: 51 }))).toMatchObject({ state: "verified" });
  });

  it("are not begun when the journal takes nothing; a stop is", async () => {
    const folder = new MemoryFolder();
    const r = await rig(folder);
    folder.failure = "ENOSPC";
    expect(await run(r, order("set", { target: 40 }))).toMatchObject({
      state: "rejected",
      reason: "not_written",
    });
    expect(r.unit.written).toEqual([]);
    expect(await run(r, order("halt"))).toEqual({ state: "executed" });
    folder.failure = undefined;
    folder.held = new Promise(() => {});
    expect(await run(r, order("halt"))).toBeUndefined();
    expect(r.unit.written).toHaveLength(2);
  });

  it("give way to a stop: what waits is refused, what is under way writes nothing more", async () => {
    const r = await rig();
    const first = r.actuator.execute(order("set-locked", { target: 40 }), r.unit.device);
    const second = r.actuator.execute(order("set", { target: 41 }), r.unit.device);
    await turns();
    const stop = r.actuator.execute(order("halt"), r.unit.device);
    await turns();
    expect(await stop).toEqual({ state: "executed" });
    expect(await settled(r.clock, first)).toMatchObject({ state: "unknown" });
    expect(await settled(r.clock, second)).toMatchObject({ state: "rejected", reason: "preempted" });
    expect(r.unit.written.map(({ point, priority }) => [point, priority])).toEqual([
      ["lock", "command"],
      ["relay", "stop"],
    ]);
  });
});

describe("fail-safe values", () => {
  const fired = { point: "level", value: 5, priority: "stop" };

  it("are written when nobody repeats the command in time, and only then", async () => {
    const r = await rig();
    for (const _ of [1, 2, 3]) {
      await run(r, order("hold", { target: 40 }));
      await settled(r.clock, new Promise(() => {}), 2_000);
    }
    expect(r.unit.written).toHaveLength(3);
    await settled(r.clock, new Promise(() => {}), 2_000);
    expect(r.unit.written.slice(3)).toEqual([fired]);
    await settled(r.clock, new Promise(() => {}), 10_000);
    expect(r.unit.written).toHaveLength(4);
  });

  it("are written when the agent stops, and by the next one when it was killed", async () => {
    const stopped = await rig();
    await run(stopped, order("hold", { target: 40 }));
    await settled(stopped.clock, stopped.actuator.stop());
    expect(stopped.unit.written.at(-1)).toEqual(fired);
    expect(stopped.clock.pendingTimers).toBe(0);

    const folder = new MemoryFolder();
    const killed = await rig(folder);
    await run(killed, order("hold", { target: 40 }));
    const clock = new FakeClock(killed.clock.wallMs() + 60_000);
    const next = await rig(folder.afterPowerLoss(), clock, new SimulatedUnit("tank-1", PROFILE, clock));
    next.actuator.attach(next.unit.device);
    await settled(clock, new Promise(() => {}), 500);
    expect(next.unit.written).toEqual([fired]);
    const third = await rig(folder.afterPowerLoss(), clock, next.unit);
    expect(third.unit.written).toHaveLength(1);
  });

  it("are tried until the unit takes them", async () => {
    const r = await rig();
    await run(r, order("hold", { target: 40 }));
    r.unit.behaviour = "refused";
    await settled(r.clock, new Promise(() => {}), 5_000);
    r.unit.behaviour = "good";
    await settled(r.clock, new Promise(() => {}), 1_500);
    expect(r.unit.written.at(-1)).toEqual(fired);
  });
});

/** The process dies in the middle of its n-th conversation with disk or unit: nothing of it ever goes on. */
function crashAt(n: number): { step: () => Promise<void>; hasCrashed: () => boolean } {
  let count = 0;
  return {
    step: () => (count++ < n ? Promise.resolve() : new Promise(() => {})),
    hasCrashed: () => count > n,
  };
}

function crashing(folder: Folder, step: () => Promise<void>): Folder {
  const file = (inner: FolderFile): FolderFile => ({
    ...inner,
    write: async (bytes, position) => {
      await step();
      await inner.write(bytes, position);
      await step();
    },
    sync: async () => {
      await inner.sync();
      await step();
    },
  });
  return {
    path: folder.path,
    list: () => folder.list(),
    create: async (name) => file(await folder.create(name)),
    openFile: (name) => folder.openFile(name),
    readWhole: (name) => folder.readWhole(name),
    replace: (name, bytes) => folder.replace(name, bytes),
    remove: (name) => folder.remove(name),
    syncNames: () => folder.syncNames(),
  };
}

describe("a command whose agent dies at any step", () => {
  const behaviours = fc.constantFrom<Behaviour>("good", "silent", "lost", "ignored");

  it("is never executed twice, and what is called verified is so", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("set", "set-locked", "pulse", "hold"),
        behaviours,
        fc.boolean(),
        fc.boolean(),
        async (command, behaviour, isReadable, isPowerLoss) => {
          for (let n = 0; ; n++) {
            const crash = crashAt(n);
            const folder = new MemoryFolder();
            const clock: FakeClock & Clock = new FakeClock();
            const unit = new SimulatedUnit("tank-1", PROFILE, clock);
            unit.behaviour = behaviour;
            unit.isReadable = isReadable;
            const o = order(command, command === "pulse" ? {} : { target: 40 });
            const started = rig(crashing(folder, crash.step), clock, unit);
            const first = await settled(clock, started, 200);
            if (first !== undefined) {
              unit.step = crash.step;
              await settled(clock, first.actuator.execute(o, unit.device), 3_000);
            }
            unit.step = async () => {};
            const before = unit.written.filter(({ priority }) => priority === "command").length;
            const disk = isPowerLoss ? folder.afterPowerLoss() : folder.afterKill();
            const second = await rig(disk, clock, unit);
            const result = await run(second, o);
            expect(result).toBeDefined();
            const after = unit.written.filter(({ priority }) => priority === "command");
            const most = command === "set-locked" ? 3 : 1;
            expect(after.length).toBeLessThanOrEqual(most);
            // Either the first process wrote, or the second one does, never both.
            if (before > 0) expect(after).toHaveLength(before);
            if (result!.state === "verified") expect(unit.values.get("level")).toBe(40);
            if (result!.state === "rejected" || result!.state === "expired") expect(after).toEqual([]);
            const third = await rig(disk.afterPowerLoss(), clock, unit);
            expect(await run(third, o)).toEqual(result);
            expect(unit.written.filter(({ priority }) => priority === "command")).toHaveLength(after.length);
            if (!crash.hasCrashed()) return;
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
