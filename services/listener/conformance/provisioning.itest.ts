/** Devices that nobody has made: let in by what their profile trusts, made once, over real ports and a real dispatcher. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { DeviceRegistryClient } from "@myelin/bus";
import type { Snapshot } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { makeCertificate, type TestCertificate, tempDir, waitFor } from "@myelin/testkit";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { McpPeer } from "../test/mcp-peer.js";
import { World } from "./session-world.js";

const DEADLINE = { deadlineMs: 20_000 };
const TOKEN = "a token of the first boilers";

let world: World;
let rigs: readonly [Rig, Rig];
let registry: DeviceRegistryClient;
let dir: Awaited<ReturnType<typeof tempDir>>;
let authority: TestCertificate;
let stranger: TestCertificate;
let revision = 0;
const clients: MqttClient[] = [];

/** Puts profiles in force on both listeners. */
function profiles(all: Readonly<Record<string, object>>): void {
  const resources = Object.entries(all).map(([name, provisioning]) => ({
    apiVersion: "myelin.dev/v1alpha1",
    kind: "DeviceProfile",
    metadata: { name },
    spec: {
      payloads: [],
      points: {},
      commands: {},
      provisioning: {
        ...{ tenant: "", ids: "*", tags: {}, groups: [], perMinute: 600, maxDevices: 1_000 },
        ...provisioning,
      },
    },
  }));
  const snapshot = { revision: ++revision, resources } as unknown as Snapshot;
  for (const { listener } of rigs) listener.provisioning.apply(snapshot);
}

function file(name: string, text: string): { fromFile: string } {
  writeFileSync(dir.join(name), text);
  return { fromFile: dir.join(name) };
}

async function connect(rig: Rig, clientId: string, more: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, {
    ...{ clientId, protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 9_000 },
    ...more,
  });
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

const byToken = (rig: Rig, clientId: string, token = TOKEN): Promise<MqttClient> =>
  connect(rig, clientId, { username: ":token", password: token });

/** Reason code of the refusal, or 0. */
const reason = (work: Promise<MqttClient>): Promise<unknown> =>
  work.then(
    () => 0,
    (error: { code?: number }) => error.code,
  );

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (thrown: unknown) => AppError.from(thrown).code,
  );

const post = async (rig: Rig, device: string, token: string): Promise<number> => {
  const url = `http://127.0.0.1:${rig.port("web")}/api/v1/devices/${device}/messages/a`;
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  return (await fetch(url, { method: "POST", body: "1", headers })).status;
};

const lets = (work: () => Promise<unknown>, wanted: unknown, what: string) =>
  waitFor(async () => (await work()) === wanted, { what, ...DEADLINE });

beforeAll(async () => {
  world = await World.open();
  dir = world.stack.use(await tempDir("provisioning"));
  authority = await makeCertificate(dir, "devices-ca");
  stranger = await makeCertificate(dir, "other-ca");
  const server = await makeCertificate(dir, "listener");
  const both = file("both.pem", `${authority.cert}\n${stranger.cert}`);
  const tls = {
    ...{ cert: { fromFile: server.certFile }, key: { fromFile: server.keyFile } },
    ...{ clientCa: both, clientCertificate: "optional" },
  };
  const ports = {
    mqtt: { mqtt: {}, secure: { tls } },
    http: { web: {} },
    tcp: { frames: {} },
  };
  const admission = { "static-file": { anonymous: "nobody" } };
  const listener = async (instance: string): Promise<Rig> =>
    world.stack.use(await startRig(ports, { nats: world.nats, instance, admission }));
  rigs = [await listener("listener-0"), await listener("listener-1")];
  await world.dispatcher("core");
  registry = new DeviceRegistryClient(rigs[0].bus, PARTITIONS);
  await lets(() => codeOf(registry.list({ tenant: "", limit: 1 })), "done", "the registry");
}, 60_000);
afterAll(async () => {
  for (const client of clients) client.end(true);
  await world[Symbol.asyncDispose]();
});

describe("provisioning on first contact", () => {
  it("makes a device that shows the token, with what its profile says, and lets it in again", async () => {
    profiles({
      boiler: {
        trust: [{ token: file("token", TOKEN) }],
        ids: "boiler-*",
        tags: { site: "n" },
        groups: ["new"],
      },
    });
    await lets(() => reason(byToken(rigs[0], "boiler-1")), 0, "the token to be trusted");
    const made = await registry.get("", "boiler-1");
    expect(made).toMatchObject({ profile: "boiler", tags: { site: "n" }, groups: ["new"], enabled: true });
    await registry.patch("", "boiler-1", { tags: { site: "s" } });
    await byToken(rigs[1], "boiler-1");
    expect((await registry.get("", "boiler-1")).tags).toEqual({ site: "s" });
    // MQTT 5: bad user name or password; not authorized.
    expect(await reason(byToken(rigs[0], "boiler-2", "another token, just as long"))).toBe(0x86);
    expect(await reason(byToken(rigs[0], "pump-1"))).toBe(0x87);
    expect(await codeOf(registry.get("", "boiler-2"))).toBe("device.unknown");
    expect(await codeOf(registry.get("", "pump-1"))).toBe("device.unknown");
  });

  it("does so over HTTP and MCP too", async () => {
    expect(await post(rigs[0], "boiler-http", TOKEN)).toBeLessThan(300);
    expect(await post(rigs[0], "boiler-http-2", "another token, just as long")).toBe(401);
    const peer = McpPeer.tcp(rigs[0].port("frames"));
    peer.send({ control: { kind: "hello", version: 1, deviceId: "boiler-mcp", token: TOKEN } });
    await waitFor(() => peer.received.length > 0, { what: "an answer to the hello", ...DEADLINE });
    peer.transport.close();
    expect(peer.received[0]!.control?.kind).not.toBe("error");
    for (const id of ["boiler-http", "boiler-mcp"])
      expect((await registry.get("", id)).profile).toBe("boiler");
  });

  it("makes a device once that comes to all listeners at the same time", async () => {
    const { version } = (await registry.write({ device: { tenant: "", id: "before" } }))!;
    const ids = Array.from({ length: 20 }, (_, i) => `boiler-same-${i}`);
    const tries = ids.flatMap((id) => rigs.flatMap((rig) => [post(rig, id, TOKEN), post(rig, id, TOKEN)]));
    for (const status of await Promise.all(tries)) expect(status).toBeLessThan(300);
    const { devices } = await registry.list({ tenant: "", limit: 100, idPrefix: "boiler-same-" });
    expect(devices.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    // A version is a place in the stream of all records: nothing else was written.
    expect(Math.max(...devices.map((device) => device.version)) - version).toBe(ids.length);
  });

  it("keeps out what was disabled, deleted or has another profile", async () => {
    for (const id of ["boiler-off", "boiler-gone", "boiler-other"]) await byToken(rigs[0], id);
    await registry.patch("", "boiler-off", { enabled: false });
    await registry.patch("", "boiler-other", { profile: "pump" });
    await registry.write({ device: { tenant: "", id: "boiler-gone" }, remove: true });
    for (const id of ["boiler-off", "boiler-gone", "boiler-other"])
      for (const rig of rigs) expect(await reason(byToken(rig, id))).toBe(0x87);
    expect(await codeOf(registry.get("", "boiler-gone"))).toBe("device.unknown");
    const device = { tenant: "", id: "boiler-gone", profile: "boiler" };
    expect(await codeOf(registry.write({ device, expected: 0, firstContact: true }))).toBe(
      "auth.not_authorized",
    );
  });

  it("lets a device in by a certificate of its authority, for the name in it only", async () => {
    profiles({
      boiler: { trust: [{ token: file("token", TOKEN) }], ids: "boiler-*" },
      meter: { trust: [{ authority: { fromFile: authority.certFile } }] },
    });
    const show = async (name: string, issuer: TestCertificate, clientId = name): Promise<unknown> => {
      const { cert, key } = await makeCertificate(dir, name, { issuer });
      const url = `mqtts://127.0.0.1:${rigs[0].port("secure")}`;
      const options = { clientId, cert, key, rejectUnauthorized: false, reconnectPeriod: 0 };
      return await reason(
        connectAsync(url, { ...options, protocolVersion: 5 }).then((client) => {
          clients.push(client);
          return client;
        }),
      );
    };
    await lets(() => show("meter-1", authority), 0, "the authority to be trusted");
    expect((await registry.get("", "meter-1")).profile).toBe("meter");
    expect(await show("meter-2", authority, "meter-3")).toBe(0x87);
    // Trusted by the port, but by no profile.
    expect(await show("meter-4", stranger)).toBe(0x86);
    for (const id of ["meter-2", "meter-3", "meter-4"])
      expect(await codeOf(registry.get("", id))).toBe("device.unknown");
  });

  it("holds a profile to its number of devices and to its pace, and lets in who is there", async () => {
    const token = randomBytes(16).toString("hex");
    const trust = [{ token: file("few", token) }];
    profiles({ few: { trust, maxDevices: 2 } });
    await lets(
      () => post(rigs[0], "few-1", token).then((status) => status < 300),
      true,
      "the token to be trusted",
    );
    expect(await post(rigs[0], "few-2", token)).toBeLessThan(300);
    expect(await post(rigs[0], "few-3", token)).toBe(429);
    expect(await post(rigs[0], "few-1", token)).toBeLessThan(300);
    profiles({ few: { trust, maxDevices: 1_000, perMinute: 1 } });
    await lets(() => post(rigs[0], "few-4", token).then((status) => status < 300), true, "the new pace");
    expect(await post(rigs[0], "few-5", token)).toBe(429);
  });

  it("changes from one token to the next, and sends away who came by the old one", async () => {
    const next = { token: file("next", `sha256:${"0".repeat(64)}`) };
    const old = { token: file("old", TOKEN) };
    profiles({ boiler: { trust: [old, next] } });
    await lets(() => reason(byToken(rigs[0], "boiler-old")), 0, "the old token to be trusted");
    const client = await byToken(rigs[0], "boiler-old");
    const gone = new Promise((resolve) => client.on("close", () => resolve("gone")));
    profiles({ boiler: { trust: [next] } });
    expect(await gone).toBe("gone");
    expect(await reason(byToken(rigs[0], "boiler-old"))).not.toBe(0);
  });

  it("follows a file whose token changes", async () => {
    const [one, two] = [randomBytes(16).toString("hex"), randomBytes(16).toString("hex")];
    profiles({ boiler: { trust: [{ token: file("rolling", one) }] } });
    await lets(() => reason(byToken(rigs[0], "boiler-r1", one)), 0, "the first token to be trusted");
    file("rolling", two);
    await lets(() => reason(byToken(rigs[0], "boiler-r2", two)), 0, "the second token to be trusted");
    expect(await reason(byToken(rigs[0], "boiler-r3", one))).toBe(0x86);
  });
});
