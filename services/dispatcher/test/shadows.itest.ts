import { type Bus, DeviceRegistryClient, ShadowClient, type ShadowView, shadowJson } from "@myelin/bus";
import { checkValue, deviceProfileKind, type Resource } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { DeviceMessage, DeviceModule } from "../src/devices/module.js";
import { PARTITIONS, TestBox } from "./support/box.js";
import { owning, snapshot } from "./support/steps.js";

const DEADLINE_MS = 20_000;
const until = (what: string, condition: () => boolean | Promise<boolean>) =>
  waitFor(condition, { what, deadlineMs: DEADLINE_MS });

/** Notes what devices are told. */
class Answers implements DeviceModule {
  readonly name = "answers";
  readonly told: { readonly path: string; readonly document: Record<string, unknown> }[] = [];

  wants({ path }: { readonly path: string }): boolean {
    return path.startsWith("$aws/things/") || path.startsWith("devices/");
  }

  async acquire(): Promise<void> {}

  async release(): Promise<void> {}

  onMessage(_partition: number, { path, payload }: DeviceMessage): undefined {
    if (/\/(accepted|rejected|delta|documents)$|^devices\//.test(path) && payload.length > 0)
      this.told.push({ path, document: JSON.parse(payload.toString("utf8")) });
  }

  /** The first that came on a topic and was not taken yet. */
  async next(path: string): Promise<Record<string, unknown>> {
    await until(path, () => this.told.some((one) => one.path === path));
    const at = this.told.findIndex((one) => one.path === path);
    return this.told.splice(at, 1)[0]!.document;
  }
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (thrown: unknown) => AppError.from(thrown).code,
  );

const DEVICE = { tenant: "", device: "boiler-7", name: "" };
const BASE = "$aws/things/boiler-7/shadow";

async function askedFor(client: ShadowClient): Promise<void> {
  await until("the owners of all partitions", async () => {
    const all = Array.from({ length: 32 }, (_, i) =>
      codeOf(client.get({ tenant: "", device: `x${i}`, name: "" })),
    );
    return (await Promise.all(all)).every((code) => code === "shadow.unknown");
  });
}

async function setUp(box: TestBox, settings: object = {}) {
  const answers = new Answers();
  const dispatcher = await box.dispatcher("core", settings, ({ devices }) => devices.desk.add(answers));
  await owning(dispatcher, PARTITIONS);
  const bus: Bus = await box.connect("asker");
  const client = new ShadowClient(bus, PARTITIONS);
  await askedFor(client);
  const producer = await box.producer();
  const update = (request: object, topic = `${BASE}/update`) =>
    producer.event("boiler-7", topic, JSON.stringify(request));
  return { answers, dispatcher, client, producer, update, bus };
}

const state = ({ json }: ShadowView): Record<string, unknown> => (JSON.parse(json) as { state: never }).state;

describe("a device's own shadow", () => {
  it("is made, read, changed and deleted on the topics of AWS IoT", async () => {
    await using box = await TestBox.open();
    const { answers, update, producer } = await setUp(box);
    await update({ state: { reported: { t: 20 }, desired: { t: 21, list: [1] } }, clientToken: "c1" });
    expect(await answers.next(`${BASE}/update/accepted`)).toEqual({
      state: { reported: { t: 20 }, desired: { t: 21, list: [1] } },
      metadata: {
        reported: { t: { timestamp: expect.any(Number) } },
        desired: { t: { timestamp: expect.any(Number) }, list: [{ timestamp: expect.any(Number) }] },
      },
      version: 1,
      timestamp: expect.any(Number),
      clientToken: "c1",
    });
    expect(await answers.next(`${BASE}/update/delta`)).toMatchObject({
      state: { t: 21, list: [1] },
      metadata: { t: { timestamp: expect.any(Number) } },
      version: 1,
      clientToken: "c1",
    });
    expect(await answers.next(`${BASE}/update/documents`)).toMatchObject({
      previous: { state: {}, version: 0 },
      current: { state: { desired: { t: 21 }, reported: { t: 20 } }, version: 1 },
    });
    await update({ state: { reported: { t: 21, list: [1] } }, version: 1 });
    expect(await answers.next(`${BASE}/update/accepted`)).toMatchObject({ version: 2 });
    await producer.event("boiler-7", `${BASE}/get`, "");
    const whole = await answers.next(`${BASE}/get/accepted`);
    expect(whole).toMatchObject({
      state: { desired: { t: 21 }, reported: { t: 21 } },
      metadata: { desired: { t: {} }, reported: { t: {} } },
      version: 2,
    });
    expect(whole).not.toHaveProperty("state.delta");
    await producer.event("boiler-7", `${BASE}/delete`, '{"version":2,"clientToken":"bye"}');
    expect(await answers.next(`${BASE}/delete/accepted`)).toMatchObject({ version: 3, clientToken: "bye" });
    await producer.event("boiler-7", `${BASE}/get`, "{}");
    expect(await answers.next(`${BASE}/get/rejected`)).toMatchObject({
      code: 404,
      message: "there is no shadow of boiler-7",
    });
  });

  it("has others beside it by name, each with its own version", async () => {
    await using box = await TestBox.open();
    const { answers, update, client } = await setUp(box);
    const path = `${BASE}/name/fan`;
    await update({ state: { desired: { speed: 3 } } }, `${path}/update`);
    expect(await answers.next(`${path}/update/accepted`)).toMatchObject({ version: 1 });
    await update({ state: { reported: { t: 1 } } });
    await answers.next(`${BASE}/update/accepted`);
    expect(await client.list("", "boiler-7")).toEqual(["", "fan"]);
    expect(state(await client.get({ ...DEVICE, name: "fan" }))).toEqual({
      desired: { speed: 3 },
      delta: { speed: 3 },
    });
    for (let i = 0; i < 32; i++) await update({ state: { desired: { i } } }, `${BASE}/name/n${i}/update`);
    expect(await answers.next(`${BASE}/name/n31/update/rejected`)).toMatchObject({ code: 413 });
    expect(await client.list("", "boiler-7")).toHaveLength(33);
  });

  const BAD: readonly [payload: string, code: number, message: string | RegExp][] = [
    ["{", 400, /no JSON/],
    ["[]", 400, "the request must be an object"],
    ["{}", 400, "state is missing"],
    ['{"state":[]}', 400, "state must be an object"],
    ['{"state":{"desired":1}}', 400, "state.desired must be an object"],
    ['{"state":{"wished":{}}}', 400, "state.wished is neither desired nor reported"],
    ['{"state":{"desired":{"a":1e999}}}', 400, "state.desired.a is beyond the numbers that can be kept"],
    [`{"state":{"desired":${'{"a":'.repeat(9)}1${"}".repeat(9)}}}`, 400, /deeper than 8 levels/],
    [`{"state":{"desired":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}}`, 400, /at most 64 levels/],
    ['{"state":{},"version":"1"}', 400, "version must be a whole number from 0"],
    ['{"state":{},"clientToken":7}', 400, "clientToken must be text of at most 64 bytes"],
    ['{"state":{"desired":{}},"version":9}', 409, "the shadow has version 0, not 9"],
    [`{"state":{"desired":{"a":"${"x".repeat(70_000)}"}}}`, 413, /65536 are taken/],
    [
      `{"state":{"reported":{${Array.from({ length: 3_000 }, (_, i) => `"k${i}":1`)}}}}`,
      400,
      /too many fields; 2048/,
    ],
  ];

  it("is refused with a code of AWS, and the path and rule that were broken, where a request is bad", async () => {
    await using box = await TestBox.open();
    const { answers, producer } = await setUp(box);
    for (const [payload, code, message] of BAD) {
      await producer.event("boiler-7", `${BASE}/update`, payload);
      const refused = await answers.next(`${BASE}/update/rejected`);
      expect(refused, payload.slice(0, 40)).toMatchObject({
        code,
        message: typeof message === "string" ? message : expect.stringMatching(message),
      });
    }
  });

  it("is out of reach for other devices", async () => {
    await using box = await TestBox.open();
    const { answers, producer, client, update } = await setUp(box);
    await producer.event("thief", `${BASE}/update`, '{"state":{"reported":{"t":99}}}');
    await update({ state: { reported: { t: 1 } } });
    await answers.next(`${BASE}/update/accepted`);
    expect(state(await client.get(DEVICE))).toEqual({ reported: { t: 1 } });
    expect(answers.told.filter(({ path }) => path.endsWith("rejected"))).toEqual([]);
  });
});

const profile: Resource = {
  apiVersion: "myelin.dev/v1alpha1",
  kind: "DeviceProfile",
  metadata: { name: "boiler" },
  spec: checkValue(deviceProfileKind.spec, {
    payloads: [{ format: "json" }],
    points: { temperature: { from: { field: "t" }, range: { max: 150 }, deadband: { absolute: 0.5 } } },
  }).value,
} as never;

describe("what a device measures", () => {
  it("is reported as its profile reads it, if it is good, and nothing that we say ourselves is", async () => {
    await using box = await TestBox.open();
    const { answers, dispatcher, client, producer, bus } = await setUp(box, { shadows: { gather: "50ms" } });
    await dispatcher.applyResources(snapshot(profile as never));
    const registry = new DeviceRegistryClient(bus, PARTITIONS);
    await registry.write({ device: { tenant: "", id: "boiler-7", profile: "boiler" }, expected: 0 });
    await until("the first report", async () => {
      producer.send("boiler-7", "up", '{"t":20}');
      return (await codeOf(client.get(DEVICE))) === "done";
    });
    await producer.event("boiler-7", "up", '{"t":200}');
    await producer.event("boiler-7", "up", '{"t":22}');
    await until("the last good value", async () => {
      const { reported } = state(await client.get(DEVICE)) as { reported: { temperature: number } };
      return reported.temperature === 22;
    });
    const { version } = await client.update(DEVICE, { desired: { temperature: 22.2 } });
    // Within the deadband: no device comes closer.
    expect(shadowJson(await client.get(DEVICE))).toMatchObject({ version, condition: { state: "synced" } });
    await client.update(DEVICE, { desired: { temperature: 30 } });
    expect(await answers.next(`${BASE}/update/delta`)).toMatchObject({ state: { temperature: 30 } });
    expect(shadowJson(await client.get(DEVICE))).toMatchObject({
      state: { delta: { temperature: 30 } },
      condition: { state: "unreachable", reason: "the device is not connected" },
    });
    expect(await answers.next("devices/boiler-7/shadow")).toMatchObject({ state: { desired: {} } });
    await producer.event("boiler-7", "up", '{"t":30}');
    await until("the device to follow", async () => {
      const { condition } = await client.get(DEVICE);
      return condition?.state === "synced";
    });
  });
});

describe("programs", () => {
  it("read, change, replace and delete what is desired, each for the version it means", async () => {
    await using box = await TestBox.open();
    const { client } = await setUp(box);
    expect(await codeOf(client.get(DEVICE))).toBe("shadow.unknown");
    expect(await codeOf(client.update(DEVICE, { desired: {}, expected: 3 }))).toBe("shadow.version_conflict");
    const made = await client.update(DEVICE, { desired: { a: { b: 1 }, c: 1 }, expected: 0 });
    expect(made).toMatchObject({ version: 1, isGone: false });
    const replaced = await client.update(DEVICE, { desired: { d: 1 }, replace: true, expected: 1 });
    expect(state(replaced)).toEqual({ desired: { d: 1 }, delta: { d: 1 } });
    expect(await codeOf(client.update(DEVICE, { desired: { d: 2 }, expected: 1 }))).toBe(
      "shadow.version_conflict",
    );
    expect(state(await client.update(DEVICE, { desired: null }))).toEqual({});
    expect(await codeOf(client.update(DEVICE, { desired: { x: [null] } }))).toBe("shadow.invalid");
    expect(await codeOf(client.get({ ...DEVICE, name: "a b" }))).toBe("shadow.invalid");
    expect(await codeOf(client.delete(DEVICE, 1))).toBe("shadow.version_conflict");
    expect(await client.delete(DEVICE, 3)).toMatchObject({ isGone: true });
    expect(await codeOf(client.delete(DEVICE))).toBe("shadow.unknown");
    expect(await client.list("", "boiler-7")).toEqual([]);
  });

  it("that change one shadow at once lose no update", async () => {
    await using box = await TestBox.open();
    const { client } = await setUp(box);
    await client.update(DEVICE, { desired: { n: 0 } });
    const add = async (): Promise<void> => {
      for (;;) {
        const now = await client.get(DEVICE);
        const { desired } = state(now) as { desired: { n: number } };
        const wish = { desired: { n: desired.n + 1 }, expected: now.version };
        const outcome = await codeOf(client.update(DEVICE, wish));
        if (outcome === "done") return;
        expect(["shadow.version_conflict", "limit.rate"]).toContain(outcome);
      }
    };
    await Promise.all(Array.from({ length: 10 }, add));
    expect(state(await client.get(DEVICE))).toMatchObject({ desired: { n: 10 } });
  });

  it("that watch see what there is and then each newest change, until it is gone", async () => {
    await using box = await TestBox.open();
    const { client, update } = await setUp(box);
    const ending = new AbortController();
    const seen: ShadowView[] = [];
    const watching = (async () => {
      for await (const view of client.watch(DEVICE, ending.signal)) seen.push(view);
    })();
    await until("nothing", () => seen.length === 1);
    expect(seen[0]).toMatchObject({ isGone: true, version: 0 });
    await client.update(DEVICE, { desired: { a: 1 } });
    await until("the change", () => seen.length === 2);
    await update({ state: { reported: { a: 1 } } });
    await until("the report", () => seen.length === 3);
    expect(state(seen[2]!)).toEqual({ desired: { a: 1 }, reported: { a: 1 } });
    await client.delete(DEVICE);
    await until("the end", () => seen.at(-1)?.isGone === true);
    ending.abort();
    await watching;
  });
});

describe("the store of shadows", () => {
  it("gives another owner all that was acknowledged, and what was measured before it was given up", async () => {
    await using box = await TestBox.open();
    const { client, dispatcher, update, answers } = await setUp(box);
    for (let i = 0; i < 20; i++)
      await client.update({ tenant: "", device: `d${i}`, name: "n" }, { desired: { i } });
    await update({ state: { reported: { t: 5 } } });
    await answers.next(`${BASE}/update/accepted`);
    const second = await box.dispatcher("second");
    await box.stop(dispatcher);
    await owning(second, PARTITIONS);
    await askedFor(client);
    for (let i = 0; i < 20; i++) {
      const found = await client.get({ tenant: "", device: `d${i}`, name: "n" });
      expect(found.version).toBe(1);
      expect(state(found)).toEqual({ desired: { i }, delta: { i } });
    }
    expect(state(await client.get(DEVICE))).toEqual({ reported: { t: 5 } });
  });

  it("goes on where it was when NATS comes back after it was killed", async () => {
    await using box = await TestBox.open();
    const { client } = await setUp(box);
    await client.update(DEVICE, { desired: { n: 1 } });
    await box.nats.kill();
    await box.nats.restart();
    let acknowledged = 1;
    await until("an update after the restart", async () => {
      const outcome = await codeOf(client.update(DEVICE, { desired: { n: acknowledged + 1 } }));
      if (outcome === "done") acknowledged += 1;
      return acknowledged > 1;
    });
    expect(state(await client.get(DEVICE))).toMatchObject({ desired: { n: acknowledged } });
  });

  it("loses no acknowledged change, and makes none twice, when dispatcher and NATS are killed in the middle", async () => {
    await using box = await TestBox.open();
    let owner = await box.child("core");
    const client = new ShadowClient(await box.connect("asker"), PARTITIONS);
    await askedFor(client);
    await client.update(DEVICE, { desired: { n: 0 }, expected: 0 });
    const counts = { made: 0, inDoubt: 0 };
    const ending = new AbortController();
    const addOne = async (): Promise<void> => {
      const now = await client.get(DEVICE);
      const { desired } = state(now) as { desired: { n: number } };
      const outcome = await codeOf(
        client.update(DEVICE, { desired: { n: desired.n + 1 }, expected: now.version }),
      );
      if (outcome === "done") counts.made += 1;
      else if (outcome !== "shadow.version_conflict" && outcome !== "limit.rate") counts.inDoubt += 1;
    };
    const writing = Array.from({ length: 2 }, async () => {
      while (!ending.signal.aborted) await addOne().catch(() => undefined);
    });
    for (const victim of ["dispatcher", "nats", "dispatcher"] as const) {
      const before = counts.made;
      await until("changes before the kill", () => counts.made > before + 20);
      if (victim === "nats") {
        await box.nats.kill();
        await box.nats.restart();
      } else {
        await owner.kill("SIGKILL");
        owner = await box.child("core");
      }
    }
    const before = counts.made;
    await until("changes after the last kill", () => counts.made > before + 5);
    ending.abort();
    await Promise.all(writing);
    const last = await client.get(DEVICE);
    const { desired } = state(last) as { desired: { n: number } };
    // A change whose answer was lost may have been made or not; each that was acknowledged was made once.
    expect(desired.n).toBeGreaterThanOrEqual(counts.made);
    expect(desired.n).toBeLessThanOrEqual(counts.made + counts.inDoubt);
    expect(last.version).toBe(desired.n + 1);
  });
});
