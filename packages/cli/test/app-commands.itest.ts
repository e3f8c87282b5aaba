/** An application commands devices, whatever they speak, on a box that runs. */
import { writeFile } from "node:fs/promises";
import { IpcClient, McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { boxLayout } from "../src/box/layout.js";
import { myelin, startBox, type TestBox } from "./support/box.js";

const DEADLINE_MS = 30_000;
const PROFILE = `
apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: pump }
spec:
  payloads: [{ topics: ["pumps/#"], format: json }]
  points: { speed: { from: { field: speed } } }
  commands:
    set:
      risk: low
      parameters: { speed: { type: number } }
      safety: { parameter: speed, range: { max: 60 } }
      verify: { point: speed, equals: { parameter: speed } }
`;

let box: TestBox;
let client: IpcClient;
const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);

beforeAll(async () => {
  box = await startBox();
  const file = `${box.dataDir}/pump.yaml`;
  await writeFile(file, PROFILE);
  expect(await on("apply", "-f", file)).toMatchObject({ code: 0 });
  client = new IpcClient({ app: "operations", target: `unix:${boxLayout(box.dataDir).appSocket}` });
  await client.start();
});
afterAll(async () => {
  await client.stop();
  await box[Symbol.asyncDispose]();
});

async function pump(id: string): Promise<void> {
  const set = async () => (await on("devices", "set", id, "--profile", "pump")).code === 0;
  await waitFor(set, { what: "the registry", deadlineMs: DEADLINE_MS });
}

const send = (device: string, speed: number, more: object = {}) =>
  client.commands.send(device, "set", { parameters: { speed }, ttlMs: 20_000, ...more });

/** Sends until the profile is in force everywhere. */
const verified = (device: string) =>
  waitFor(
    () => send(device, 40, { key: "first", wait: "verified", timeoutMs: 20_000 }).catch(() => false as const),
    { what: `${device} to be commanded`, deadlineMs: 2 * DEADLINE_MS },
  );

interface Given {
  readonly parameters: { readonly speed: number };
}
const speedOf = (payload: Uint8Array) =>
  (JSON.parse(Buffer.from(payload).toString()) as Given).parameters.speed;

describe("an application's command", () => {
  it.each(["tcp", "ws", "udp"])("to a device on %s is executed and read back", async (transport) => {
    const { mcpTcp, mcpUdp, http } = (await box.state()).ports;
    const urls = {
      tcp: `tcp://127.0.0.1:${mcpTcp}`,
      udp: `udp://127.0.0.1:${mcpUdp}`,
      ws: `ws://127.0.0.1:${http}/api/v1/devices/pump-ws/ws`,
    };
    const id = `pump-${transport}`;
    await pump(id);
    const device = new McpClient({ url: urls[transport as "tcp"], deviceId: id });
    device.onMessage(async ({ type, payload }) => {
      if (!type.includes("/request/")) return;
      await device.send(type.replace("/request/", "/response/"), { status: "SUCCEEDED" }, { lane: "event" });
      await device.send("pumps/now", { speed: speedOf(payload) }, { lane: "event" });
    });
    await device.start(AbortSignal.timeout(10_000));
    try {
      const command = await verified(id);
      expect(command).toMatchObject({ state: "verified", ended: true, name: "set", attempts: 1 });
      const steps: string[] = [];
      for await (const { state } of client.commands.follow(command.id)) steps.push(state);
      expect(steps).toEqual(["accepted", "routed", "delivered", "executed", "verified"]);
    } finally {
      await device.stop();
    }
  });

  it("to a device on MQTT is executed and read back, once for its key", async () => {
    await pump("pump-mqtt");
    const { mqtt } = (await box.state()).ports;
    const device = await connectAsync(`mqtt://127.0.0.1:${mqtt}`, { clientId: "pump-mqtt" });
    device.on("message", (topic, payload) => {
      device.publish(topic.replace("/request/", "/response/"), '{"status":"SUCCEEDED"}', { qos: 1 });
      device.publish("pumps/now", JSON.stringify({ speed: speedOf(payload) }), { qos: 1 });
    });
    await device.subscribeAsync("$aws/commands/things/pump-mqtt/executions/+/request/json", { qos: 1 });
    try {
      const command = await verified("pump-mqtt");
      expect(command.state).toBe("verified");
      expect((await send("pump-mqtt", 40, { key: "first" })).id).toBe(command.id);
      await expect(client.commands.cancel(command.id)).rejects.toMatchObject({ code: "command.under_way" });
    } finally {
      await device.endAsync();
    }
  });

  it("is held to the safety envelope and refused where it makes no sense, and is taken back while the device is away", async () => {
    await pump("pump-away");
    const first = await waitFor(() => send("pump-away", 1).catch(() => false as const), {
      what: "the profile to be in force",
      deadlineMs: DEADLINE_MS,
    });
    expect(first.state).toBe("accepted");
    expect(await client.commands.cancel(first.id)).toMatchObject({ state: "rejected", ended: true });
    expect((await client.commands.get(first.id)).steps.at(-1)).toMatchObject({
      cause: "cancelled",
      message: "by operations",
    });
    await expect(send("pump-away", 61)).rejects.toMatchObject({ code: "command.denied" });
    await expect(send("pump-away", 61, { override: "because" })).rejects.toMatchObject({
      code: "command.invalid",
    });
    await expect(client.commands.send("pump-away", "jump")).rejects.toMatchObject({
      code: "command.unsupported",
    });
    await expect(client.commands.get("0-0123456789abcdef01234567")).rejects.toMatchObject({
      code: "command.unknown",
    });
    await expect(client.request("platform/command.send", "no JSON")).rejects.toMatchObject({
      code: "command.invalid",
    });
  });
});
