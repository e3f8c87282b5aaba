/** Devices that may not connect: refused by every protocol, and sent away from wherever they are. */
import { createSocket } from "node:dgram";
import { DeviceRegistryClient } from "@myelin/bus";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { McpPeer } from "../test/mcp-peer.js";
import { World } from "./session-world.js";

const PORTS = { mqtt: { mqtt: {} }, http: { web: {} }, tcp: { frames: {} }, udp: { gram: {} } };
const DEADLINE = { deadlineMs: 20_000 };

let world: World;
let rigs: readonly [Rig, Rig];
let core: Awaited<ReturnType<World["dispatcher"]>>;
let registry: DeviceRegistryClient;
const clients: MqttClient[] = [];
beforeAll(async () => {
  world = await World.open();
  const listener = async (instance: string): Promise<Rig> =>
    world.stack.use(await startRig(PORTS, { nats: world.nats, instance }));
  rigs = [await listener("listener-0"), await listener("listener-1")];
  core = await world.dispatcher("core", { registry: { keepDeleted: "0s" } });
  registry = new DeviceRegistryClient(rigs[0].bus, PARTITIONS);
  const isThere = (): Promise<boolean> =>
    registry.list({ tenant: "", limit: 1 }).then(
      () => true,
      () => false,
    );
  await waitFor(isThere, { what: "the registry", ...DEADLINE });
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await world[Symbol.asyncDispose]();
});

async function connect(rig: Rig, clientId: string, protocolVersion: 4 | 5 = 5): Promise<MqttClient> {
  const options = { clientId, protocolVersion, reconnectPeriod: 0, connectTimeout: 9_000 };
  const client = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, options);
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

const refusal = (rig: Rig, clientId: string, version: 4 | 5): Promise<unknown> =>
  connect(rig, clientId, version).then(
    () => "let in",
    (error: { code?: number }) => error.code,
  );

const post = async (rig: Rig, device: string): Promise<number> => {
  const url = `http://127.0.0.1:${rig.port("web")}/api/v1/devices/${device}/messages/a`;
  return (await fetch(url, { method: "POST", body: "1", headers: { "content-type": "application/json" } }))
    .status;
};

const webSocket = (rig: Rig, device: string): Promise<number> =>
  new Promise((resolve) => {
    const ws = new WebSocket(`ws://127.0.0.1:${rig.port("web")}/api/v1/devices/${device}/ws`);
    const done = (status: number): void => {
      resolve(status);
      ws.terminate();
    };
    ws.on("open", () => done(101));
    ws.on("unexpected-response", (_request, response) => done(response.statusCode ?? 0));
    ws.on("error", () => undefined);
  });

/** What a hello is answered with. */
async function hello(rig: Rig, deviceId: string): Promise<string> {
  const peer = McpPeer.tcp(rig.port("frames"));
  peer.send({ control: { kind: "hello", version: 1, deviceId } });
  await waitFor(() => peer.received.length > 0, { what: "an answer to the hello" });
  peer.transport.close();
  const { control } = peer.received[0]!;
  return control?.kind === "error" ? control.code : (control?.kind ?? "");
}

async function datagram(rig: Rig, device: string): Promise<string> {
  const socket = createSocket("udp4");
  const answer = new Promise<string>((resolve) =>
    socket.once("message", (bytes) => resolve(bytes.toString())),
  );
  socket.send(JSON.stringify({ device, path: "a", payload: 1, id: "1" }), rig.port("gram"), "127.0.0.1");
  const text = await answer;
  socket.close();
  return text;
}

/** Told to the listeners some milliseconds later. */
async function untilBarred(rig: Rig, device: string): Promise<void> {
  await waitFor(async () => (await post(rig, device)) === 403, {
    what: `${device} to be refused`,
    ...DEADLINE,
  });
}

describe("a device that is disabled", () => {
  it("is refused by every protocol on every listener, and let in again when it is enabled", async () => {
    await registry.write({ device: { tenant: "", id: "off", enabled: false } });
    for (const rig of rigs) {
      await untilBarred(rig, "off");
      expect(await refusal(rig, "off", 5)).toBe(0x87);
      expect(await refusal(rig, "off", 4)).toBe(5);
      expect(await webSocket(rig, "off")).toBe(403);
      expect(await hello(rig, "off")).toBe("auth.not_authorized");
      expect(await datagram(rig, "off")).toContain("auth.not_authorized");
      expect(await post(rig, "on")).toBe(202);
    }
    await registry.patch("", "off", { enabled: true });
    for (const rig of rigs) {
      await waitFor(async () => (await post(rig, "off")) === 202, {
        what: "the device to be let in",
        ...DEADLINE,
      });
      expect(await webSocket(rig, "off")).toBe(101);
      expect(await hello(rig, "off")).toBe("welcome");
      await (await connect(rig, "off")).endAsync();
    }
  });

  it("is sent away at once wherever it is connected, with the reason, and nobody else is", async () => {
    const device = await connect(rigs[1], "goes");
    const other = await connect(rigs[1], "stays");
    const told = new Promise<{ reasonCode?: number }>((resolve) => device.once("disconnect", resolve));
    const peer = McpPeer.tcp(rigs[0].port("frames"));
    peer.send({ control: { kind: "hello", version: 1, deviceId: "goes-too" } });
    await waitFor(() => peer.received.length > 0, { what: "the hello" });
    await registry.writeAll(
      ["goes", "goes-too"].map((id) => ({ device: { tenant: "", id, enabled: false } })),
    );
    expect(await told).toMatchObject({ reasonCode: 0x87 });
    await waitFor(() => peer.closed, { what: "the end of the other connection", ...DEADLINE });
    expect(other.connected).toBe(true);
  });
});

describe("a device that is deleted", () => {
  it("is sent away and refused until its marker is gone, or it is made again", async () => {
    await registry.writeAll(["gone", "back"].map((id) => ({ device: { tenant: "", id } })));
    const device = await connect(rigs[0], "gone");
    const told = new Promise<{ reasonCode?: number }>((resolve) => device.once("disconnect", resolve));
    await registry.writeAll(["gone", "back"].map((id) => ({ device: { tenant: "", id }, remove: true })));
    expect(await told).toMatchObject({ reasonCode: 0x87 });
    await expect(registry.get("", "gone")).rejects.toMatchObject({ code: "device.unknown" });
    await registry.write({ device: { tenant: "", id: "back" }, expected: 0 });
    await waitFor(async () => (await post(rigs[1], "back")) === 202, {
      what: "the one made again",
      ...DEADLINE,
    });
    // Markers are kept for no time at all here, and removed every few seconds.
    await waitFor(async () => (await post(rigs[1], "gone")) === 202, {
      what: "the end of the marker",
      ...DEADLINE,
    });
    expect(await registry.get("", "back")).toMatchObject({ id: "back" });
  });
});

describe("who may not connect", () => {
  it("is known to a listener that starts later, and under the next owner", async () => {
    const ids = Array.from({ length: 2_500 }, (_, i) => `many-${i}`);
    const changes = ids.map((id) => ({ device: { tenant: "", id, enabled: false } }));
    expect((await registry.writeAll(changes)).filter(({ error }) => error !== undefined)).toEqual([]);
    await using late = await startRig(PORTS, { nats: world.nats, instance: "listener-2" });
    await untilBarred(late, "many-0");
    for (const id of ["many-1", "many-1249", "many-2499"]) await untilBarred(late, id);
    const { devices } = await registry.list({ tenant: "", limit: 10, disabled: true, idPrefix: "many-24" });
    expect(devices).toHaveLength(10);
    expect(devices.every(({ enabled }) => !enabled)).toBe(true);

    await core.stop();
    await world.dispatcher("core-1");
    const change = { device: { tenant: "", id: "many-2", enabled: true } };
    const isFreed = (): Promise<boolean> =>
      registry.write(change).then(
        () => true,
        () => false,
      );
    await waitFor(isFreed, { what: "the next owner", ...DEADLINE });
    await waitFor(async () => (await post(late, "many-2")) === 202, { what: "the one enabled", ...DEADLINE });
    for (const id of ["many-1", "many-2499"]) expect(await post(late, id)).toBe(403);
  });
});
