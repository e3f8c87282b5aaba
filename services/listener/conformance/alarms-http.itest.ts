/** Alarms over the HTTP API: rules raise them for what devices say by MQTT, and end them. */
import { DeviceRegistryClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, ruleKind } from "@myelin/config";
import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { World } from "./session-world.js";

const DEADLINE = { deadlineMs: 30_000 };
const resource = (kind: string, name: string, spec: unknown) => ({
  apiVersion: "myelin.dev/v1alpha1",
  kind,
  metadata: { name },
  spec,
});
const BOILER = resource(
  "DeviceProfile",
  "boiler",
  checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["boilers/#"], format: "json" }],
    points: { temperature: { unit: "Cel", from: { field: "t" } } },
  }).value,
);
const rule = (name: string, spec: object) => resource("Rule", name, checkValue(ruleKind.spec, spec).value);
const HOT = rule("hot", {
  trigger: { points: ["temperature"] },
  when: "temperature > 80",
  clear: { when: "temperature < 75" },
  severity: "major",
  actions: [{ alarm: { message: `at ${"$"}{temperature} Cel` } }],
});
const COLD = rule("cold", {
  trigger: { points: ["temperature"] },
  when: "temperature < 5",
  severity: "info",
  actions: [{ alarm: {} }],
});

interface Shown {
  readonly id: string;
  readonly device: string;
  readonly rule: string;
  readonly state: string;
  readonly code?: string;
  readonly next?: string;
  readonly alarms: readonly Shown[];
}

let world: World;
let rig: Rig;

beforeAll(async () => {
  world = await World.open();
  const ports = { mqtt: { mqtt: {} }, http: { web: {} } };
  rig = world.stack.use(await startRig(ports, { nats: world.nats, instance: "listener-0" }));
  const core = await world.dispatcher("core");
  await core.applyResources({ revision: 1, resources: [BOILER, HOT, COLD] } as never);
  const registry = new DeviceRegistryClient(rig.bus, PARTITIONS);
  for (const id of ["b1", "b2", "b3"]) {
    const write = () => registry.write({ device: { tenant: "", id, profile: "boiler" } });
    await waitFor(
      () =>
        write().then(
          () => true,
          () => false,
        ),
      { what: "the registry", ...DEADLINE },
    );
  }
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function api(path: string, init: { method?: string; body?: object | string } = {}) {
  const { method = init.body === undefined ? "GET" : "POST", body } = init;
  const response = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1${path}`, {
    method,
    ...(body !== undefined && {
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return { status: response.status, json: () => JSON.parse(text) as Shown };
}

async function says(id: string, ...temperatures: readonly number[]): Promise<void> {
  const device = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, { clientId: id });
  for (const t of temperatures) await device.publishAsync(`boilers/${id}`, JSON.stringify({ t }), { qos: 1 });
  await device.endAsync();
}

const found = async (query: string) => (await api(`/alarms${query}`)).json().alarms;

/** The alarms of this list as soon as there are so many. */
async function standing(query: string, count = 1): Promise<readonly Shown[]> {
  await waitFor(async () => (await found(query)).length === count, {
    what: `${count} alarms of ${query}`,
    ...DEADLINE,
  });
  return await found(query);
}

describe("alarms over HTTP", () => {
  it("are raised by a rule, acknowledged by an operator, and cleared by the rule when it is over", async () => {
    await says("b1", 70, 91);
    const [alarm] = await standing("?device=b1&state=raised");
    expect(alarm).toMatchObject({ rule: "hot", severity: "major", message: "at 91 Cel", count: 1 });
    const path = `/alarms/${alarm!.id}`;
    const note = "the valve is stuck";
    const seen = await api(`${path}/acknowledge`, { body: { note } });
    expect([seen.status, seen.json()]).toMatchObject([200, { state: "acknowledged", note }]);
    expect((await api(path)).json()).toMatchObject({ state: "acknowledged", note });
    await says("b1", 79, 60);
    await standing("?device=b1&state=cleared");
    const over = (await api(path)).json();
    expect(over).toMatchObject({ state: "cleared", note });
    expect(over).not.toHaveProperty("clearedBy");
    expect((await api(`${path}/acknowledge`, { method: "POST" })).json().code).toBe("alarm.over");
  });

  it("are cleared by an operator, after which the rule raises another one", async () => {
    await says("b2", 91);
    const [alarm] = await standing("?device=b2&state=raised");
    const cleared = await api(`/alarms/${alarm!.id}/clear`, { method: "POST" });
    expect([cleared.status, cleared.json().state]).toEqual([200, "cleared"]);
    await says("b2", 60, 95);
    const [again] = await standing("?device=b2&state=raised");
    expect(again!.id).not.toBe(alarm!.id);
  });

  it("are listed page by page, and by device, rule, state and severity", async () => {
    await says("b3", 1);
    await standing("?device=b3");
    const all = await found("");
    const seen: string[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined; ) {
      const page = (await api(`/alarms?limit=1&cursor=${cursor}`)).json() as Shown;
      seen.push(...page.alarms.map(({ id }) => id));
      cursor = page.next;
    }
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(new Set(seen).size).toBe(4);
    expect((await found("?rule=cold")).map((one) => one.device)).toEqual(["b3"]);
    expect((await found("?severity=major&state=raised,acknowledged")).map((one) => one.device)).toEqual([
      "b2",
    ]);
    expect(await found("?tenant=other")).toEqual([]);
  });

  it("are told live, those that stand first, then each change", async () => {
    const [stands] = await standing("?device=b2&state=raised");
    const ending = new AbortController();
    const url = `http://127.0.0.1:${rig.port("web")}/api/v1/alarms/changes?device=b2&severity=major`;
    const response = await fetch(url, { signal: ending.signal });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const told: Shown[] = [];
    let text = "";
    const reading = (async () => {
      for await (const chunk of response.body!) {
        text += Buffer.from(chunk).toString();
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const data = /^event: alarm\ndata: (.*)$/.exec(text.slice(0, end))?.[1];
          text = text.slice(end + 2);
          if (data !== undefined) told.push(JSON.parse(data) as Shown);
        }
      }
    })().catch(() => undefined);
    await waitFor(() => told.length === 1, { what: "the alarm that stands", ...DEADLINE });
    await api(`/alarms/${stands!.id}/acknowledge`, { method: "POST" });
    await waitFor(() => told.length === 2, { what: "the acknowledgement", ...DEADLINE });
    await says("b2", 60);
    await waitFor(() => told.length === 3, { what: "the end", ...DEADLINE });
    expect(told.map(({ id, state }) => [id, state])).toEqual(
      ["raised", "acknowledged", "cleared"].map((state) => [stands!.id, state]),
    );
    ending.abort();
    await reading;
  });

  it.each([
    ["/alarms/changes?severity=none", undefined, 400, "protocol.malformed"],
    ["/alarms/0-1-999", undefined, 404, "alarm.unknown"],
    ["/alarms/x", undefined, 404, "alarm.unknown"],
    ["/alarms/0-1-999/acknowledge", {}, 404, "alarm.unknown"],
    ["/alarms/0-1-999/clear", { why: "so" }, 400, "protocol.malformed"],
    ["/alarms/0-1-999/clear", { note: 7 }, 400, "protocol.malformed"],
    ["/alarms/0-1-999/clear", "{", 400, "protocol.malformed"],
    ["/alarms?state=lost", undefined, 400, "protocol.malformed"],
    ["/alarms?severity=none", undefined, 400, "protocol.malformed"],
    ["/alarms?limit=501", undefined, 400, "protocol.malformed"],
    ["/alarms?cursor=lost", undefined, 400, "protocol.malformed"],
  ])("are refused where the request makes no sense: %s %j", async (path, body, status, code) => {
    const answer = await api(path, body === undefined ? {} : { body });
    expect([answer.status, answer.json().code]).toEqual([status, code]);
  });

  it("stand in the OpenAPI document", async () => {
    const { paths } = (await api("/openapi.json")).json() as unknown as { paths: object };
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        "/api/v1/alarms",
        "/api/v1/alarms/changes",
        "/api/v1/alarms/{alarmId}",
        "/api/v1/alarms/{alarmId}/acknowledge",
        "/api/v1/alarms/{alarmId}/clear",
      ]),
    );
  });
});
