/** PUBLISH from one client to another: topics, payloads, properties. */
import { expect } from "vitest";
import { bytes, packet, properties, u16, u32 } from "../bytes.js";
import { type Case, conforms } from "../case.js";
import { USER } from "../ground.js";

export const publishing: readonly Case[] = [
  conforms(
    {
      v3: ["MQTT-3.3.2-3", "MQTT-3.3.2-1", "MQTT-2.3.1-5", "MQTT-4.3.1-1", "MQTT-3.3.1-2", "MQTT-3.3.4-1"],
      v5: [
        "MQTT-3.3.2-3",
        "MQTT-3.3.2-1",
        "MQTT-2.2.1-2",
        "MQTT-2.2.2-1",
        "MQTT-4.3.1-1",
        "MQTT-3.3.1-2",
        "MQTT-3.3.4-1",
      ],
    },
    "forwards a message of QoS 0 as it came, without identifier and DUP",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("+/b"));
      const publisher = await t.connect();
      const payload = Buffer.from([0, 1, 2, 0xff]);
      publisher.publish(t.topic("a/b"), payload);
      const message = await subscriber.message();
      expect(message).toMatchObject({ topic: t.topic("a/b"), payload, qos: 0, dup: false });
      expect(message.messageId).toBeUndefined();
      expect(await publisher.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-1.5.3-3", "MQTT-4.7.3-4"], v5: ["MQTT-1.5.4-3", "MQTT-4.7.3-4"] },
    "changes nothing of a topic: byte order marks, case, spaces, forms of one letter",
    async (t) => {
      const topics = ["\ufeffa", "a\ufeff", "A", "a", " a ", "\u00e9", "e\u0301", "/", "//", "a/"].map((x) =>
        t.topic(x),
      );
      const subscriber = await t.subscriber(topics.map((topic) => ({ topic, qos: 1 as const })));
      const publisher = await t.connect();
      for (const topic of topics) {
        publisher.publish(topic, topic, { qos: 1, messageId: 1 });
        await publisher.next("puback");
      }
      // One copy each: no topic was taken for another.
      for (const topic of topics) expect(await subscriber.message()).toMatchObject({ topic, text: topic });
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-4.7.3-3"], v5: ["MQTT-4.7.3-3"] },
    "forwards topics of 65,535 bytes and of 60,000 levels, and lives",
    async (t) => {
      const publisher = await t.connect();
      const subscriber = await t.subscriber(t.topic("#"));
      const long = t.topic("x".repeat(65_535 - t.topic("").length));
      const deep = t.topic("/".repeat(60_000));
      for (const topic of [long, deep]) {
        publisher.publish(topic, "x", { qos: 1, messageId: 1 });
        await publisher.next("puback");
        expect((await subscriber.message()).topic === topic).toBe(true);
      }
    },
  ),
  conforms(
    { v3: ["MQTT-4.6.0-5", "MQTT-4.6.0-6"], v5: ["MQTT-4.6.0-5", "MQTT-4.6.0-6"] },
    "keeps the order of each QoS",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      const sent = Array.from({ length: 50 }, (_, i) => `${i}`);
      for (const text of sent) {
        publisher.publish(t.topic("0"), text);
        publisher.publish(t.topic("1"), text, { qos: 1, messageId: Number(text) + 1 });
      }
      const seen: Record<string, string[]> = {};
      for (let i = 0; i < 2 * sent.length; i++) {
        const { topic, text } = await subscriber.message();
        const texts = seen[topic] ?? [];
        seen[topic] = texts;
        texts.push(text);
      }
      expect(seen).toEqual({ [t.topic("0")]: sent, [t.topic("1")]: sent });
    },
  ),
  conforms(
    { v3: ["MQTT-3.3.5-2"], v5: ["MQTT-3.4.2-1", "MQTT-3.5.2-1"] },
    "refuses what a client may not publish: by reason code, before MQTT 5 by closing",
    async (t) => {
      const user = { username: USER.name, password: Buffer.from(USER.password) };
      for (const qos of [1, 2] as const) {
        const publisher = await t.connect(user);
        publisher.publish("forbidden/a", "x", { qos, messageId: 5 });
        if (!t.isV5) {
          expect(await publisher.ended()).toEqual([]);
          continue;
        }
        const answer = await publisher.next(qos === 1 ? "puback" : "pubrec");
        expect(answer).toMatchObject({ messageId: 5, reasonCode: 0x87 });
      }
    },
  ),
  conforms({ v5: ["MQTT-4.3.3-9"] }, "takes an identifier it has refused for a new message", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect({ username: USER.name, password: Buffer.from(USER.password) });
    publisher.publish("forbidden/a", "x", { qos: 2, messageId: 5 });
    expect(await publisher.next("pubrec")).toMatchObject({ reasonCode: 0x87 });
    publisher.publish(t.topic("a"), "y", { qos: 2, messageId: 5 });
    expect((await publisher.next("pubrec")).reasonCode ?? 0).toBe(0);
    publisher.send({ cmd: "pubrel", messageId: 5 });
    await publisher.next("pubcomp");
    expect(await subscriber.message()).toMatchObject({ text: "y" });
  }),
  conforms(
    { v5: ["MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-20", "MQTT-3.3.2-13", "MQTT-3.3.2-19"] },
    "forwards response topic, correlation data and content type unchanged",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      const sent = {
        responseTopic: "häus/\ufeff",
        correlationData: Buffer.from([0, 255, 1]),
        contentType: "tëxt/plain",
      };
      publisher.publish(t.topic("a"), "x", { properties: sent });
      expect((await subscriber.message()).properties).toEqual(sent);
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1, properties: sent });
      expect((await subscriber.message()).properties).toEqual(sent);
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-1.5.7-1"] },
    "forwards all user properties in their order, with doubled and empty ones",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      const pairs = properties(
        0x26,
        "b",
        "1",
        0x26,
        "a",
        "",
        0x26,
        "b",
        "2",
        0x26,
        "traceparent",
        "no trace",
        0x26,
        "",
        "x",
      );
      publisher.raw(packet(0x30, t.topic("a"), pairs, Buffer.from("x")));
      const message = await subscriber.message();
      expect(message.properties?.userProperties).toEqual({
        b: ["1", "2"],
        a: "",
        traceparent: "no trace",
        "": "x",
      });
    },
  ),
  conforms({ v5: ["MQTT-3.3.2-4"] }, "forwards the payload format indicator unchanged", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { properties: { payloadFormatIndicator: true } });
    expect((await subscriber.message()).properties).toMatchObject({ payloadFormatIndicator: true });
  }),
  conforms({ v5: ["MQTT-3.3.2-6"] }, "passes the expiry interval on less what has passed", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { properties: { messageExpiryInterval: 60 } });
    const left = (await subscriber.message()).properties?.messageExpiryInterval;
    expect(left).toBeGreaterThan(50);
    expect(left).toBeLessThanOrEqual(60);
  }),
  conforms({ v5: ["MQTT-3.3.2-5"] }, "delivers nothing that has expired already", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "late", {
      qos: 1,
      messageId: 1,
      properties: { messageExpiryInterval: 0 },
    });
    publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 2 });
    expect(await subscriber.message()).toMatchObject({ text: "x" });
  }),
  conforms(
    { v5: ["MQTT-3.3.2-12", "MQTT-3.3.2-8", "MQTT-3.2.2-1"] },
    "takes every topic alias from 1 to the maximum it offers",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      const max = publisher.connack?.properties?.topicAliasMaximum ?? 0;
      expect(max).toBeGreaterThan(0);
      for (const topicAlias of [1, max]) {
        publisher.publish(t.topic(`${topicAlias}`), "with", { properties: { topicAlias } });
        publisher.publish("", "without", { properties: { topicAlias } });
        publisher.publish("", "qos 1", { qos: 1, messageId: 1, properties: { topicAlias } });
      }
      const seen = new Set<string>();
      for (let i = 0; i < 6; i++) {
        const { topic, text, properties } = await subscriber.message();
        expect(properties?.topicAlias).toBeUndefined();
        seen.add(`${topic} ${text}`);
      }
      const texts = ["with", "without", "qos 1"];
      expect(seen).toEqual(
        new Set([1, max].flatMap((alias) => texts.map((text) => `${t.topic(`${alias}`)} ${text}`))),
      );
    },
  ),
  conforms({ v5: ["MQTT-3.3.2-12"] }, "lets an alias stand for another topic later", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect();
    for (const name of ["a", "b"]) {
      publisher.publish(t.topic(name), name, { properties: { topicAlias: 1 } });
      publisher.publish("", name, { properties: { topicAlias: 1 } });
      for (let i = 0; i < 2; i++)
        expect(await subscriber.message()).toMatchObject({ topic: t.topic(name), text: name });
    }
  }),
  conforms({ v5: ["MQTT-3.3.2-7"] }, "knows no alias of an earlier connection", async (t) => {
    const clientId = t.name();
    const first = await t.connect({ clientId });
    first.publish(t.topic("a"), "x", { properties: { topicAlias: 1 } });
    first.send({ cmd: "disconnect" });
    await first.ended();
    const again = await t.connect({ clientId });
    again.publish("", "x", { properties: { topicAlias: 1 } });
    expect(await again.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
  }),
  conforms(
    { v5: ["MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11"] },
    "sends no alias above the client's maximum, and none without one",
    async (t) => {
      const plain = await t.subscriber(t.topic("#"));
      const one = await t.subscriber(t.topic("#"), { properties: { topicAliasMaximum: 1 } });
      const publisher = await t.connect();
      for (let i = 0; i < 3; i++) publisher.publish(t.topic(`${i}`), "x");
      for (let i = 0; i < 3; i++) {
        expect((await plain.message()).properties?.topicAlias).toBeUndefined();
        expect((await one.message()).properties?.topicAlias ?? 1).toBe(1);
      }
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.2-11"] },
    "uses an alias for a topic that comes again, where the client takes some",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"), { properties: { topicAliasMaximum: 1 } });
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "1");
      publisher.publish(t.topic("a"), "2");
      expect((await subscriber.message()).properties?.topicAlias).toBe(1);
      expect(await subscriber.message()).toMatchObject({
        topic: "",
        text: "2",
        properties: { topicAlias: 1 },
      });
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-25", "MQTT-3.1.2-24"] },
    "drops what is too large for the client, and goes on",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"), { properties: { maximumPacketSize: 100 } });
      const publisher = await t.connect();
      for (const qos of [0, 1] as const) {
        publisher.publish(t.topic("a"), "x".repeat(100), { qos, messageId: 1 });
        publisher.publish(t.topic("a"), "y", { qos, messageId: 2 });
        expect(await subscriber.message()).toMatchObject({ text: "y", qos });
      }
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-24"] },
    "hangs up where SUBACK would be too large for the client",
    async (t) => {
      const client = await t.connect({ properties: { maximumPacketSize: 20 } }).catch(() => undefined);
      // An accepting CONNACK may itself be larger than this; then there is nothing more to see.
      if (client === undefined) return;
      const filters = Array.from({ length: 30 }, (_, i) => bytes(t.topic(`${i}`), 0));
      client.raw(packet(0x82, u16(1), 0, ...filters));
      expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x95 }]);
    },
  ),
  conforms({ v5: ["MQTT-3.3.4-6"] }, "takes no subscription identifier from a publisher", async (t) => {
    const client = await t.connect();
    client.raw(packet(0x30, t.topic("a"), properties(0x0b, 1), Buffer.from("x")));
    expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
  }),
  conforms({ v5: ["MQTT-3.3.2-14"] }, "takes no response topic with wildcards", async (t) => {
    for (const responseTopic of ["a/+", "#"]) {
      const client = await t.connect();
      client.raw(packet(0x30, t.topic("a"), properties(0x08, responseTopic), Buffer.from("x")));
      expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
    }
  }),
  conforms({ v5: ["MQTT-3.3.2-5"] }, "takes the largest expiry interval there is", async (t) => {
    const subscriber = await t.subscriber(t.topic("#"));
    const publisher = await t.connect();
    publisher.raw(packet(0x30, t.topic("a"), properties(0x02, u32(0xffff_ffff)), Buffer.from("x")));
    expect(await subscriber.message()).toMatchObject({ text: "x" });
  }),
];
