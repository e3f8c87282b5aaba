import { createHmac } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { AlarmClient, type Bus, DeviceRegistryClient, ShadowClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, type Resource, ruleKind } from "@myelin/config";
import { tempDir, waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { DispatcherService } from "../src/index.js";
import { PARTITIONS, type Producer, TestBox } from "./support/box.js";
import { owning, route, snapshot } from "./support/steps.js";

const DEADLINE_MS = 20_000;

const resource = (kind: "DeviceProfile" | "Rule", name: string, spec: unknown): Resource<"Route"> =>
  ({ apiVersion: "myelin.dev/v1alpha1", kind, metadata: { name }, spec }) as never;

const BOILER = resource(
  "DeviceProfile",
  "boiler",
  checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["boilers/#"], format: "json" }],
    points: { temperature: { unit: "Cel", from: { field: "t" }, range: { max: 150 } } },
  }).value,
);

const rule = (name: string, spec: object): Resource<"Route"> =>
  resource("Rule", name, checkValue(ruleKind.spec, spec).value);

interface World {
  readonly dispatcher: DispatcherService;
  readonly producer: Producer;
  readonly alarms: AlarmClient;
  readonly bus: Bus;
}

async function setUp(box: TestBox, ...resources: readonly Resource<"Route">[]): Promise<World> {
  const dispatcher = await box.dispatcher("core", {});
  await dispatcher.applyResources(snapshot(BOILER, ...resources));
  await owning(dispatcher, PARTITIONS);
  const bus = await box.connect("asker");
  const registry = new DeviceRegistryClient(bus, PARTITIONS);
  await waitFor(
    () =>
      registry.write({ device: { tenant: "", id: "b1", profile: "boiler" } }).then(
        () => true,
        () => false,
      ),
    { what: "the registry", deadlineMs: DEADLINE_MS },
  );
  return { dispatcher, producer: await box.producer(), alarms: new AlarmClient(bus, PARTITIONS), bus };
}

const list = async (alarms: AlarmClient) =>
  (await alarms.list({ tenant: "", limit: 10 }).catch(() => ({ alarms: [] }))).alarms;

/** Alarms as soon as there are some of that state. */
async function standing(alarms: AlarmClient, state: string) {
  await waitFor(async () => (await list(alarms)).some((one) => one.state === state), {
    what: `an alarm that is ${state}`,
    deadlineMs: DEADLINE_MS,
  });
  return await list(alarms);
}

describe("rules on a dispatcher", () => {
  it("raise an alarm for a sample, keep it for whoever asks, and end it", async () => {
    await using box = await TestBox.open();
    const hot = rule("hot", {
      trigger: { points: ["temperature"] },
      when: "temperature > 80",
      clear: { when: "temperature < 75" },
      severity: "major",
      actions: [{ alarm: { message: `at ${"$"}{temperature} Cel` } }],
    });
    const { producer, alarms } = await setUp(box, hot);
    for (const t of [70, 91, 79]) await producer.event("b1", "boilers/b1", JSON.stringify({ t }));
    const [alarm] = await standing(alarms, "raised");
    expect(alarm).toMatchObject({
      device: "b1",
      rule: "hot",
      severity: "major",
      message: "at 91 Cel",
      count: 1,
    });
    const { id } = alarm!;
    expect(await alarms.change("", id, "acknowledged", { who: "ann" })).toMatchObject({
      acknowledgedBy: "ann",
    });
    expect(await alarms.get("", id)).toMatchObject({ state: "acknowledged" });
    await producer.event("b1", "boilers/b1", '{"t":60}');
    expect(await standing(alarms, "cleared")).toMatchObject([{ id, clearedBy: "" }]);
    await expect(alarms.change("", "0-1-999", "cleared", { who: "ann" })).rejects.toMatchObject({
      code: "alarm.unknown",
    });
  });

  it("post to a webhook, signed, again until it is taken", async () => {
    await using box = await TestBox.open();
    const posts: { headers: Record<string, unknown>; body: string }[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += String(chunk);
      });
      request.on("end", () => {
        posts.push({ headers: request.headers, body });
        response.writeHead(posts.length === 1 ? 503 : 204).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
      await using folder = await tempDir("rules");
      const fromFile = join(folder.path, "hook");
      await writeFile(fromFile, secret);
      const hook = rule("hook", {
        trigger: { event: { topics: ["doors/+"] } },
        values: { state: { field: "state" } },
        when: "state == 'open'",
        actions: [{ webhook: { url: `http://127.0.0.1:${port}/`, secret: { fromFile } } }],
      });
      const { producer } = await setUp(box, hook);
      for (const state of ["shut", "open"]) await producer.event("d7", "doors/7", JSON.stringify({ state }));
      await waitFor(() => posts.length === 2, { what: "two tries", deadlineMs: DEADLINE_MS });
      const { headers, body } = posts[1]!;
      expect(JSON.parse(body)).toMatchObject({ rule: "hook", device: "d7", values: { state: "open" } });
      expect(headers["webhook-id"]).toBe(posts[0]!.headers["webhook-id"]);
      const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
      const key = Buffer.from(secret.slice(6), "base64");
      expect(headers["webhook-signature"]).toBe(
        `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
      );
    } finally {
      server.close();
    }
  });

  it("publish what other rules and routes get, and stop one that leads to itself", async () => {
    await using box = await TestBox.open();
    const first = rule("first", {
      trigger: { event: { topics: ["in", "again"] } },
      actions: [{ publish: { topic: "out", payload: { from: `${"$"}{device}` } } }],
    });
    const second = rule("second", {
      trigger: { event: { topics: ["out"] } },
      actions: [{ publish: { topic: "again" } }],
    });
    const out = route("out", { match: { topics: ["out"] }, targets: [{ nats: "seen.out" }] });
    const { producer, dispatcher, bus } = await setUp(box, first, second, out);
    const seen: string[] = [];
    const monitor = await box.connect("monitor");
    monitor.subscribe("seen.out", (data) => seen.push(Buffer.from(data).toString()));
    await bus.flush();
    await monitor.flush();
    await producer.event("d1", "in", "{}");
    const condition = () => dispatcher.resources.conditions().find(({ name }) => name === "first");
    await waitFor(() => condition()?.reason === "Loop", { what: "the loop", deadlineMs: DEADLINE_MS });
    expect(condition()?.message).toContain("first → second → first");
    await waitFor(() => seen.length > 0, { what: "what was published", deadlineMs: DEADLINE_MS });
    expect(seen).toEqual(['{"from":"d1"}']);
  });

  it("look at shadows and set what is desired in them", async () => {
    await using box = await TestBox.open();
    const fan = rule("fan", {
      trigger: { shadow: {} },
      values: { valve: { field: "state.reported.valve" } },
      when: "valve == 'stuck'",
      fires: "once",
      actions: [{ shadow: { desired: { fan: "on", seen: `${"$"}{valve}` } } }],
    });
    const { producer, bus } = await setUp(box, fan);
    const reported = { state: { reported: { valve: "stuck" } } };
    await producer.event("s1", "$aws/things/s1/shadow/update", JSON.stringify(reported));
    const shadows = new ShadowClient(bus, PARTITIONS);
    const desired = async () =>
      (JSON.parse((await shadows.get({ tenant: "", device: "s1", name: "" })).json) as { state: object })
        .state;
    await waitFor(
      () =>
        desired().then(
          (state) => "desired" in state,
          () => false,
        ),
      {
        what: "what is desired",
        deadlineMs: DEADLINE_MS,
      },
    );
    expect(await desired()).toMatchObject({ desired: { fan: "on", seen: "stuck" } });
  });

  it("go on with another dispatcher where the first one was", async () => {
    await using box = await TestBox.open();
    const late = rule("late", {
      trigger: { points: ["temperature"] },
      when: "temperature > 80",
      for: "2s",
      actions: [{ alarm: {} }],
    });
    const { producer, dispatcher, alarms } = await setUp(box, late);
    await producer.event("b1", "boilers/b1", '{"t":90}');
    await waitFor(() => [...dispatcher.rules.shards()].some(({ engine }) => engine.size > 0), {
      what: "the sample in the engine",
      deadlineMs: DEADLINE_MS,
    });
    const heir = await box.dispatcher("heir", {});
    await heir.applyResources(snapshot(BOILER, late));
    await box.stop(dispatcher);
    await owning(heir, PARTITIONS);
    expect(await standing(alarms, "raised")).toMatchObject([{ rule: "late", device: "b1", count: 1 }]);
  });

  it("that are wrong are refused by name and path, and the last good version stays", async () => {
    await using box = await TestBox.open();
    const good = { trigger: { points: ["temperature"] }, when: "temperature > 80", actions: [{ alarm: {} }] };
    const { dispatcher, producer, alarms } = await setUp(box, rule("hot", good));
    const bad = rule("hot", { ...good, when: "temperature >" });
    await dispatcher.applyResources(snapshot(BOILER, bad));
    expect(dispatcher.resources.conditions().find(({ name }) => name === "hot")).toMatchObject({
      status: false,
      reason: "rule.invalid",
      message: expect.stringMatching(/rule hot: spec\.when: .*an earlier version is in force/),
    });
    expect(await dispatcher.resources.check([bad])).toMatchObject([{ kind: "Rule", name: "hot" }]);
    await producer.event("b1", "boilers/b1", '{"t":90}');
    expect(await standing(alarms, "raised")).toHaveLength(1);
  });

  it("that name what their profile does not have are refused before they are applied, and say so where they were not asked for", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("core", {});
    const misspelt = rule("hot", {
      profiles: ["boiler"],
      trigger: { points: ["temprature"] },
      actions: [{ alarm: {} }],
    });
    const message =
      "rule hot: spec.trigger.points[0]: temprature is no point of boiler, did you mean temperature?";
    expect(await dispatcher.resources.check([BOILER, misspelt])).toMatchObject([
      { kind: "Rule", name: "hot", error: { code: "rule.invalid", message } },
    ]);
    const told = () => dispatcher.resources.conditions().find(({ name }) => name === "hot");
    await dispatcher.applyResources(snapshot(misspelt));
    expect(told()).toMatchObject({ status: true });
    await dispatcher.applyResources(snapshot(BOILER, misspelt));
    expect(told()).toMatchObject({ status: false, reason: "UnknownName", message });
  });
});
