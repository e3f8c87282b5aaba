import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { waitFor } from "@myelin/testkit";
import mqtt, { type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../../../test/listener-rig.js";
import { hashPassword } from "../../../core/password.js";

const PORTS = { mqtt: { plant: {} }, http: { web: {} } };
let first: Rig;
let second: Rig;
const clients: MqttClient[] = [];

beforeAll(async () => {
  first = await startRig(PORTS);
  second = await startRig(PORTS, { nats: first.nats, instance: "listener-1" });
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await second[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
});

async function ask(rig: Rig, method: string, url: string, headers: Record<string, string> = {}) {
  const base = `http://127.0.0.1:${rig.port("web")}/api/v1/admin`;
  const response = await fetch(`${base}/${url}`, { method, headers });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown> & { next?: string },
  };
}
const get = (rig: Rig, url: string, headers?: Record<string, string>) => ask(rig, "GET", url, headers);

async function connected(rig: Rig, clientId: string, options: object = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${rig.port("plant")}`, {
    clientId,
    reconnectPeriod: 0,
    ...options,
  });
  clients.push(client);
  return client;
}

describe("the list of clients", () => {
  it("holds those of all listeners, page by page, as they are asked for", async () => {
    for (let i = 0; i < 3; i++) {
      await connected(first, `list-a${i}`);
      await connected(second, `list-b${i}`, { protocolVersion: 5, username: "ann" });
    }
    const seen: unknown[] = [];
    let cursor = "";
    do {
      const { body } = await get(second, `clients?device=list-*&limit=2&cursor=${cursor}`);
      seen.push(...(body.clients as { device: string; version: string; listener: string }[]));
      cursor = body.next ?? "";
    } while (cursor !== "");
    expect(seen).toMatchObject([
      ...[0, 1, 2].map((i) => ({ device: `list-a${i}`, version: "3.1.1", listener: "listener-0" })),
      ...[0, 1, 2].map((i) => ({ device: `list-b${i}`, version: "5", listener: "listener-1", user: "ann" })),
    ]);
    const only = async (query: string) =>
      ((await get(first, `clients?device=list-*&${query}`)).body.clients as unknown[]).length;
    expect(await only("version=5")).toBe(3);
    expect(await only("version=5,3.1.1")).toBe(6);
    expect(await only("user=a*")).toBe(3);
    expect(await only("listener=listener-0")).toBe(3);
    expect(await only("protocol=tcp")).toBe(0);
    expect(await only(`since=${new Date(Date.now() + 60_000).toISOString()}`)).toBe(0);
    expect(await only("since=2020-01-01")).toBe(6);
    expect(await only("tenant=acme")).toBe(0);
  });

  it.each(["cursor=x", "limit=0", "limit=9999", "since=yesterday", "cursor=a&cursor=b"])(
    "is refused with %s",
    async (query) => {
      expect(await get(first, `clients?${query}`)).toMatchObject({
        status: 400,
        body: { code: "protocol.malformed" },
      });
    },
  );
});

describe("one client", () => {
  it("is shown with what is known of it, from whichever listener", async () => {
    const client = await connected(second, "boiler/1 ü", {
      protocolVersion: 5,
      keepalive: 40,
      properties: { receiveMaximum: 7 },
      will: { topic: "gone", payload: Buffer.from("bye"), qos: 1, retain: true },
    });
    await client.subscribeAsync({ "a/#": { qos: 1 }, "$share/g/b": { qos: 0 } });
    const { status, body } = await get(first, `clients/${encodeURIComponent("boiler/1 ü")}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      client: "boiler/1 ü",
      connected: true,
      connections: [
        {
          device: "boiler/1 ü",
          listener: "listener-1",
          protocol: "mqtt",
          version: "5",
          port: "plant",
          address: "127.0.0.1",
          receiveMaximum: 7,
          subscriptions: 2,
          inflight: 0,
          queued: 0,
          session: { persistent: false, expirySeconds: 0 },
          will: { topic: "gone", qos: 1, retain: true, payloadBytes: 3, delaySeconds: 0 },
        },
      ],
    });
    const [connection] = body.connections as unknown as [{ silenceAllowedMs: number; receivedBytes: number }];
    expect(connection.silenceAllowedMs).toBeGreaterThanOrEqual(60_000);
    expect(connection.receivedBytes).toBeGreaterThan(40);
  });

  it("is told from one that nobody knows", async () => {
    expect(await get(first, "clients/nobody")).toMatchObject({
      status: 404,
      body: { code: "device.not_connected" },
    });
  });

  it("is disconnected with the reason code for it, and remembered", async () => {
    const client = await connected(second, "goes", { protocolVersion: 5 });
    const told = new Promise<{ reasonCode?: number; properties?: { reasonString?: string } }>((resolve) =>
      client.once("disconnect", resolve),
    );
    expect(await ask(first, "DELETE", "clients/goes?reason=maintenance")).toEqual({
      status: 200,
      body: { client: "goes", disconnected: 1 },
    });
    expect(await told).toMatchObject({ reasonCode: 0x98, properties: { reasonString: "maintenance" } });
    await waitFor(async () => (await get(first, "clients/goes")).body.connected === false, {
      what: "the end",
    });
    expect((await get(first, "clients/goes")).body).toMatchObject({
      connected: false,
      lastDisconnect: { reason: "administrative", listener: "listener-1" },
    });
    expect((await ask(first, "DELETE", "clients/goes")).status).toBe(404);
  });
});

describe("subscriptions", () => {
  it("are listed by client, by filter and by topic, page by page", async () => {
    const a = await connected(first, "sub-a", { protocolVersion: 5 });
    const b = await connected(second, "sub-b");
    await a.subscribeAsync({
      "subs/x/#": { qos: 1 },
      "subs/+/y": { qos: 2, nl: true },
      "subs/z": { qos: 0 },
    });
    await b.subscribeAsync({ "subs/x/#": { qos: 0 }, "$share/g/subs/x/y": { qos: 1 } });
    const all = async (query: string) => {
      const found: string[] = [];
      let cursor = "";
      do {
        const { body } = await get(first, `subscriptions?${query}&limit=2&cursor=${cursor}`);
        for (const s of body.subscriptions as { device: string; filter: string; qos: number }[]) {
          found.push(`${s.device} ${s.filter} ${s.qos}`);
        }
        cursor = body.next ?? "";
      } while (cursor !== "");
      return found.sort();
    };
    expect(await all("client=sub-a")).toEqual(["sub-a subs/+/y 2", "sub-a subs/x/# 1", "sub-a subs/z 0"]);
    expect(await all(`filter=${encodeURIComponent("subs/x/#")}`)).toEqual([
      "sub-a subs/x/# 1",
      "sub-b subs/x/# 0",
    ]);
    expect(await all("topic=subs/x/y")).toEqual([
      "sub-a subs/+/y 2",
      "sub-a subs/x/# 1",
      "sub-b $share/g/subs/x/y 1",
      "sub-b subs/x/# 0",
    ]);
    expect((await get(first, "subscriptions?topic=a/%23")).status).toBe(400);
  });
});

describe("sessions", () => {
  it("that live with their connection are listed and end with it", async () => {
    await connected(second, "lives");
    const { body } = await get(first, "sessions?client=lives");
    expect(body.sessions).toMatchObject([
      { client: "lives", persistent: false, connected: true, keptBy: "listener/listener-1" },
    ]);
    expect(await ask(first, "DELETE", "sessions/lives")).toMatchObject({ status: 200, body: { deleted: 1 } });
    await waitFor(async () => (await get(first, "clients/lives")).body.connected === false, {
      what: "the end",
    });
    expect((await get(first, "clients/lives")).body).toMatchObject({ lastDisconnect: { reason: "deleted" } });
  });
});

describe("the trace", () => {
  it("shows packets of any listener as events while the request lasts", async () => {
    const client = await connected(second, "traced", { protocolVersion: 5 });
    const base = `http://127.0.0.1:${first.port("web")}/api/v1/admin/trace`;
    const ending = new AbortController();
    const response = await fetch(`${base}?client=traced&topic=other/%23&payload=100`, {
      signal: ending.signal,
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    const reading = (async () => {
      for await (const chunk of response.body!) text += Buffer.from(chunk).toString();
    })().catch(() => undefined);
    const found = () =>
      [...text.matchAll(/^event: packet\ndata: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
    await waitFor(
      async () => {
        await client.publishAsync("t", "21.5", { qos: 1 });
        // The trace may begin between a packet and its answer.
        return ["PUBLISH", "PUBACK"].every((kind) => found().some(({ packet }) => packet === kind));
      },
      { what: "traced packets" },
    );
    expect(found().find(({ packet }) => packet === "PUBLISH")).toMatchObject({
      listener: "listener-1",
      device: "traced",
      direction: "in",
      topic: "t",
      qos: 1,
      payload: "21.5",
      payloadSize: 4,
    });
    ending.abort();
    await reading;
  });

  it.each(["", "?client=a&rate=0", "?topic=a/%23/b", "?client=a&payload=99999"])(
    "is refused as %s",
    async (query) => {
      expect((await get(first, `trace${query}`)).status).toBe(400);
    },
  );
});

describe("the API for operators", () => {
  it("is described in the OpenAPI document", async () => {
    const response = await fetch(`http://127.0.0.1:${first.port("web")}/api/v1/openapi.json`);
    const { paths } = (await response.json()) as { paths: Record<string, object> };
    expect(Object.keys(paths).filter((url) => url.includes("/admin/"))).toEqual([
      "/api/v1/admin/clients",
      "/api/v1/admin/clients/{client}",
      "/api/v1/admin/subscriptions",
      "/api/v1/admin/sessions",
      "/api/v1/admin/sessions/{client}",
      "/api/v1/admin/retained",
      "/api/v1/admin/trace",
    ]);
  });

  it("is closed to web pages of others, and to other methods", async () => {
    const page = { origin: "https://evil.example" };
    expect((await get(first, "clients", page)).status).toBe(403);
    expect((await ask(first, "POST", "clients")).status).toBe(405);
  });

  it("is open to operators alone, each for its tenants", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "myelin-admin-"));
    const usersFile = path.join(folder, "users.yaml");
    const password = await hashPassword(Buffer.from("right"));
    const users = [
      { name: "root", password, admin: "all" },
      { name: "acme-root", password, tenant: "acme", admin: "tenant" },
      { name: "acme-device", password, tenant: "acme" },
      { name: "plain", password },
    ];
    await writeFile(usersFile, JSON.stringify({ users }));
    await using rig = await startRig(PORTS, {
      admission: { "static-file": { usersFile, anonymous: "nobody" } },
    });
    for (const user of ["acme-device", "plain"]) {
      await connected(rig, `of-${user}`, { username: user, password: "right" });
    }
    const basic = (user: string, secret = "right") => ({
      authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`,
    });
    const devices = async (user: string, query = "") => {
      const { status, body } = await get(rig, `clients?protocol=mqtt&${query}`, basic(user));
      return status === 200 ? (body.clients as { device: string }[]).map(({ device }) => device) : status;
    };
    expect((await get(rig, "clients")).status).toBe(401);
    expect((await get(rig, "clients", basic("root", "wrong"))).status).toBe(401);
    expect(await devices("plain")).toBe(403);
    expect(await devices("root")).toEqual(["of-acme-device", "of-plain"]);
    expect(await devices("root", "tenant=acme")).toEqual(["of-acme-device"]);
    expect(await devices("root", "tenant=")).toEqual(["of-plain"]);
    expect(await devices("acme-root")).toEqual(["of-acme-device"]);
    expect(await devices("acme-root", "tenant=")).toBe(403);
    expect((await ask(rig, "DELETE", "clients/of-plain", basic("acme-root"))).status).toBe(404);
    expect((await get(rig, "clients/of-plain", basic("acme-root"))).status).toBe(404);
    expect((await ask(rig, "DELETE", "clients/of-plain", basic("plain"))).status).toBe(403);
    expect((await ask(rig, "DELETE", "clients/of-plain", basic("root"))).status).toBe(200);
  });
});
