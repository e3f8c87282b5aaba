/** Who is connected, as the registry of devices tells it. */
import { type DevicePresence, DeviceRegistryClient } from "@myelin/bus";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { World } from "./session-world.js";

const PORTS = { mqtt: { mqtt: {} }, http: { web: {} } };
const DEADLINE = { deadlineMs: 30_000 };

let world: World;
let rigs: readonly [Rig, Rig];
let registry: DeviceRegistryClient;
let core: Awaited<ReturnType<World["dispatcher"]>>;
const events: string[] = [];
const clients: MqttClient[] = [];
beforeAll(async () => {
  world = await World.open();
  const listener = async (instance: string): Promise<Rig> =>
    world.stack.use(await startRig(PORTS, { nats: world.nats, instance }));
  rigs = [await listener("listener-0"), await listener("listener-1")];
  registry = new DeviceRegistryClient(rigs[0].bus, PARTITIONS);
  await dispatcher("core", "1h");
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await world[Symbol.asyncDispose]();
});

async function dispatcher(instance: string, offlineAfter: string): Promise<void> {
  core = await world.dispatcher(instance, { registry: { offlineAfter } });
  core.devices.registry.onPresence(({ device, presence }) =>
    events.push(`${device} ${presence.online ? "online" : "offline"}`),
  );
  const isThere = (): Promise<boolean> =>
    registry.list({ tenant: "", limit: 1 }).then(
      () => true,
      () => false,
    );
  await waitFor(isThere, { what: "the registry", ...DEADLINE });
}

async function connect(rig: Rig, clientId: string): Promise<MqttClient> {
  const options = { clientId, reconnectPeriod: 0, connectTimeout: 9_000 };
  const client = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, options);
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

const presenceOf = async (id: string): Promise<DevicePresence | undefined> =>
  (await registry.get("", id)).presence;

async function until(id: string, online: boolean): Promise<DevicePresence> {
  return waitFor(
    async () => {
      const presence = await presenceOf(id);
      return presence?.online === online ? presence : undefined;
    },
    { what: `${id} to be ${online ? "online" : "offline"}`, ...DEADLINE },
  );
}

const listed = async (presence: "online" | "offline", idPrefix: string): Promise<string[]> =>
  (await registry.list({ tenant: "", limit: 100, idPrefix, presence })).devices.map(({ id }) => id);

it("is not changed by a device that is back at once, here or on another listener", async () => {
  await registry.write({ device: { tenant: "", id: "flaps" } });
  let client = await connect(rigs[0], "flaps");
  const first = await until("flaps", true);
  for (let i = 0; i < 4; i++) {
    await client.endAsync();
    client = await connect(rigs[(i + 1) % 2]!, "flaps");
  }
  // A change behind it in the same partition's order shows that all of it was seen.
  await registry.write({ device: { tenant: "", id: "flaps", description: "x" } });
  await connect(rigs[1], "flaps");
  expect(await presenceOf("flaps")).toEqual(first);
  expect(events.filter((event) => event.startsWith("flaps"))).toEqual(["flaps online"]);
});

it("is known of a device that was connected before it was registered", async () => {
  await connect(rigs[1], "early");
  await waitFor(() => [...core.core.partitions.values()].some(({ devices }) => devices.has("\0early")), {
    what: "the connection to be known",
    ...DEADLINE,
  });
  await registry.write({ device: { tenant: "", id: "early" } });
  expect((await until("early", true)).online).toBe(true);
});

it("changes the entity tag, and not what If-Match looks at", async () => {
  const url = `http://127.0.0.1:${rigs[0].port("web")}/api/v1/devices/tagged`;
  const request = (method: string, headers: Record<string, string>) =>
    fetch(url, {
      method,
      headers: { "content-type": "application/json", ...headers },
      ...(method !== "GET" && { body: "{}" }),
    });
  await registry.write({ device: { tenant: "", id: "tagged" } });
  const before = (await request("GET", {})).headers.get("etag")!;
  await connect(rigs[0], "tagged");
  await until("tagged", true);
  const shown = await request("GET", { "if-none-match": before });
  expect(shown.status).toBe(200);
  expect(await shown.json()).toMatchObject({ presence: { state: "online", protocol: "mqtt" } });
  const now = shown.headers.get("etag")!;
  expect((await request("GET", { "if-none-match": now })).status).toBe(304);
  expect((await request("PATCH", { "if-match": before })).status).toBe(200);
  expect((await request("PATCH", { "if-match": now })).status).toBe(412);
});

it("is told of devices of the registry: since when, over what, from where, and when they were last seen", async () => {
  await core.stop();
  await dispatcher("core-1", "0s");
  events.length = 0;
  await registry.writeAll(["a1", "a2"].map((id) => ({ device: { tenant: "", id } })));
  expect(await presenceOf("a1")).toBeUndefined();
  expect(await listed("offline", "a")).toEqual(["a1", "a2"]);
  const beforeMs = Date.now() - 1;
  const client = await connect(rigs[0], "a1");
  await connect(rigs[0], "unregistered");
  const online = await until("a1", true);
  expect(online).toMatchObject({ protocol: "mqtt", address: "127.0.0.1" });
  expect(online.sinceMs).toBeGreaterThanOrEqual(beforeMs);
  expect(online.seenMs).toBeUndefined();
  expect([await listed("online", "a"), await listed("offline", "a")]).toEqual([["a1"], ["a2"]]);
  await registry.patch("", "a1", { groups: ["g"] });
  expect(await listed("online", "a")).toEqual(["a1"]);
  await client.endAsync();
  const offline = await until("a1", false);
  expect(offline.sinceMs).toBe(offline.seenMs);
  expect(await listed("online", "a")).toEqual([]);
  expect(events.filter((event) => event.startsWith("a"))).toEqual(["a1 online", "a1 offline"]);
});

it("outlives the owner: who stayed is online since when it was, who went meanwhile is offline", async () => {
  await registry.writeAll(["stays", "leaves", "left"].map((id) => ({ device: { tenant: "", id } })));
  await connect(rigs[0], "stays");
  const leaves = await connect(rigs[0], "leaves");
  const left = await connect(rigs[0], "left");
  const stays = await until("stays", true);
  await Promise.all([until("leaves", true), until("left", true)]);
  await left.endAsync();
  const gone = await until("left", false);
  await core.stop();
  await leaves.endAsync();
  events.length = 0;
  await dispatcher("core-2", "0s");
  expect(await presenceOf("stays")).toEqual(stays);
  expect(await presenceOf("left")).toEqual(gone);
  await until("leaves", false);
  expect(events.filter((event) => !event.startsWith("leaves"))).toEqual([]);
});
