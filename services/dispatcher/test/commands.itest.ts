import {
  type CommandWish,
  createFencedLog,
  createSubjectLog,
  type DeviceCommand,
  DeviceCommandClient,
  DeviceRegistryClient,
  verifyAuditLog,
} from "@myelin/bus";
import { checkValue, deviceProfileKind, type Resource } from "@myelin/config";
import { audit, partitionOf, STREAMS, subjects } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { type Behaviour, type FakeDevice, FakeDevices } from "./support/fake-devices.js";
import { owning, snapshot } from "./support/steps.js";

const DEADLINE_MS = 30_000;

const PUMP = {
  apiVersion: "myelin.dev/v1alpha1",
  kind: "DeviceProfile",
  metadata: { name: "pump" },
  spec: checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["report"], format: "json" }],
    points: { speed: { from: { field: "speed" } } },
    commands: {
      set: {
        risk: "low",
        parameters: { speed: { type: "number" } },
        safety: { parameter: "speed", range: { max: 100 } },
        verify: { point: "speed", equals: { parameter: "speed" }, tolerance: 0.5, within: "1m" },
      },
      beep: { risk: "read" },
      once: { risk: "low", redelivery: "never" },
      locked: { risk: "high", safety: { interlock: "speed < 10.0" } },
      halt: { risk: "stop", verify: { point: "speed", equals: { number: 0 } } },
    },
  }).value,
} as never as Resource<"Route">;

const ADA = { kind: "user", name: "ada", roles: ["operator"] } as const;

async function setUp(box: TestBox) {
  const bus = await box.connect("listener-0");
  const devices = new FakeDevices(bus, await box.producerOn(bus));
  const asker = await box.connect("asker");
  const registry = new DeviceRegistryClient(asker, PARTITIONS);
  const commands = new DeviceCommandClient(asker, PARTITIONS, systemClock);
  return {
    devices,
    registry,
    commands,
    async device(id: string, behaviour: Behaviour, isOnline = true): Promise<FakeDevice> {
      await waitFor(
        () =>
          registry.write({ device: { tenant: "", id, profile: "pump" } }).then(
            () => true,
            () => false,
          ),
        { what: "the registry", deadlineMs: DEADLINE_MS },
      );
      return devices.add(id, behaviour, isOnline);
    },
    async run(device: string, name: string, rest: Partial<CommandWish> = {}): Promise<DeviceCommand> {
      const wish = { tenant: "", device, name, author: ADA, ...rest };
      return await commands.submit(wish, { state: "verified", waitMs: DEADLINE_MS });
    },
    [Symbol.dispose]: () => devices[Symbol.dispose](),
  };
}

async function one(box: TestBox) {
  const rig = await setUp(box);
  const dispatcher = await box.dispatcher("core");
  await dispatcher.applyResources(snapshot(PUMP));
  await owning(dispatcher, PARTITIONS);
  return Object.assign(rig, { dispatcher });
}

/** Does as it is told, and says so. */
const obeys: Behaviour = async (given, device) => {
  device.execute(given);
  await device.answer(given.id, "SUCCEEDED");
  await device.report({ speed: given.parameters.speed ?? 0 });
  return "acknowledged";
};

const told = ({ steps }: DeviceCommand) =>
  steps.map(({ state, cause }) => (cause === "" ? state : `${state} ${cause}`));

describe("a command", () => {
  it("to a device that obeys is verified, to one that lies it is not", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    await rig.device("good", obeys);
    await rig.device("liar", async ({ id }, device) => {
      await device.answer(id, "SUCCEEDED");
      await device.report({ speed: 3 });
      return "acknowledged";
    });
    const good = await rig.run("good", "set", { parameters: { speed: 40 } });
    expect(told(good)).toEqual(["accepted", "routed", "delivered", "executed", "verified"]);
    expect(good.steps.map(({ atUs }) => atUs)).toEqual(good.steps.map(({ atUs }) => atUs).sort());
    const liar = await rig.run("liar", "set", { parameters: { speed: 40 } });
    expect(told(liar)).toEqual(["accepted", "routed", "delivered", "executed", "mismatch other_value"]);
    const plain = await rig.run("good", "beep");
    expect([plain.state, plain.isTerminal]).toEqual(["executed", true]);
  });

  it("to a device that sleeps waits until it comes, and expires certainly not executed when it does not", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const sleeper = await rig.device("sleeper", obeys, false);
    const waits = await rig.commands.submit({ tenant: "", device: "sleeper", name: "beep", author: ADA });
    const late = await rig.run("sleeper", "beep", { ttlMs: 300 });
    expect([told(late), sleeper.given.length]).toEqual([["accepted", "expired ttl"], 0]);
    rig.devices.connect(sleeper);
    const ended = await rig.commands.reached(waits, "verified", DEADLINE_MS);
    expect([ended.state, sleeper.executed]).toEqual(["executed", [waits.id]]);
  });

  it("to a device that dies with it ends as outcome_unknown, and one whose profile says so is not given it again", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const dying = await rig.device("dying", () => "device.left");
    const ended = await rig.run("dying", "once", { ttlMs: 500 });
    expect([ended.state, ended.steps.at(-1)?.cause, dying.given.length]).toEqual([
      "failed",
      "outcome_unknown",
      1,
    ]);
    const again = await rig.device("again", (given, device) =>
      device.given.length === 1 ? "device.left" : obeys(given, device),
    );
    expect((await rig.run("again", "beep")).state).toBe("executed");
    expect([again.given.length, again.executed.length]).toEqual([2, 1]);
  });

  it("is made once for an idempotency key, and another one is refused", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const device = await rig.device("d", obeys);
    const wish = { parameters: { speed: 1 }, idempotencyKey: "k" };
    const first = await rig.run("d", "set", wish);
    expect((await rig.run("d", "set", wish)).id).toBe(first.id);
    expect(device.given).toHaveLength(1);
    const other = { parameters: { speed: 2 }, idempotencyKey: "k" };
    await expect(rig.run("d", "set", other)).rejects.toMatchObject({ code: "command.key_reused" });
  });

  it("is cancelled before the device may have it, and not later", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    await rig.device("sleeper", obeys, false);
    await rig.device("slow", () => "acknowledged");
    const waits = await rig.commands.submit({ tenant: "", device: "sleeper", name: "beep", author: ADA });
    const gone = await rig.commands.cancel("", waits.id, ADA);
    expect(told(gone)).toEqual(["accepted", "rejected cancelled"]);
    const made = await rig.commands.submit({ tenant: "", device: "slow", name: "beep", author: ADA });
    await rig.commands.reached(made, "delivered", DEADLINE_MS);
    await expect(rig.commands.cancel("", made.id, ADA)).rejects.toMatchObject({ code: "command.under_way" });
  });

  it("that the safety envelope denies is refused, unless it is overridden for a reason, and all of it is audited", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    await rig.device("d", obeys);
    await expect(rig.run("d", "set", { parameters: { speed: 101 } })).rejects.toMatchObject({
      code: "command.denied",
      details: { reason: "out_of_range" },
    });
    await expect(rig.run("d", "locked")).rejects.toMatchObject({ details: { reason: "input_missing" } });
    const forced = await rig.run("d", "set", { parameters: { speed: 101 }, overrideReason: "drill" });
    expect(forced.state).toBe("verified");
    const bus = await box.connect("auditor");
    const log = createSubjectLog(bus, STREAMS.audit.name);
    const batches = await waitFor(
      async () => {
        const all: Buffer[] = [];
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const found = await log.read(subjects.auditLog(partition), 1, { messages: 100, bytes: 1 << 20 });
          if (found.some(({ data }) => audit.Batch.decode(data).entries.length > 0))
            all.push(...found.map(({ data }) => data));
        }
        const actions = all.flatMap((data) => audit.Batch.decode(data).entries.map(({ action }) => action));
        return actions.includes("command.ended") && all;
      },
      { what: "the audit", deadlineMs: DEADLINE_MS },
    );
    const entries = batches.flatMap((data) => audit.Batch.decode(data).entries);
    expect(entries.map(({ action, author, reason }) => [action, author, reason])).toEqual([
      ["command.denied", "ada", ""],
      ["command.denied", "ada", ""],
      ["command.overridden", "ada", "drill"],
      ["command.ended", "ada", "drill"],
    ]);
    const partition = partitionOf("", "d", PARTITIONS);
    const whole = await verifyAuditLog(bus, partition);
    expect(whole).toMatchObject({ entries: 4, firstNumber: 1 });
    expect(whole.broken).toBeUndefined();
    // Whoever writes into the stream by another way does not know what the chain knows.
    const subject = subjects.auditLog(partition);
    const forged = audit.Batch.fromPartial({ number: whole.batches + 1, previous: Buffer.alloc(32) });
    await createFencedLog(bus).append(
      subject,
      audit.Batch.encode(forged).finish(),
      await log.lastSequence(subject),
    );
    expect((await verifyAuditLog(bus, partition)).broken).toMatchObject({ fault: "changed" });
  });

  it("that stops a device goes before what waits, and is taken when the rate of whoever asks is used up", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const device = await rig.device("d", obeys, false);
    const later = await rig.commands.submit({ tenant: "", device: "d", name: "beep", author: ADA });
    const first = await rig.commands.submit({
      tenant: "",
      device: "d",
      name: "beep",
      priority: 5,
      author: ADA,
    });
    const wish = { tenant: "", device: "d", author: ADA, isOverRate: true };
    await expect(rig.commands.submit({ ...wish, name: "beep" })).rejects.toMatchObject({
      code: "limit.rate",
    });
    const stop = await rig.commands.submit({ ...wish, name: "halt" });
    rig.devices.connect(device);
    for (const made of [later, first, stop]) await rig.commands.reached(made, "verified", DEADLINE_MS);
    expect(device.given.map(({ id }) => id)).toEqual([stop.id, first.id, later.id]);
  });

  it("is listed, the newest first, page by page", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const ids: string[] = [];
    for (const device of ["a", "b", "c"]) {
      await rig.device(device, obeys, false);
      ids.unshift((await rig.commands.submit({ tenant: "", device, name: "beep", author: ADA })).id);
    }
    const first = await rig.commands.list({ tenant: "", limit: 2 });
    expect([first.commands.map(({ id }) => id), first.more]).toEqual([ids.slice(0, 2), true]);
    const rest = await rig.commands.list({ tenant: "", limit: 2, after: first.commands.at(-1) });
    expect([rest.commands.map(({ id }) => id), rest.more]).toEqual([ids.slice(2), false]);
    const none = await rig.commands.list({ tenant: "", device: "a", states: ["expired"], limit: 2 });
    expect(none.commands).toEqual([]);
  });
});

/** Where a command stands when somebody dies. */
const STAGES: Readonly<Record<string, Behaviour>> = {
  accepted: obeys,
  // It has the command, and its connection never says so.
  routed: (given, device) =>
    device.given.length === 1 ? new Promise(() => undefined) : obeys(given, device),
  delivered: (given, device) => {
    device.execute(given);
    return "acknowledged";
  },
  executed: async (given, device) => {
    device.execute(given);
    await device.answer(given.id, "SUCCEEDED");
    return "acknowledged";
  },
};

describe("a command of which somebody dies on the way", () => {
  // Four deaths each, and whoever comes back needs its time on a busy machine.
  it.each(["dispatcher", "NATS"])(
    "is verified and was executed once: %s",
    { timeout: 300_000 },
    async (who) => {
      await using box = await TestBox.open();
      using rig = await setUp(box);
      const child = await box.child("core", [PUMP]);
      const victim = who === "NATS" ? box.nats.process : child;
      for (const [stage, behaviour] of Object.entries(STAGES)) {
        const id = `at-${stage}`;
        const device = await rig.device(id, behaviour, stage !== "accepted");
        const wish = { tenant: "", device: id, name: "set", parameters: { speed: 7 }, ttlMs: 60_000 };
        const made = await rig.commands.submit({ ...wish, author: ADA });
        const before = await rig.commands.reached(made, stage as "routed", DEADLINE_MS);
        expect(before.state).toBe(stage);
        if (stage === "routed")
          await waitFor(() => device.given.length === 1, {
            what: "the device to have it",
            deadlineMs: DEADLINE_MS,
          });
        await victim.restart("SIGKILL");
        await waitFor(
          () =>
            rig.commands.get("", made.id).then(
              () => true,
              () => false,
            ),
          { what: "the commands", deadlineMs: DEADLINE_MS },
        );
        if (stage === "accepted") rig.devices.connect(device);
        if (stage === "delivered") await device.answer(made.id, "SUCCEEDED");
        if (stage === "delivered" || stage === "executed") await device.report({ speed: 7 });
        const ended = await rig.commands.reached(made, "verified", 2 * DEADLINE_MS);
        expect([stage, told(ended)]).toEqual([
          stage,
          ["accepted", "routed", "delivered", "executed", "verified"],
        ]);
        expect([stage, device.executed]).toEqual([stage, [made.id]]);
      }
    },
  );

  it("is given to the device again where its connection has died, and executed once", async () => {
    await using box = await TestBox.open();
    using rig = await one(box);
    const device = await rig.device("d", (given, it) => {
      if (it.given.length > 1) return obeys(given, it);
      it.execute(given);
      rig.devices.disconnect(it);
      return "device.left";
    });
    const made = await rig.commands.submit({
      tenant: "",
      device: "d",
      name: "set",
      parameters: { speed: 1 },
      author: ADA,
    });
    await waitFor(() => device.given.length === 1 && !device.isOnline, {
      what: "its death",
      deadlineMs: DEADLINE_MS,
    });
    rig.devices.connect(device);
    const ended = await rig.commands.reached(made, "verified", DEADLINE_MS);
    expect([ended.state, device.given.length, device.executed]).toEqual(["verified", 2, [made.id]]);
  });

  it("expires, though nobody was there when its time was over", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box);
    const child = await box.child("core", [PUMP]);
    await rig.device("gone", obeys, false);
    const made = await rig.commands.submit({
      tenant: "",
      device: "gone",
      name: "beep",
      ttlMs: 100,
      author: ADA,
    });
    await child.restart("SIGKILL");
    const ended = await rig.commands.reached(made, "verified", DEADLINE_MS);
    expect(told(ended)).toEqual(["accepted", "expired ttl"]);
  });
});
