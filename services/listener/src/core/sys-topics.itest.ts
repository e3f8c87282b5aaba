import { waitFor } from "@myelin/testkit";
import mqtt, { type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../test/listener-rig.js";

const PORTS = { mqtt: { plant: {} } };
const settings = { sysInterval: "50ms" };
let first: Rig;
let second: Rig;
const clients: MqttClient[] = [];

beforeAll(async () => {
  first = await startRig(PORTS, { settings });
  second = await startRig(PORTS, { settings, nats: first.nats, instance: "listener-1" });
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await second[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
});

/** A client, and the last value of each topic it was told. */
async function watching(rig: Rig, filter: string, qos: 0 | 1, options: object = {}) {
  const values = new Map<string, string>();
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${rig.port("plant")}`, {
    reconnectPeriod: 0,
    ...options,
  });
  clients.push(client);
  client.on("message", (topic, payload, { retain }) => {
    values.set(topic, payload.toString());
    if (retain) values.set(`retained ${topic}`, "");
  });
  const [granted] = await client.subscribeAsync(filter, { qos });
  return { client, values, granted };
}

const USUAL = [
  "version",
  "uptime",
  "clients/connected",
  "clients/total",
  "clients/maximum",
  "messages/received",
  "messages/sent",
  "messages/stored",
  "publish/messages/received",
  "publish/messages/sent",
  "publish/messages/dropped",
  "bytes/received",
  "bytes/sent",
  "retained messages/count",
  "subscriptions/count",
  "load/messages/received/1min",
  "load/messages/received/5min",
  "load/messages/received/15min",
];

describe("the topics below $SYS", () => {
  it("are told to a new subscriber at once, as retained messages, and count the clients of all listeners", async () => {
    const { values } = await watching(first, "$SYS/#", 0);
    await watching(second, "other/#", 0);
    await waitFor(() => values.has("retained $SYS/broker/version"), { what: "the first values" });
    expect(USUAL.filter((topic) => !values.has(`$SYS/broker/${topic}`))).toEqual([]);
    await waitFor(() => Number(values.get("$SYS/broker/clients/connected")) >= 2, {
      what: "the clients of both listeners",
    });
  });

  it("say what has happened since", async () => {
    const { client, values } = await watching(second, "$SYS/broker/publish/messages/received", 0);
    const topic = "$SYS/broker/publish/messages/received";
    await waitFor(() => values.has(topic), { what: "a value" });
    const before = Number(values.get(topic));
    client.publish("plant/a", "1");
    await waitFor(() => Number(values.get(topic)) > before, { what: "a higher count" });
  });

  it("are not among what `#` and `+/broker/#` stand for", async () => {
    const { values } = await watching(first, "#", 0);
    const other = await watching(first, "+/broker/#", 0);
    const control = await watching(first, "$SYS/broker/uptime", 0);
    await waitFor(() => control.values.size > 0, { what: "the uptime" });
    const seen = control.values.get("$SYS/broker/uptime");
    await waitFor(() => control.values.get("$SYS/broker/uptime") !== seen, { what: "a later uptime" });
    expect([...values.keys(), ...other.values.keys()].filter((topic) => topic.includes("$SYS"))).toEqual([]);
  });

  it("may be told by nobody else", async () => {
    const { client } = await watching(first, "x", 0, { protocolVersion: 5 });
    await expect(client.publishAsync("$SYS/broker/version", "mine", { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    expect(first.seen.filter(({ path }) => path.startsWith("$SYS"))).toEqual([]);
  });
});
