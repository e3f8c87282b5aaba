import { DeviceCommandClient, DeviceRegistryClient, ShadowClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, type Resource } from "@myelin/config";
import { systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { type Behaviour, type FakeDevice, FakeDevices } from "./support/fake-devices.js";
import { owning, snapshot } from "./support/steps.js";

const DEADLINE_MS = 40_000;

const PUMP = {
  apiVersion: "myelin.dev/v1alpha1",
  kind: "DeviceProfile",
  metadata: { name: "pump" },
  spec: checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["report"], format: "json" }],
    points: { speed: { from: { field: "speed" } }, mode: { type: "string", from: { field: "mode" } } },
    commands: {
      set: {
        risk: "low",
        parameters: { speed: { type: "number" } },
        safety: { parameter: "speed", range: { max: 100 } },
        verify: { point: "speed", equals: { parameter: "speed" }, tolerance: 0.5 },
      },
    },
  }).value,
} as never as Resource<"Route">;

/** Does as it is told, and says so. */
const obeys: Behaviour = async (given, device) => {
  device.execute(given);
  await device.answer(given.id, "SUCCEEDED");
  await device.report({ speed: given.parameters.speed });
  return "acknowledged";
};

async function setUp(box: TestBox, behaviour: Behaviour, isOnline = true) {
  const bus = await box.connect("listener-0");
  const devices = new FakeDevices(bus, await box.producerOn(bus));
  const dispatcher = await box.dispatcher("core");
  await dispatcher.applyResources(snapshot(PUMP));
  await owning(dispatcher, PARTITIONS);
  const asker = await box.connect("asker");
  const registry = new DeviceRegistryClient(asker, PARTITIONS);
  const written = () =>
    registry.write({ device: { tenant: "", id: "p1", profile: "pump" } }).then(
      () => true,
      () => false,
    );
  await waitFor(written, { what: "the registry", deadlineMs: DEADLINE_MS });
  const device: FakeDevice = devices.add("p1", behaviour, isOnline);
  const client = new ShadowClient(asker, PARTITIONS);
  const KEY = { tenant: "", device: "p1", name: "" };
  return {
    device,
    devices,
    commands: new DeviceCommandClient(asker, PARTITIONS, systemClock),
    want: (desired: object) => client.update(KEY, { desired }),
    async condition(state: string, reason: RegExp): Promise<void> {
      let last: unknown;
      const isSo = async (): Promise<boolean> => {
        const { condition } = await client.get(KEY);
        last = condition;
        return condition?.state === state && reason.test(condition.reason);
      };
      await waitFor(isSo, { what: `${state}, ${reason}`, deadlineMs: DEADLINE_MS }).catch(
        (error: unknown) => {
          throw new Error(`the condition is ${JSON.stringify(last)}`, { cause: error });
        },
      );
    },
    [Symbol.dispose]: () => devices[Symbol.dispose](),
  };
}

describe("what is desired of a point that a command sets", () => {
  it("is brought by that command to a device that obeys, and again when the device has drifted", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box, obeys);
    await rig.want({ speed: 40 });
    await rig.condition("synced", /^$/);
    expect(rig.device.given.map(({ command, parameters }) => [command, parameters])).toEqual([
      ["set", { speed: 40 }],
    ]);
    const { commands } = await rig.commands.list({ tenant: "", device: "p1", limit: 10 });
    expect(commands.map(({ state, author }) => [state, author.kind])).toEqual([["verified", "shadow"]]);
    await rig.device.report({ speed: 10 });
    await waitFor(() => rig.device.given.length === 2, { what: "a second command", deadlineMs: DEADLINE_MS });
    await rig.condition("synced", /^$/);
  });

  it("is told as drifted, with what was read back, of a device that lies", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box, async ({ id }, device) => {
      await device.answer(id, "SUCCEEDED");
      await device.report({ speed: 3 });
      return "acknowledged";
    });
    await rig.want({ speed: 40 });
    await rig.condition("drifted", /^set ended mismatch \(other_value: speed is 3\)$/);
    await waitFor(() => rig.device.given.length === 2, { what: "another try", deadlineMs: DEADLINE_MS });
  });

  it("is told as a conflict of a device that does not want to", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box, async ({ id }, device) => {
      await device.answer(id, "REJECTED", "maintenance");
      return "acknowledged";
    });
    await rig.want({ speed: 40 });
    await rig.condition("conflict", /device_rejected: maintenance/);
  });

  it("waits for a device that sleeps, and the newest value comes alone", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box, obeys, false);
    await rig.want({ speed: 40 });
    await rig.want({ speed: 50 });
    await rig.condition("unreachable", /not connected/);
    rig.devices.connect(rig.device);
    await rig.condition("synced", /^$/);
    expect(rig.device.given.map(({ parameters }) => parameters)).toEqual([{ speed: 50 }]);
  });

  it("is told as unreachable of a device that has gone with a command", async () => {
    await using box = await TestBox.open();
    let isBack = false;
    using rig = await setUp(box, (given, device) => (isBack ? obeys(given, device) : "acknowledged"));
    await rig.want({ speed: 40 });
    await waitFor(() => rig.device.given.length === 1, { what: "the command", deadlineMs: DEADLINE_MS });
    rig.devices.disconnect(rig.device);
    await rig.condition("unreachable", /./);
    isBack = true;
    rig.devices.connect(rig.device);
    // What it was given is under way until its time is over; what it has done is read back from its report.
    await rig.device.report({ speed: 40 });
    await rig.condition("synced", /^$/);
    expect(rig.device.given.length).toBe(1);
  });

  it("is never sent when it is beyond the safety envelope, and the refusal is told", async () => {
    await using box = await TestBox.open();
    using rig = await setUp(box, obeys);
    await rig.want({ speed: 900, mode: "eco" });
    await rig.condition("drifted", /^set was refused: .*900/);
    expect(rig.device.given).toEqual([]);
    await rig.want({ speed: 90 });
    await waitFor(() => rig.device.given.length === 1, { what: "the command", deadlineMs: DEADLINE_MS });
    expect(rig.device.given[0]?.parameters).toEqual({ speed: 90 });
  });
});
