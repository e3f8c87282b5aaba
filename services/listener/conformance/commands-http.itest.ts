/** Commands from the HTTP API to devices that are connected by MQTT and HTTP, and back to VERIFIED. */
import { DeviceRegistryClient } from "@myelin/bus";
import { checkValue, deviceProfileKind } from "@myelin/config";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { World } from "./session-world.js";

const DEADLINE = { deadlineMs: 30_000 };
const PUMP = {
  apiVersion: "myelin.dev/v1alpha1",
  kind: "DeviceProfile",
  metadata: { name: "pump" },
  spec: checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["pumps/#"], format: "json" }],
    points: { speed: { from: { field: "speed" } } },
    commands: {
      set: {
        risk: "low",
        parameters: { speed: { type: "number" } },
        safety: { parameter: "speed", range: { max: 100 } },
        verify: { point: "speed", equals: { parameter: "speed" } },
      },
      beep: { risk: "read" },
    },
  }).value,
};

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly steps: readonly { readonly state: string; readonly cause?: string }[];
}

let world: World;
let rig: Rig;
let registry: DeviceRegistryClient;
const clients: MqttClient[] = [];
beforeAll(async () => {
  world = await World.open();
  const ports = { mqtt: { mqtt: {} }, http: { web: {} } };
  rig = world.stack.use(await startRig(ports, { nats: world.nats, instance: "listener-0" }));
  const core = await world.dispatcher("core");
  await core.applyResources({ revision: 1, resources: [PUMP] } as never);
  registry = new DeviceRegistryClient(rig.bus, PARTITIONS);
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await world[Symbol.asyncDispose]();
});

async function register(id: string, groups: readonly string[] = []): Promise<void> {
  const write = () => registry.write({ device: { tenant: "", id, profile: "pump", groups } });
  await waitFor(
    () =>
      write().then(
        () => true,
        () => false,
      ),
    { what: "the registry", ...DEADLINE },
  );
}

/** A pump that does as it is told, by MQTT; `speedOf` says what it reports. */
async function pump(id: string, speedOf = (asked: number): number => asked): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, { clientId: id });
  clients.push(client);
  const base = `$aws/commands/things/${id}/executions`;
  client.on("message", (topic, payload) => {
    if (!topic.includes("/request/")) return;
    const { parameters } = JSON.parse(payload.toString()) as { parameters: { speed?: number } };
    const execution = topic.split("/")[5];
    const answer = JSON.stringify({ status: "SUCCEEDED" });
    client.publish(`${base}/${execution}/response/json`, answer, { qos: 1 }, () => {
      const { speed } = parameters;
      if (speed !== undefined)
        client.publish(`pumps/${id}`, JSON.stringify({ speed: speedOf(speed) }), { qos: 1 });
    });
  });
  await client.subscribeAsync(`${base}/+/request/#`, { qos: 1 });
  return client;
}

async function api(
  path: string,
  init: { method?: string; body?: object; headers?: Record<string, string> } = {},
) {
  const { method = init.body === undefined ? "GET" : "POST", body, headers } = init;
  const response = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1/commands${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, text, type, json: () => JSON.parse(text) as Shown & { code?: string } };
}

describe("a command over HTTP", () => {
  it("is verified by a pump that obeys, and a mismatch by one that lies", async () => {
    await register("good");
    await register("liar");
    await pump("good");
    await pump("liar", () => 3);
    const body = { device: "good", command: "set", parameters: { speed: 40 } };
    const good = await api("?wait=verified&timeout=30s", { body });
    expect([good.status, good.json().state]).toEqual([200, "verified"]);
    expect(good.json().steps.map(({ state }) => state)).toEqual([
      "accepted",
      "routed",
      "delivered",
      "executed",
      "verified",
    ]);
    const liar = await api("?wait=verified&timeout=30s", { body: { ...body, device: "liar" } });
    expect([liar.json().state, liar.json().steps.at(-1)?.cause]).toEqual(["mismatch", "other_value"]);
  });

  it("is given to a device that fetches its messages by HTTP, and answered there", async () => {
    await register("fetching");
    const made = (await api("", { body: { device: "fetching", command: "beep" } })).json();
    const device = `http://127.0.0.1:${rig.port("web")}/api/v1/devices/fetching/messages`;
    const [message] = (await (await fetch(`${device}?wait=30s`)).json()) as {
      path: string;
      payload: { id: string };
    }[];
    expect(message?.payload.id).toBe(made.id);
    const answer = `${message?.path.replace("/request/", "/response/")}`;
    const sent = await fetch(`${device}/${answer}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ status: "SUCCEEDED" }),
    });
    expect(sent.status).toBe(202);
    const ended = await api(`/${made.id}?wait=executed&timeout=30s`);
    expect(ended.json().state).toBe("executed");
  });

  it("is made once for an idempotency key, and told step by step", async () => {
    await register("sleeper");
    const headers = { "idempotency-key": "k1" };
    const body = { device: "sleeper", command: "beep", ttl: "30s" };
    const first = await api("", { body, headers });
    const second = await api("", { body, headers });
    expect([first.status, second.json().id]).toEqual([202, first.json().id]);
    const { id } = first.json();
    const steps = api(`/${id}/steps`);
    await pump("sleeper");
    const told = await steps;
    expect(told.type).toContain("text/event-stream");
    const states = [...told.text.matchAll(/"state":"(\w+)"/g)].map(([, state]) => state);
    expect(states).toEqual(["accepted", "routed", "delivered", "executed"]);
    const listed = JSON.parse((await api("?device=sleeper&limit=1")).text) as { commands: Shown[] };
    expect(listed.commands.map((one) => one.id)).toEqual([id]);
  });

  it("is cancelled while the device is away, and not any more when it has ended", async () => {
    await register("away");
    const { id } = (await api("", { body: { device: "away", command: "beep" } })).json();
    const gone = await api(`/${id}`, { method: "DELETE" });
    expect([gone.status, gone.json().state]).toEqual([200, "rejected"]);
    const again = await api(`/${id}`, { method: "DELETE" });
    expect([again.status, again.json().code]).toEqual([409, "command.under_way"]);
  });

  it("goes to a group one device after the other, and stops when one has failed", async () => {
    for (const id of ["g1", "g2", "g3"]) await register(id, ["hall"]);
    await pump("g1");
    await pump("g2", () => 0);
    await pump("g3");
    const body = { group: "hall", command: "set", parameters: { speed: 5 }, rate: 0.5 };
    const { text, type } = await api("?wait=verified&timeout=30s", { body });
    expect(type).toContain("ndjson");
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { device: string; state: string; failed: boolean });
    expect(lines.map(({ device, state, failed }) => [device, state, failed])).toEqual([
      ["g1", "verified", false],
      ["g2", "mismatch", true],
    ]);
  });

  it.each<[number, string, object]>([
    [400, "protocol.malformed", []],
    [422, "command.invalid", { command: "beep" }],
    [422, "command.invalid", { device: "good", command: "set", parameters: { speed: "fast" } }],
    [422, "command.invalid", { device: "good", command: "beep", colour: "red" }],
    [422, "command.unsupported", { device: "good", command: "fly" }],
    [422, "command.unsupported", { device: "nobody", command: "beep" }],
    [403, "command.denied", { device: "good", command: "set", parameters: { speed: 101 } }],
  ])("is refused with %i %s", async (status, code, body) => {
    const refused = await api("", { body });
    expect([refused.status, refused.json().code]).toEqual([status, code]);
  });

  it("comes from the platform alone: who publishes one itself is not let through", async () => {
    await register("target");
    const target = await pump("target");
    let given = 0;
    target.on("message", () => {
      given += 1;
    });
    const path = "$aws/commands/things/target/executions/made-up/request/json";
    const url = `http://127.0.0.1:${rig.port("web")}/api/v1/devices/other/messages/${path}`;
    const headers = { "content-type": "application/json" };
    expect((await fetch(url, { method: "POST", headers, body: "{}" })).status).toBe(403);
    const real = await api("?wait=executed&timeout=30s", { body: { device: "target", command: "beep" } });
    expect([real.json().state, given]).toEqual(["executed", 1]);
  });

  it("that nobody knows is not found", async () => {
    expect((await api("/0-abcdefgh")).status).toBe(404);
    expect((await api("/nonsense")).status).toBe(404);
  });
});
