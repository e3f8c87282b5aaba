/** Sessions that outlive their connection. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";
import type { ConnectOptions, Trial } from "../trial.js";

/** How a client asks for a session that is kept. */
const lasting = (t: Trial, clientId: string): ConnectOptions => ({
  clientId,
  clean: false,
  ...(t.isV5 && { properties: { sessionExpiryInterval: 300 } }),
});

async function leave(t: Trial, clientId: string, filter: string): Promise<void> {
  const client = await t.subscriber(filter, lasting(t, clientId));
  client.send({ cmd: "disconnect" });
  await client.ended();
}

export const sessions: readonly Case[] = [
  conforms(
    { v3: ["MQTT-4.1.0-2"], v5: ["MQTT-4.1.0-1"] },
    "keeps a session's subscriptions while the connection is open",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      for (let i = 0; i < 3; i++) {
        publisher.publish(t.topic("a"), `${i}`);
        expect(await subscriber.message()).toMatchObject({ text: `${i}` });
      }
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-6", "MQTT-3.1.4-3"], v5: ["MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-4.1.0-2"] },
    "begins anew for a client that wants a clean session",
    async (t) => {
      const clientId = t.name();
      const first = await t.subscriber(t.topic("old"), { clientId });
      first.send({ cmd: "disconnect" });
      await first.ended();
      const again = await t.subscriber(t.topic("new"), { clientId });
      expect(again.connack).toMatchObject({ sessionPresent: false });
      const publisher = await t.connect();
      publisher.publish(t.topic("old"), "x");
      publisher.publish(t.topic("new"), "y");
      expect(await again.message()).toMatchObject({ text: "y" });
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.2-4", "MQTT-3.1.3-2", "MQTT-3.2.2-2", "MQTT-4.1.0-1"],
      v5: ["MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-3.2.2-3"],
    },
    "goes on with the session of a client that comes back",
    async (t) => {
      const clientId = t.name();
      await leave(t, clientId, t.topic("#"));
      const again = await t.connect(lasting(t, clientId));
      expect(again.connack).toMatchObject({ sessionPresent: true });
      (await t.connect()).publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
      expect(await again.message()).toMatchObject({ text: "x" });
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-5", "MQTT-4.5.0-1"], v5: ["MQTT-4.5.0-1"] },
    "keeps messages of QoS 1 and 2 for a client that is away",
    async (t) => {
      const clientId = t.name();
      await leave(t, clientId, t.topic("#"));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "one", { qos: 1, messageId: 1 });
      await publisher.next("puback");
      const again = await t.connect(lasting(t, clientId));
      expect(await again.message()).toMatchObject({ text: "one", qos: 1 });
    },
  ),
  conforms(
    {
      v3: ["MQTT-4.4.0-1", "MQTT-3.3.1-1"],
      v5: ["MQTT-4.4.0-1", "MQTT-3.3.1-1"],
    },
    "sends again, under the same identifier and as a duplicate, what was not acknowledged",
    async (t) => {
      const clientId = t.name();
      const subscriber = await t.subscriber(t.topic("#"), lasting(t, clientId));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
      const first = await subscriber.message();
      expect(first).toMatchObject({ dup: false });
      subscriber.lose();
      const again = await t.connect(lasting(t, clientId));
      expect(await again.message()).toMatchObject({ text: "x", dup: true, messageId: first.messageId! });
    },
  ),
  conforms({ v5: ["MQTT-4.1.0-2"] }, "forgets a session whose expiry interval has passed", async (t) => {
    const clientId = t.name();
    const properties = { sessionExpiryInterval: 1 };
    const client = await t.connect({ clientId, clean: false, properties });
    expect(client.connack?.properties?.sessionExpiryInterval).not.toBe(0);
    const other = await t.connect({ keepalive: 1 });
    client.lose();
    // Cut off after a second and a half: by then the session is over.
    await other.ended();
    const again = await t.connect({ clientId, clean: false, properties });
    expect(again.connack).toMatchObject({ sessionPresent: false });
  }),
  conforms({ v5: ["MQTT-4.4.0-2"] }, "does not send again what the client has refused", async (t) => {
    const clientId = t.name();
    const subscriber = await t.subscriber(t.topic("#"), lasting(t, clientId));
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
    const { messageId } = await subscriber.message();
    subscriber.send({ cmd: "puback", messageId: messageId!, reasonCode: 0x83 });
    // By the time another one is cut off its home has recorded that, whichever listener the client comes back to.
    await (await t.connect({ keepalive: 1 })).ended();
    subscriber.lose();
    const again = await t.connect(lasting(t, clientId));
    expect(again.connack).toMatchObject({ sessionPresent: true });
    publisher.publish(t.topic("a"), "y", { qos: 1, messageId: 2 });
    expect(await again.message()).toMatchObject({ text: "y" });
  }),
  conforms(
    { v5: ["MQTT-4.3.3-7", "MQTT-4.4.0-1"] },
    "sends a QoS 2 message again that was not acknowledged, although it has expired since it was sent",
    async (t) => {
      const clientId = t.name();
      const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 2 }], lasting(t, clientId));
      const publisher = await t.connect();
      const properties = { messageExpiryInterval: 1 };
      publisher.publish(t.topic("a"), "x", { qos: 2, messageId: 1, properties });
      const { messageId } = await subscriber.message();
      subscriber.lose();
      // Cut off after a second and a half: by then the message has expired.
      await (await t.connect({ keepalive: 1 })).ended();
      const again = await t.connect(lasting(t, clientId));
      expect(await again.message()).toMatchObject({ text: "x", qos: 2, dup: true, messageId: messageId! });
    },
  ),
  conforms(
    { v3: ["MQTT-3.10.4-2"], v5: ["MQTT-3.10.4-2"] },
    "ends a subscription of a session that is kept also where SUBSCRIBE is not answered yet",
    async (t) => {
      const client = await t.connect(lasting(t, t.name()));
      const options = t.isV5 ? { nl: false, rap: false, rh: 0 } : {};
      const subscriptions = [{ topic: t.topic("a"), qos: 1 as const, ...options }];
      client.send(
        { cmd: "subscribe", messageId: 1, subscriptions },
        { cmd: "unsubscribe", messageId: 2, unsubscriptions: [t.topic("a")] },
      );
      // Either may be recorded first.
      const answers = [await client.any(), await client.any()];
      const unsuback = answers.find(({ cmd }) => cmd === "unsuback");
      if (t.isV5) expect(unsuback).toMatchObject({ granted: [0] });
      await t.subscribe(client, t.topic("b"));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
      publisher.publish(t.topic("b"), "y", { qos: 1, messageId: 2 });
      expect(await client.message()).toMatchObject({ text: "y" });
    },
  ),
];
