/** What a change of the users or of the rules takes from clients that are connected. */
import { writeFile } from "node:fs/promises";
import { startNats, tempDir, waitFor } from "@myelin/testkit";
import mqtt, { type MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Rig, startRig } from "../../../test/listener-rig.js";
import { McpPeer } from "../../../test/mcp-peer.js";
import { hashPassword } from "../../core/password.js";

const ALL = "rules:\n  - { effect: allow }\n";
const hash = await hashPassword(Buffer.from("secret"));
const other = await hashPassword(Buffer.from("other"));
const usersOf = (users: Record<string, string>): string =>
  `users:\n${Object.entries(users)
    .map(([name, password]) => `  - { name: ${name}, password: "${password}" }\n`)
    .join("")}`;

const resources = new AsyncDisposableStack();
let rig: Rig;
let files: { readonly users: string; readonly acl: string };

beforeAll(async () => {
  const dir = resources.use(await tempDir("following"));
  files = { users: dir.join("users.yaml"), acl: dir.join("acl.yaml") };
  await writeFile(files.users, usersOf({ ann: hash, bob: hash }));
  await writeFile(files.acl, ALL);
  const nats = resources.use(await startNats());
  const admission = { usersFile: files.users, aclFile: files.acl, anonymous: "nobody" };
  rig = resources.use(
    await startRig(
      { mqtt: { mqtt: {} }, tcp: { frames: {} }, websocket: { ws: {} } },
      { nats, admission: { "static-file": admission } },
    ),
  );
});
afterAll(async () => {
  await resources.disposeAsync();
});

/** A client of each kind, and how it ended: what it was told, or undefined while it is connected. */
interface Client extends AsyncDisposable {
  readonly told: () => unknown;
  subscribe?(filter: string): Promise<unknown>;
}

async function mqttClient(user: string, password = "secret"): Promise<Client> {
  const client: MqttClient = await mqtt.connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, {
    username: user,
    password,
    clientId: `${user}-mqtt`,
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  let told: unknown;
  client.on("disconnect", ({ reasonCode }) => {
    told = reasonCode;
  });
  return {
    told: () => told,
    subscribe: (filter) => client.subscribeAsync(filter),
    [Symbol.asyncDispose]: () => client.endAsync(true),
  };
}

async function mcpClient(user: string): Promise<Client> {
  const peer = McpPeer.tcp(rig.port("frames"));
  await peer.hello(`${user}-mcp`, { username: user, password: Buffer.from("secret") });
  const error = () =>
    peer.received.map(({ control }) => control).find((control) => control?.kind === "error");
  return {
    told: () => (peer.closed ? error()?.code : undefined),
    [Symbol.asyncDispose]: async () => peer.transport.close(),
  };
}

async function jsonClient(
  user: string,
  offered = page(user),
): Promise<Client & { readonly heard: string[] }> {
  const ws = new WebSocket(`ws://127.0.0.1:${rig.port("ws")}/api/v1/devices/${user}-json/ws`, offered);
  const heard: string[] = [];
  let refused: string | undefined;
  let code: number | undefined;
  ws.on("message", (data) => heard.push(String(data)));
  ws.on("error", (error) => {
    refused = error.message;
  });
  ws.on("close", (closeCode) => {
    code = closeCode;
  });
  await waitFor(() => ws.readyState !== WebSocket.CONNECTING, { what: "the handshake" });
  if (refused !== undefined) throw new Error(refused);
  expect(ws.protocol).toBe("myelin.json");
  return {
    heard,
    told: () => code,
    subscribe: async (filter) => ws.send(JSON.stringify({ subscribe: filter })),
    [Symbol.asyncDispose]: async () => ws.terminate(),
  };
}

/** What a web page offers, which has no other place for its credentials. */
function page(user: string, password = "secret"): string[] {
  return ["myelin.json", `myelin.basic.${Buffer.from(`${user}:${password}`).toString("base64url")}`];
}

beforeEach(async () => {
  await writeFile(files.users, usersOf({ ann: hash, bob: hash }));
  await writeFile(files.acl, ALL);
  const mayAgain = async (): Promise<boolean> => {
    try {
      await using ann = await mqttClient("ann");
      await ann.subscribe!("secret/a");
      return true;
    } catch {
      return false;
    }
  };
  await waitFor(mayAgain, { what: "the users and rules of before" });
});

/** Connections that were ended because their user has changed. */
function revoked(): number {
  const { disconnects } = rig.listener.connections.counters;
  return Object.values(disconnects).reduce((sum, reasons) => sum + (reasons.revoked ?? 0), 0);
}

describe.each([
  ["MQTT", mqttClient, 0x87],
  ["MCP", mcpClient, "auth.bad_credentials"],
  ["WebSocket", jsonClient, 1008],
])("a connection over %s", (_, connect, farewell) => {
  it.each([
    ["was removed", usersOf({ bob: hash })],
    ["has a new password", usersOf({ ann: other, bob: hash })],
  ])("of a user who %s ends, and no other", async (_case, users) => {
    await using ann = await connect("ann");
    await using bob = await connect("bob");
    const before = revoked();
    await writeFile(files.users, users);
    await waitFor(() => ann.told() !== undefined, { what: "the end of the connection" });
    expect(ann.told()).toBe(farewell);
    expect(bob.told()).toBeUndefined();
    await waitFor(() => revoked() === before + 1, { what: "the count" });
    await expect(mqttClient("ann")).rejects.toMatchObject({ code: 134 });
  });
});

describe("a subscription that the rules deny from now on", () => {
  const DENIED = "rules:\n  - { effect: deny, users: [ann], topics: [secret/#] }\n  - { effect: allow }\n";

  it("is taken from a JSON client, who is told and keeps the others", async () => {
    await using ann = await jsonClient("ann");
    await ann.subscribe!("secret/a");
    await ann.subscribe!("open/a");
    await waitFor(() => ann.heard.length === 2, { what: "both subscriptions" });
    await writeFile(files.acl, DENIED);
    await waitFor(() => ann.heard.length === 4, { what: "the answers" });
    expect(ann.heard[2]).toBe('{"unsubscribed":"secret/a"}');
    expect(JSON.parse(ann.heard[3]!)).toMatchObject({ error: "auth.not_authorized" });
    expect(ann.told()).toBeUndefined();
  });

  it("ends the connection of an MQTT client, whose protocol has no other way to say it", async () => {
    await using ann = await mqttClient("ann");
    await using bob = await mqttClient("bob");
    await ann.subscribe!("$share/g/secret/a");
    await bob.subscribe!("secret/a");
    await writeFile(files.acl, DENIED);
    await waitFor(() => ann.told() !== undefined, { what: "the end of the connection" });
    expect([ann.told(), bob.told()]).toEqual([0x87, undefined]);
  });
});

describe("the credentials of a web page", () => {
  it("are refused when they are wrong, in an answer that does not repeat them", async () => {
    await expect(jsonClient("ann", page("ann", "wrong"))).rejects.toThrow("401");
    await expect(jsonClient("ann", ["myelin.json"])).rejects.toThrow("401");
    await expect(jsonClient("ann", page("ann").slice(1))).rejects.toThrow("400");
    await expect(jsonClient("ann", ["soap", ...page("ann").slice(1)])).rejects.toThrow("400");
  });
});
