/** Flows over the HTTP API: their steps command devices that are connected by MQTT, and wait for what those say. */
import { DeviceRegistryClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, flowKind } from "@myelin/config";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
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
const PUMP = resource(
  "DeviceProfile",
  "pump",
  checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["pumps/#"], format: "json" }],
    points: { speed: { from: { field: "speed" } } },
    commands: {
      set: {
        risk: "low",
        parameters: { speed: { type: "number" } },
        safety: { parameter: "speed", range: { max: 100 } },
        verify: { point: "speed", equals: { parameter: "speed" } },
      },
    },
  }).value,
);
const set = (speed: string) => ({
  command: { device: `\${input.pump}`, name: "set", parameters: { speed } },
});
const FLOW = resource(
  "Flow",
  "fill",
  checkValue(flowKind.spec, {
    input: { pump: {}, speed: { type: "number" } },
    steps: {
      run: { do: set(`\${input.speed}`), outputs: { came: "result.state" }, undo: { do: set(`\${0}`) } },
      full: {
        dependsOn: ["run"],
        do: { wait: { event: { device: `\${input.pump}`, topics: ["tanks/+"], when: "payload.full" } } },
      },
      stop: { dependsOn: ["full"], do: set(`\${0}`) },
    },
    outputs: { came: "steps.run.came" },
  }).value,
);

interface Shown {
  readonly id: string;
  readonly status: string;
  readonly code?: string;
  readonly outputs: object;
  readonly steps: readonly { readonly name: string; readonly status: string }[];
  readonly runs: readonly Shown[];
}

let world: World;
let rig: Rig;
let device: MqttClient;
const speeds: number[] = [];

beforeAll(async () => {
  world = await World.open();
  const ports = { mqtt: { mqtt: {} }, http: { web: {} } };
  rig = world.stack.use(await startRig(ports, { nats: world.nats, instance: "listener-0" }));
  const core = await world.dispatcher("core");
  await core.applyResources({ revision: 1, resources: [PUMP, FLOW] } as never);
  const registry = new DeviceRegistryClient(rig.bus, PARTITIONS);
  const write = () => registry.write({ device: { tenant: "", id: "p1", profile: "pump" } });
  await waitFor(
    () =>
      write().then(
        () => true,
        () => false,
      ),
    { what: "the registry", ...DEADLINE },
  );
  device = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, { clientId: "p1" });
  const base = "$aws/commands/things/p1/executions";
  device.on("message", (topic, payload) => {
    if (!topic.includes("/request/")) return;
    const { parameters } = JSON.parse(payload.toString()) as { parameters: { speed: number } };
    speeds.push(parameters.speed);
    const answer = JSON.stringify({ status: "SUCCEEDED" });
    device.publish(`${base}/${topic.split("/")[5]}/response/json`, answer, { qos: 1 }, () => {
      device.publish("pumps/p1", JSON.stringify({ speed: parameters.speed }), { qos: 1 });
    });
  });
  await device.subscribeAsync(`${base}/+/request/#`, { qos: 1 });
});
afterAll(async () => {
  device.end(true);
  await world[Symbol.asyncDispose]();
});

async function api(
  path: string,
  init: { method?: string; body?: object | string; headers?: Record<string, string> } = {},
) {
  const { method = init.body === undefined ? "GET" : "POST", body, headers } = init;
  const response = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1${path}`, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, json: () => JSON.parse(text) as Shown };
}

const start = (speed: number, key?: string) =>
  api("/flows/fill/runs", {
    body: { input: { pump: "p1", speed } },
    headers: key === undefined ? {} : { "idempotency-key": key },
  });

const stepOf = async (id: string, name: string): Promise<string | undefined> =>
  (await api(`/flow-runs/${id}`)).json().steps.find((step) => step.name === name)?.status;

describe("a flow over HTTP", () => {
  it("is listed, started once for a key, followed as events, and commands its device to VERIFIED", async () => {
    expect((await api("/flows")).json()).toMatchObject({
      flows: [{ name: "fill", inputs: [{ name: "pump" }, { name: "speed", type: "number" }] }],
    });
    const made = await start(40, "one");
    expect(made.status).toBe(202);
    const { id } = made.json();
    expect((await start(40, "one")).json().id).toBe(id);
    const progress = api(`/flow-runs/${id}/progress`);
    await waitFor(async () => (await stepOf(id, "full")) === "running", { what: "the wait", ...DEADLINE });
    await waitFor(
      async () => {
        await device.publishAsync("tanks/1", '{"full":true}', { qos: 1 });
        return (await api(`/flow-runs/${id}`)).json().status === "succeeded";
      },
      { what: "the end of the run", ...DEADLINE },
    );
    const events = (await progress).text.split("\n").filter((line) => line.startsWith("data: "));
    const last = JSON.parse(events.at(-1)?.slice(6) ?? "") as Shown;
    expect([last.status, last.outputs, speeds]).toEqual(["succeeded", { came: "verified" }, [40, 0]]);
    expect(events.length).toBeGreaterThan(1);
    expect((await api("/flow-runs?flow=fill&status=succeeded")).json().runs.map((run) => run.id)).toEqual([
      id,
    ]);
  });

  it("is cancelled, and undoes what it did", async () => {
    speeds.length = 0;
    const { id } = (await start(50)).json();
    await waitFor(async () => (await stepOf(id, "full")) === "running", { what: "the wait", ...DEADLINE });
    expect((await api(`/flow-runs/${id}`, { method: "DELETE" })).status).toBe(200);
    await waitFor(async () => (await api(`/flow-runs/${id}`)).json().status === "cancelled", {
      what: "the end of the run",
      ...DEADLINE,
    });
    expect(speeds).toEqual([50, 0]);
    expect((await api(`/flow-runs/${id}`, { method: "DELETE" })).json().code).toBe("flow.ended");
  });

  it("fails where the safety envelope of the device denies the command", async () => {
    speeds.length = 0;
    const { id } = (await start(400)).json();
    await waitFor(async () => (await api(`/flow-runs/${id}`)).json().status === "failed", {
      what: "the end of the run",
      ...DEADLINE,
    });
    expect((await api(`/flow-runs/${id}`)).text).toContain("command.denied");
    expect(speeds).toEqual([]);
  });

  it.each([
    ["/flows/none/runs", { input: {} }, 404, "flow.unknown"],
    ["/flows/fill/runs", { input: { pump: "p1" } }, 422, "flow.invalid"],
    ["/flows/fill/runs", { inputs: {} }, 400, "protocol.malformed"],
    ["/flows/fill/runs", "{", 400, "protocol.malformed"],
    ["/flow-runs/0-000000000000000000000000", undefined, 404, "flow.unknown"],
    ["/flow-runs/x", undefined, 404, "flow.unknown"],
    ["/flow-runs?status=lost", undefined, 400, "protocol.malformed"],
    ["/flow-runs?cursor=lost", undefined, 400, "protocol.malformed"],
  ])("is refused where it makes no sense: %s", async (path, body, status, code) => {
    const answer = await api(path, body === undefined ? {} : { body });
    expect([answer.status, answer.json().code]).toEqual([status, code]);
  });
});
