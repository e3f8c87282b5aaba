/** Retained messages, and the RETAIN flag of what is forwarded. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";
import type { PacketClient } from "../packet-client.js";
import type { Trial } from "../trial.js";

async function keep(client: PacketClient, topic: string, payload: string, qos: 0 | 1 = 1): Promise<void> {
  if (qos === 1) {
    client.publish(topic, payload, { qos: 1, messageId: 1, retain: true });
    await client.next("puback");
  } else {
    client.publish(topic, payload, { retain: true });
    await client.roundTrip();
  }
}

/** The next messages that a new subscriber gets: what is kept, and behind it one that is published now. */
async function keptFor(t: Trial, publisher: PacketClient, options: object = {}): Promise<string[]> {
  const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 1, ...options }]);
  publisher.publish(t.topic("now"), "now", { qos: 1, messageId: 9 });
  const seen: string[] = [];
  for (;;) {
    const { text, retain } = await subscriber.message();
    if (text === "now") return seen;
    // What was on its way to its subscribers when this one came is no kept message.
    if (retain) seen.push(`${text} ${retain}`);
  }
}

export const retained: readonly Case[] = [
  conforms(
    { v3: ["MQTT-3.3.1-9"], v5: ["MQTT-3.3.1-12"] },
    "forwards a retained message to those who have subscribed with RETAIN 0",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1, retain: true });
      expect(await subscriber.message()).toMatchObject({ text: "x", retain: false });
    },
  ),
  conforms({ v5: ["MQTT-3.3.1-13"] }, "forwards RETAIN as published to those who want it", async (t) => {
    const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 1, rap: true }]);
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1, retain: true });
    expect(await subscriber.message()).toMatchObject({ text: "x", retain: true });
    publisher.publish(t.topic("a"), "y", { qos: 1, messageId: 1 });
    expect(await subscriber.message()).toMatchObject({ text: "y", retain: false });
  }),
  conforms(
    { v3: ["MQTT-3.3.1-10", "MQTT-3.3.1-11"], v5: ["MQTT-3.3.1-6", "MQTT-3.3.1-7"] },
    "forwards an empty retained message like others",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "");
      expect(await subscriber.message()).toMatchObject({ text: "" });
      expect(await keptFor(t, publisher)).toEqual([]);
    },
  ),
  conforms({ v3: ["MQTT-3.3.1-12"], v5: ["MQTT-3.3.1-8"] }, "keeps no message without RETAIN", async (t) => {
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
    await publisher.next("puback");
    expect(await keptFor(t, publisher)).toEqual([]);
  }),
  conforms(
    { v3: ["MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8"], v5: ["MQTT-3.3.1-5", "MQTT-3.3.1-9"] },
    "gives a new subscriber the last retained message of each topic",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "old");
      await keep(publisher, t.topic("a"), "a");
      await keep(publisher, t.topic("b"), "b");
      expect((await keptFor(t, publisher)).sort()).toEqual(["a true", "b true"]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.3.1-7"], v5: ["MQTT-3.3.1-5"] },
    "replaces what is kept by a retained message of QoS 0",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "old");
      // Nothing tells a publisher of QoS 0 that its message is there, but that others get it.
      const witness = await t.subscriber(t.topic("#"));
      expect(await witness.message()).toMatchObject({ text: "old", retain: true });
      await keep(publisher, t.topic("a"), "new", 0);
      expect(await witness.message()).toMatchObject({ text: "new", retain: false });
      expect(await keptFor(t, publisher)).toEqual(["new true"]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.3.1-10", "MQTT-3.3.1-12"], v5: ["MQTT-3.3.1-6", "MQTT-3.3.1-8"] },
    "removes what is kept by an empty retained message, and by nothing else",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "a");
      await keep(publisher, t.topic("b"), "b");
      await keep(publisher, t.topic("a"), "");
      publisher.publish(t.topic("b"), "", { qos: 1, messageId: 2 });
      await publisher.next("puback");
      expect(await keptFor(t, publisher)).toEqual(["b true"]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-7"] },
    "keeps retained messages when the session of their publisher ends",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "a");
      publisher.send({ cmd: "disconnect" });
      await publisher.ended();
      expect(await keptFor(t, await t.connect())).toEqual(["a true"]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.8.4-3"], v5: ["MQTT-3.3.1-9", "MQTT-3.8.4-4"] },
    "gives retained messages again when a filter is subscribed again",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "a");
      const subscriber = await t.subscriber(t.topic("#"));
      expect(await subscriber.message()).toMatchObject({ text: "a", retain: true });
      await t.subscribe(subscriber, t.topic("#"));
      expect(await subscriber.message()).toMatchObject({ text: "a", retain: true });
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.1-10"] },
    "gives retained messages to a new subscription only with retain handling 1",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "a");
      const filter = [{ topic: t.topic("#"), qos: 1 as const, rh: 1 }];
      const subscriber = await t.subscriber(filter);
      expect(await subscriber.message()).toMatchObject({ text: "a", retain: true });
      await t.subscribe(subscriber, filter);
      publisher.publish(t.topic("now"), "now", { qos: 1, messageId: 9 });
      expect(await subscriber.message()).toMatchObject({ text: "now" });
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.1-11"] },
    "gives no retained messages with retain handling 2, which other subscribers get",
    async (t) => {
      const publisher = await t.connect();
      await keep(publisher, t.topic("a"), "a");
      expect(await keptFor(t, publisher, { rh: 2 })).toEqual([]);
      expect(await keptFor(t, publisher)).toEqual(["a true"]);
    },
  ),
];
