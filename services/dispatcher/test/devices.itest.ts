import { type Bus, DeviceRegistryClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, type Resource } from "@myelin/config";
import { Kind } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { DeviceMessage, DeviceModule } from "../src/devices/module.js";
import { PARTITIONS, TestBox } from "./support/box.js";
import { ledgerOf, owning, snapshot, unaccounted } from "./support/steps.js";

const DEADLINE_MS = 20_000;

const boiler = (topics: string[]): Resource<"Route"> =>
  ({
    apiVersion: "myelin.dev/v1alpha1",
    kind: "DeviceProfile",
    metadata: { name: "boiler" },
    spec: checkValue(deviceProfileKind.spec, {
      payloads: [{ topics, format: "json" }],
      points: { temperature: { unit: "Cel", from: { field: "t" }, range: { max: 150 } } },
    }).value,
  }) as never;

interface Taken {
  readonly device: string;
  readonly text: string;
  readonly isRedelivered: boolean;
  readonly samples: DeviceMessage["samples"];
}

/** A module that notes what it is given. */
class Notes implements DeviceModule {
  readonly name = "notes";
  readonly taken: Taken[] = [];
  readonly held = new Set<number>();
  effect: (message: DeviceMessage) => Promise<void> | undefined = () => undefined;

  constructor(private readonly topic = "") {}

  wants({ path }: { readonly path: string }): boolean {
    return path === this.topic;
  }

  async acquire({ partition }: { readonly partition: number }): Promise<void> {
    this.held.add(partition);
  }

  async release(partition: number): Promise<void> {
    this.held.delete(partition);
  }

  onMessage(partition: number, message: DeviceMessage): Promise<void> | undefined {
    expect(this.held.has(partition)).toBe(true);
    const { device, payload, isRedelivered, samples } = message;
    this.taken.push({ device, text: payload.toString("utf8"), isRedelivered, samples });
    return this.effect(message);
  }
}

async function setUp(box: TestBox, topics = ["boilers/#"], topic = "") {
  const notes = new Notes(topic);
  const dispatcher = await box.dispatcher("core", {}, ({ devices }) => devices.desk.add(notes));
  await dispatcher.applyResources(snapshot(boiler(topics)));
  await owning(dispatcher, PARTITIONS);
  const registry = new DeviceRegistryClient(await box.connect("asker"), PARTITIONS);
  await waitFor(
    () =>
      registry.list({ tenant: "", limit: 1 }).then(
        () => true,
        () => false,
      ),
    { what: "the registry", deadlineMs: DEADLINE_MS },
  );
  return { notes, dispatcher, registry, producer: await box.producer() };
}

const taking = (notes: Notes, count: number) =>
  waitFor(() => notes.taken.length >= count, { what: `${count} messages`, deadlineMs: DEADLINE_MS });

describe("the device desk", () => {
  it("gives modules the samples of devices with a profile, on both lanes, and nothing of others", async () => {
    await using box = await TestBox.open();
    const { notes, registry, producer } = await setUp(box);
    await registry.write({ device: { tenant: "", id: "b1", profile: "boiler" }, expected: 0 });
    await producer.event("other", "boilers/x", '{"t":1}');
    await producer.event("b1", "elsewhere", '{"t":2}');
    await producer.event("b1", "boilers/1", '{"t":21.5}');
    producer.send("b1", "boilers/1", '{"t":200}');
    await taking(notes, 2);
    expect(notes.taken.map(({ text }) => text).sort()).toEqual(['{"t":200}', '{"t":21.5}']);
    const samples = notes.taken.flatMap((taken) => taken.samples);
    expect(samples).toContainEqual(expect.objectContaining({ value: 21.5, unit: "Cel", quality: "good" }));
    expect(samples).toContainEqual(expect.objectContaining({ value: null, reason: "above_range" }));
    await waitFor(async () => unaccounted(await ledgerOf(box)).every((left) => left === 0), {
      what: "books that add up",
      deadlineMs: DEADLINE_MS,
    });
  });

  it("begins with the next message when a device is given its profile, and ends when it loses it", async () => {
    await using box = await TestBox.open();
    const { notes, registry, producer, dispatcher } = await setUp(box);
    await producer.event("b1", "boilers/1", '{"t":1}');
    await waitFor(() => dispatcher.core.ledger.account("route", "event").received === 1, {
      what: "the routing of the first message",
      deadlineMs: DEADLINE_MS,
    });
    const { version } = (await registry.write({ device: { tenant: "", id: "b1", profile: "boiler" } }))!;
    await waitFor(
      async () => {
        await producer.event("b1", "boilers/1", '{"t":2}');
        return notes.taken.length > 0;
      },
      { what: "a sample of the new profile", deadlineMs: DEADLINE_MS },
    );
    expect(notes.taken.map(({ text }) => text)).not.toContain('{"t":1}');
    await registry.patch("", "b1", { profile: "" }, version);
    await waitFor(
      async () => {
        const before = notes.taken.length;
        await producer.event("b1", "boilers/1", '{"t":3}');
        await producer.event("b1", "boilers/1", '{"t":4}');
        return notes.taken.length === before;
      },
      { what: "no more samples", deadlineMs: DEADLINE_MS },
    );
  });

  it("gives a batch again, flagged, when what follows from it could not be made safe", async () => {
    await using box = await TestBox.open();
    const { notes, producer } = await setUp(box, ["x"], "$aws/things/b1/shadow/update");
    let failures = 2;
    notes.effect = async () => {
      if (failures-- > 0) throw new AppError("bus.timeout", "the store is away");
    };
    await producer.event("b1", "$aws/things/b1/shadow/update", "{}");
    await taking(notes, 3);
    expect(notes.taken.map(({ isRedelivered }) => isRedelivered)).toEqual([false, true, true]);
  });

  it("goes on after a defect of a module, and counts it", async () => {
    await using box = await TestBox.open();
    const { notes, dispatcher, producer } = await setUp(box, ["x"], "t");
    notes.effect = ({ payload }) => {
      if (payload.toString() === "bad") throw new TypeError("no such thing");
      return undefined;
    };
    for (const text of ["bad", "good"]) await producer.event("b1", "t", text);
    await taking(notes, 2);
    expect([notes.taken[1]?.text, dispatcher.devices.desk.defects]).toEqual(["good", 1]);
  });

  it("gives partitions and what belongs to them to another dispatcher", async () => {
    await using box = await TestBox.open();
    const { notes, dispatcher, producer } = await setUp(box, ["x"], "t");
    await producer.event("b1", "t", "1");
    await taking(notes, 1);
    const heir = new Notes("t");
    const second = await box.dispatcher("second", {}, ({ devices }) => devices.desk.add(heir));
    await box.stop(dispatcher);
    await owning(second, PARTITIONS);
    expect(notes.held.size).toBe(0);
    await producer.event("b1", "t", "2");
    await taking(heir, 1);
    expect([notes.taken.length, heir.taken[0]?.text]).toEqual([1, "2"]);
  });

  it("publishes for its modules as every producer does", async () => {
    await using box = await TestBox.open();
    const { notes, dispatcher } = await setUp(box, ["x"], "answers/1");
    const payload = Buffer.from('{"ok":true}');
    const answer = { tenant: "", device: "b1", path: "answers/1", payload, kind: Kind.EVENT };
    await dispatcher.devices.publisher.event(answer);
    dispatcher.devices.publisher.telemetry(answer);
    await taking(notes, 2);
    expect(notes.taken.map(({ text }) => text)).toEqual(['{"ok":true}', '{"ok":true}']);
    await expect(dispatcher.devices.publisher.event({ ...answer, path: "a/+" })).rejects.toMatchObject({
      code: "contract.bad_envelope",
    });
    await waitFor(async () => unaccounted(await ledgerOf(box)).every((left) => left === 0), {
      what: "books that add up",
      deadlineMs: DEADLINE_MS,
    });
  });

  it("publishes beside an ipc-bridge of the same process, and neither takes the other's messages for doubles", async () => {
    await using box = await TestBox.open();
    const notes = new Notes("t");
    let shared: Bus | undefined;
    const dispatcher = await box.dispatcher("core", {}, ({ devices }, bus) => {
      devices.desk.add(notes);
      shared = bus;
    });
    await owning(dispatcher, PARTITIONS);
    const bridge = await box.producerOn(shared!);
    for (let i = 0; i < 5; i++) {
      const payload = Buffer.from(`desk ${i}`);
      const one = { tenant: "", device: "b1", path: "t", payload, kind: Kind.EVENT };
      await dispatcher.devices.publisher.event(one);
      dispatcher.devices.publisher.telemetry(one);
      await bridge.event("b1", "t", `bridge ${i}`);
      bridge.send("b1", "t", `bridge ${i}`);
    }
    await taking(notes, 20);
    expect(new Set(notes.taken.map(({ text }) => text)).size).toBe(10);
    await waitFor(async () => unaccounted(await ledgerOf(box)).every((left) => left === 0), {
      what: "books that add up",
      deadlineMs: DEADLINE_MS,
    });
  });
});
