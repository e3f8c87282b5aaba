/** Wills: kept, published, taken back. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";
import type { Trial } from "../trial.js";

const willOf = (t: Trial, more: object = {}) => ({
  topic: t.topic("will"),
  payload: Buffer.from("gone"),
  qos: 1 as const,
  retain: false,
  ...more,
});

export const wills: readonly Case[] = [
  conforms(
    {
      v3: ["MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-16"],
      v5: ["MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-14"],
    },
    "publishes the will of a client whose network fails",
    async (t) => {
      const rap = t.isV5 ? { rap: true } : {};
      const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 1, ...rap }]);
      const client = await t.connect({ will: willOf(t) });
      client.lose();
      expect(await subscriber.message()).toMatchObject({
        text: "gone",
        topic: t.topic("will"),
        qos: 1,
        retain: false,
      });
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-8", "MQTT-4.8.0-1"], v5: ["MQTT-3.1.2-8", "MQTT-4.13.1-1"] },
    "publishes the will of a client that breaks the rules",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.connect({ will: willOf(t, { qos: 0 }) });
      client.raw(Buffer.of(0xc1, 0));
      await client.ended();
      expect(await subscriber.message()).toMatchObject({ text: "gone", qos: 0 });
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-24"], v5: ["MQTT-3.1.2-22"] },
    "publishes the will of a client that exceeds its keep alive",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.connect({ will: willOf(t), keepalive: 1 });
      await client.ended();
      expect(await subscriber.message()).toMatchObject({ text: "gone" });
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.2-10", "MQTT-3.14.4-3"],
      v5: ["MQTT-3.1.2-10", "MQTT-3.14.4-3"],
    },
    "forgets the will of a client that says goodbye",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const clientId = t.name();
      const client = await t.connect({ clientId, will: willOf(t) });
      client.send({ cmd: "disconnect" });
      await client.ended();
      // Of the same device, so nothing of the first connection comes behind it.
      const again = await t.connect({ clientId });
      again.publish(t.topic("after"), "x", { qos: 1, messageId: 1 });
      expect(await subscriber.message()).toMatchObject({ topic: t.topic("after") });
    },
  ),
  conforms({ v3: ["MQTT-3.1.2-10"], v5: ["MQTT-3.1.2-10"] }, "publishes a will once", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const clientId = t.name();
    (await t.connect({ clientId, will: willOf(t) })).lose();
    expect(await subscriber.message()).toMatchObject({ text: "gone" });
    (await t.connect({ clientId })).lose();
    const last = await t.connect({ clientId });
    last.publish(t.topic("after"), "x", { qos: 1, messageId: 1 });
    expect(await subscriber.message()).toMatchObject({ topic: t.topic("after") });
  }),
  conforms(
    { v3: ["MQTT-3.1.2-12", "MQTT-3.1.2-11"] },
    "publishes nothing for a client that left no will",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const clientId = t.name();
      (await t.connect({ clientId })).lose();
      const again = await t.connect({ clientId });
      again.publish(t.topic("after"), "x", { qos: 1, messageId: 1 });
      expect(await subscriber.message()).toMatchObject({ topic: t.topic("after") });
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-8", "MQTT-3.14.2-1"] },
    "publishes the will of a client that asks for it in DISCONNECT",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.connect({ will: willOf(t) });
      client.send({ cmd: "disconnect", reasonCode: 4 });
      expect(await subscriber.message()).toMatchObject({ text: "gone" });
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-3.14.4-3"] },
    "publishes the will of a client that says goodbye because of an error",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.connect({ will: willOf(t) });
      client.send({ cmd: "disconnect", reasonCode: 0x80 });
      expect(await subscriber.message()).toMatchObject({ text: "gone" });
    },
  ),
  conforms({ v5: ["MQTT-3.1.3-10"] }, "publishes the will with its properties, in their order", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const userProperties = { b: ["1", "2"], a: "3" };
    const properties = {
      userProperties,
      contentType: "text/plain",
      responseTopic: "r",
      correlationData: Buffer.of(7),
    };
    (await t.connect({ will: willOf(t, { properties }) })).lose();
    const message = await subscriber.message();
    expect(message.properties).toMatchObject(properties);
    expect(Object.keys(message.properties?.userProperties ?? {})).toEqual(["b", "a"]);
  }),
  conforms(
    { v3: ["MQTT-3.1.2-17"], v5: ["MQTT-3.1.2-15"] },
    "keeps a retained will for later subscribers",
    async (t) => {
      const watch = await t.subscriber(t.topic("#"));
      (await t.connect({ will: willOf(t, { retain: true }) })).lose();
      await watch.message();
      const subscriber = await t.subscriber(t.topic("will"));
      expect(await subscriber.message()).toMatchObject({ text: "gone", retain: true });
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.3-9", "MQTT-3.1.2-8"] },
    "publishes no will of a client that is back within its will delay",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const clientId = t.name();
      const session = { sessionExpiryInterval: 60 };
      const will = willOf(t, { properties: { willDelayInterval: 30 } });
      (await t.connect({ clientId, properties: session, will })).lose();
      const again = await t.connect({ clientId, clean: false, properties: session });
      again.publish(t.topic("after"), "x", { qos: 1, messageId: 1 });
      expect(await subscriber.message()).toMatchObject({ topic: t.topic("after") });
    },
  ),
];
