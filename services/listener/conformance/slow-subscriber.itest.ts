/** Subscribers that do not keep up, beside one that does, on whole listeners and a dispatcher: who waits for whom, and what is lost. */

import { waitFor } from "@myelin/testkit";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { describe, expect, it } from "vitest";
import { startGround } from "./ground.js";
import { PacketClient } from "./packet-client.js";

/** More than a window and a queue hold: by far, and by so little that a machine that is busy makes nobody lose patience. */
const MANY = 4_000;
const FEW = 1_400;
const DEADLINE = { deadlineMs: 40_000 };

async function client(port: number, clientId: string, more: IClientOptions = {}): Promise<MqttClient> {
  return connectAsync({ port, clientId, protocolVersion: 5, reconnectPeriod: 0, ...more });
}

/** Publishes and waits for every PUBACK. */
async function publishAll(sender: MqttClient, count: number): Promise<void> {
  const published = Array.from({ length: count }, (_, i) =>
    sender.publishAsync("plant/a", String(i), { qos: 1 }),
  );
  await Promise.all(published);
}

describe("a subscriber that does not keep up", () => {
  it("and acknowledges nothing is disconnected with quota exceeded, and everything comes to the one beside it", async () => {
    await using ground = await startGround();
    const port = ground.port(0, "TCP");
    const sender = await client(port, "sender");
    const quick = await client(port, "quick");
    const got: number[] = [];
    quick.on("message", (_topic, payload) => got.push(Number(payload)));
    await quick.subscribeAsync("plant/#", { qos: 1 });
    await using slow = await PacketClient.open({
      ...{ transport: "TCP", port, level: 5, patienceMs: DEADLINE.deadlineMs },
    });
    slow.send({ cmd: "connect", clientId: "slow", clean: true, protocolVersion: 5, keepalive: 0 });
    await slow.next("connack");
    slow.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 1 }] });
    await slow.next("suback");
    await publishAll(sender, MANY);
    await waitFor(() => got.length >= MANY, { what: "all of them for the quick one", ...DEADLINE });
    expect(got).toEqual(Array.from({ length: MANY }, (_, i) => i));
    const packets = await slow.ended();
    expect(packets.at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x97 });
    for (const one of [sender, quick]) await one.endAsync(true);
  }, 90_000);

  it("shares with others that do not either, and together with them gets everything once they read on", async () => {
    await using ground = await startGround();
    const sender = await client(ground.port(1, "TCP"), "sender");
    const got = new Set<number>();
    const members: MqttClient[] = [];
    for (const [i, listener] of ([0, 0, 1] as const).entries()) {
      const member = await client(ground.port(listener, "TCP"), `member-${i}`, {
        properties: { receiveMaximum: 5 },
      });
      member.on("message", (_topic, payload) => got.add(Number(payload)));
      await member.subscribeAsync("$share/g/plant/#", { qos: 1 });
      members.push(member);
    }
    await publishAll(sender, MANY);
    await waitFor(() => got.size >= MANY || members.some(({ connected }) => !connected), {
      what: "all of them",
      ...DEADLINE,
    });
    expect(got.size).toBe(MANY);
    for (const one of [sender, ...members]) await one.endAsync(true);
  }, 90_000);

  it("but reads on gets everything, in order, however small its window", async () => {
    await using ground = await startGround();
    const sender = await client(ground.port(1, "TCP"), "sender");
    const reader = await client(ground.port(0, "TCP"), "reader", { properties: { receiveMaximum: 20 } });
    const got: number[] = [];
    reader.on("message", (_topic, payload) => got.push(Number(payload)));
    await reader.subscribeAsync("plant/#", { qos: 1 });
    await publishAll(sender, FEW);
    await waitFor(() => got.length >= FEW || !reader.connected, { what: "all of them", ...DEADLINE });
    expect(got).toEqual(Array.from({ length: FEW }, (_, i) => i));
    for (const one of [sender, reader]) await one.endAsync(true);
  }, 90_000);
});
