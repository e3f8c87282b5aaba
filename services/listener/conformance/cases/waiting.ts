/** What waits for a client that is away: whole, no longer than it may, and within what the client takes when it is back. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";
import type { PacketClient } from "../packet-client.js";
import type { ConnectOptions, Trial } from "../trial.js";

const lasting = (t: Trial, clientId: string, properties: object = {}): ConnectOptions => ({
  clientId,
  clean: false,
  ...(t.isV5 && { properties: { sessionExpiryInterval: 300, ...properties } }),
});

async function away(client: PacketClient): Promise<void> {
  client.send({ cmd: "disconnect" });
  await client.ended();
}

/** A second and a half: as long as a client is waited for that promised to be heard of every second. */
const aWhile = async (t: Trial): Promise<void> => {
  await (await t.connect({ keepalive: 1 })).ended();
};

export const waiting: readonly Case[] = [
  conforms(
    {
      v5: [
        "MQTT-3.3.2-4",
        "MQTT-3.3.2-6",
        "MQTT-3.3.2-15",
        "MQTT-3.3.2-16",
        "MQTT-3.3.2-17",
        "MQTT-3.3.2-18",
        "MQTT-3.3.2-20",
        "MQTT-3.3.4-3",
        "MQTT-3.3.1-13",
      ],
    },
    "gives a client that was away its messages with all that belongs to them, and their expiry less the time they waited",
    async (t) => {
      const clientId = t.name();
      const reader = await t.connect(lasting(t, clientId), "there");
      const filter = [{ topic: t.topic("#"), qos: 2 as const, rap: true }];
      await t.subscribe(reader, filter, { subscriptionIdentifier: 77 });
      await away(reader);
      const publisher = await t.connect();
      const properties = {
        payloadFormatIndicator: true,
        contentType: "text/plain",
        responseTopic: "r",
        correlationData: Buffer.of(0, 255),
        userProperties: { b: ["1", "2"], a: "3" },
      };
      publisher.publish(t.topic("a"), "x", {
        ...{ qos: 1, messageId: 1, retain: true },
        properties: { ...properties, messageExpiryInterval: 100 },
      });
      await publisher.next("puback");
      await aWhile(t);
      const message = await (await t.connect(lasting(t, clientId))).message();
      expect(message).toMatchObject({ text: "x", qos: 1, retain: true });
      expect(message.properties).toMatchObject({ ...properties, subscriptionIdentifier: 77 });
      expect(Object.keys(message.properties?.userProperties ?? {})).toEqual(["b", "a"]);
      expect(message.properties?.messageExpiryInterval).toBeLessThan(100);
      expect(message.properties?.messageExpiryInterval).toBeGreaterThan(0);
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.2-5"] },
    "gives a client that was away nothing that expired meanwhile",
    async (t) => {
      const clientId = t.name();
      await away(await t.subscriber(t.topic("#"), lasting(t, clientId)));
      const publisher = await t.connect();
      const properties = { messageExpiryInterval: 1 };
      publisher.publish(t.topic("a"), "late", { qos: 1, messageId: 1, properties });
      await publisher.next("puback");
      publisher.publish(t.topic("a"), "in time", { qos: 1, messageId: 2 });
      await publisher.next("puback");
      await aWhile(t);
      const again = await t.connect(lasting(t, clientId));
      expect(await again.message()).toMatchObject({ text: "in time" });
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-24", "MQTT-3.1.2-25", "MQTT-3.3.4-9"] },
    "keeps to what a client takes when it is back: what is too large is passed over, what is too much waits",
    async (t) => {
      const clientId = t.name();
      await away(await t.subscriber([{ topic: t.topic("#"), qos: 2 }], lasting(t, clientId)));
      const publisher = await t.connect();
      for (const [i, text] of ["one", "x".repeat(500), "two", "three"].entries()) {
        publisher.publish(t.topic("a"), text, { qos: i === 1 ? 2 : 1, messageId: i + 1 });
        await publisher.next(i === 1 ? "pubrec" : "puback");
      }
      const small = { maximumPacketSize: 200, receiveMaximum: 1 };
      const again = await t.connect(lasting(t, clientId, small));
      for (const text of ["one", "two", "three"]) {
        const message = await again.message();
        expect(message).toMatchObject({ text });
        expect(await again.roundTrip()).toEqual([]);
        again.send({ cmd: "puback", messageId: message.messageId! });
      }
      await away(again);
      const last = await t.connect(lasting(t, clientId));
      expect(last.connack).toMatchObject({ sessionPresent: true });
      publisher.publish(t.topic("a"), "four", { qos: 1, messageId: 9 });
      expect(await last.message()).toMatchObject({ text: "four" });
    },
  ),
  conforms(
    { v5: ["MQTT-3.8.3-3", "MQTT-3.3.1-10"] },
    "remembers the options of a subscription for a client that is back: no local, retain handling",
    async (t) => {
      const clientId = t.name();
      const filter = [{ topic: t.topic("#"), qos: 1 as const, nl: true, rh: 1 as const }];
      const publisher = await t.connect();
      publisher.publish(t.topic("kept"), "old", { qos: 1, messageId: 1, retain: true });
      await publisher.next("puback");
      const reader = await t.subscriber(filter, lasting(t, clientId));
      const old = await reader.message();
      expect(old).toMatchObject({ text: "old", retain: true });
      reader.send({ cmd: "puback", messageId: old.messageId! });
      await away(reader);
      const again = await t.connect(lasting(t, clientId));
      await t.subscribe(again, filter);
      again.publish(t.topic("a"), "own", { qos: 1, messageId: 1 });
      await again.next("puback");
      publisher.publish(t.topic("a"), "other", { qos: 1, messageId: 2 });
      expect(await again.message()).toMatchObject({ text: "other" });
    },
  ),
  conforms(
    { v3: ["MQTT-4.7.3-3"], v5: ["MQTT-4.7.3-3"] },
    "keeps messages to topics of 65,535 bytes and of 60,000 levels, for subscribers and for clients that are away",
    async (t) => {
      const clientId = t.name();
      const topics = [t.topic("y".repeat(65_535 - t.topic("").length)), t.topic("/".repeat(60_000))];
      const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
      await away(await t.subscriber(subscriptions, lasting(t, clientId)));
      const publisher = await t.connect();
      for (const [i, topic] of topics.entries()) {
        publisher.publish(topic, `${i}`, { qos: 1, messageId: i + 1, retain: true });
        await publisher.next("puback");
      }
      const again = await t.connect(lasting(t, clientId));
      const got = [await again.message(), await again.message()];
      expect(got.map(({ topic }) => topic)).toEqual(topics);
      for (const filter of [...topics, t.topic("#")]) {
        const fresh = await t.subscriber(filter);
        expect(await fresh.message()).toMatchObject({ retain: true });
      }
    },
  ),
];
