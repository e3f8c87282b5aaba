/** QoS 1 and 2 in both directions, and flow control. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";

export const delivering: readonly Case[] = [
  conforms(
    {
      v3: ["MQTT-2.3.1-6", "MQTT-3.3.4-1", "MQTT-4.3.2-2"],
      v5: ["MQTT-2.2.1-5", "MQTT-3.3.4-1", "MQTT-4.3.2-4", "MQTT-4.3.2-5", "MQTT-3.4.2-1"],
    },
    "acknowledges QoS 1 under its identifier, and takes the next of that identifier for a new message",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      for (const [text, dup] of [
        ["1", false],
        ["2", false],
        ["3", true],
      ] as const) {
        publisher.publish(t.topic("a"), text, { qos: 1, messageId: 0x1234, dup });
        const puback = await publisher.next("puback");
        expect(puback.messageId).toBe(0x1234);
        expect(puback.reasonCode ?? 0).toBeLessThan(0x80);
        expect(await subscriber.message()).toMatchObject({ text });
      }
    },
  ),
  conforms(
    { v3: ["MQTT-3.3.1-3"], v5: ["MQTT-3.3.1-3"] },
    "does not hand on the DUP of the publisher",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1, dup: true });
      expect(await subscriber.message()).toMatchObject({ text: "x", dup: false });
    },
  ),
  conforms(
    {
      v3: ["MQTT-4.3.3-2", "MQTT-2.3.1-6"],
      v5: [
        "MQTT-4.3.3-8",
        "MQTT-4.3.3-10",
        "MQTT-4.3.3-11",
        "MQTT-4.3.3-12",
        "MQTT-2.2.1-5",
        "MQTT-3.5.2-1",
        "MQTT-3.7.2-1",
      ],
    },
    "delivers a QoS 2 message once until PUBREL, and takes its identifier for a new one afterwards",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      for (const text of ["first", "second"]) {
        publisher.publish(t.topic("a"), text, { qos: 2, messageId: 77 });
        expect((await publisher.next("pubrec")).messageId).toBe(77);
        publisher.publish(t.topic("a"), text, { qos: 2, messageId: 77, dup: true });
        expect((await publisher.next("pubrec")).messageId).toBe(77);
        publisher.send({ cmd: "pubrel", messageId: 77 });
        const pubcomp = await publisher.next("pubcomp");
        expect([pubcomp.messageId, pubcomp.reasonCode ?? 0]).toEqual([77, 0]);
        expect(await subscriber.message()).toMatchObject({ text });
      }
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-4.3.3-2"], v5: ["MQTT-4.3.3-11", "MQTT-3.7.2-1"] },
    "completes a PUBREL whose identifier it does not know",
    async (t) => {
      const publisher = await t.connect();
      publisher.send({ cmd: "pubrel", messageId: 99 });
      const pubcomp = await publisher.next("pubcomp");
      expect(pubcomp.messageId).toBe(99);
      if (t.isV5) expect(pubcomp.reasonCode).toBe(0x92);
    },
  ),
  conforms(
    { v5: ["MQTT-4.3.3-13"] },
    "completes the exchange of a QoS 2 message that has expired",
    async (t) => {
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", {
        qos: 2,
        messageId: 5,
        properties: { messageExpiryInterval: 0 },
      });
      expect((await publisher.next("pubrec")).messageId).toBe(5);
      publisher.send({ cmd: "pubrel", messageId: 5 });
      expect((await publisher.next("pubcomp")).messageId).toBe(5);
    },
  ),
  conforms(
    {
      v3: ["MQTT-4.3.2-1", "MQTT-2.3.1-4", "MQTT-2.3.1-1", "MQTT-4.5.0-1"],
      v5: ["MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-2.2.1-4", "MQTT-2.2.1-3", "MQTT-4.5.0-1"],
    },
    "sends QoS 1 under identifiers that are free and not 0, first without DUP",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const publisher = await t.connect();
      const ids = new Set<number | undefined>();
      for (let i = 0; i < 5; i++) {
        publisher.publish(t.topic("a"), `${i}`, { qos: 1, messageId: 1 });
        const message = await subscriber.message();
        expect(message).toMatchObject({ text: `${i}`, qos: 1, dup: false });
        expect(message.messageId).toBeGreaterThan(0);
        ids.add(message.messageId);
      }
      expect(ids.size).toBe(5);
    },
  ),
  conforms(
    {
      v5: ["MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.3.2-3"],
    },
    "sends no more than the client's receive maximum, and the next when one is acknowledged",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"), { properties: { receiveMaximum: 2 } });
      const publisher = await t.connect();
      for (let i = 0; i < 4; i++) publisher.publish(t.topic("a"), `${i}`, { qos: 1, messageId: i + 1 });
      for (let i = 0; i < 4; i++) await publisher.next("puback");
      const first = await subscriber.message();
      expect(await subscriber.message()).toMatchObject({ text: "1" });
      // Behind all four of its publisher in the same lane.
      expect(await subscriber.roundTrip()).toEqual([]);
      subscriber.send({ cmd: "puback", messageId: first.messageId! });
      expect(await subscriber.message()).toMatchObject({ text: "2" });
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v5: ["MQTT-3.3.4-10", "MQTT-4.9.0-3"] },
    "goes on with everything else while a client's receive maximum is used up",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"), { properties: { receiveMaximum: 1 } });
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "1", { qos: 1, messageId: 1 });
      publisher.publish(t.topic("a"), "2", { qos: 1, messageId: 2 });
      expect(await subscriber.message()).toMatchObject({ text: "1" });
      publisher.publish(t.topic("a"), "0");
      expect(await subscriber.message()).toMatchObject({ text: "0", qos: 0 });
      expect(await t.subscribe(subscriber, t.topic("more"))).toEqual([1]);
      subscriber.publish(t.topic("elsewhere"), "x", { qos: 1, messageId: 9 });
      await subscriber.next("puback");
      subscriber.send({ cmd: "unsubscribe", messageId: 3, unsubscriptions: [t.topic("more")] });
      await subscriber.next("unsuback");
    },
  ),
  conforms(
    { v5: ["MQTT-4.4.0-2"] },
    "takes a PUBACK that refuses for an acknowledgement: the next message comes",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"), { properties: { receiveMaximum: 1 } });
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "1", { qos: 1, messageId: 1 });
      publisher.publish(t.topic("a"), "2", { qos: 1, messageId: 2 });
      const { messageId } = await subscriber.message();
      subscriber.send({ cmd: "puback", messageId: messageId!, reasonCode: 0x83 });
      expect(await subscriber.message()).toMatchObject({ text: "2" });
    },
  ),
  conforms(
    { v3: ["MQTT-3.8.4-6"], v5: ["MQTT-3.8.4-8"] },
    "delivers with the lower of published and granted QoS",
    async (t) => {
      const low = await t.subscriber([{ topic: t.topic("#"), qos: 0 }]);
      const high = await t.subscriber([{ topic: t.topic("#"), qos: 1 }]);
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "0");
      publisher.publish(t.topic("b"), "1", { qos: 1, messageId: 1 });
      const seen = async (client: typeof low) =>
        [await client.message(), await client.message()].map(({ text, qos }) => `${text} as ${qos}`).sort();
      expect(await seen(low)).toEqual(["0 as 0", "1 as 0"]);
      expect(await seen(high)).toEqual(["0 as 0", "1 as 1"]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-4.3.3-1"],
      v5: ["MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-3.6.2-1"],
    },
    "delivers QoS 2 through PUBREC, PUBREL and PUBCOMP under one identifier",
    async (t) => {
      const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 2 }]);
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 2, messageId: 1 });
      const message = await subscriber.message();
      expect(message).toMatchObject({ text: "x", qos: 2, dup: false });
      const messageId = message.messageId!;
      subscriber.send({ cmd: "pubrec", messageId });
      const pubrel = await subscriber.next("pubrel");
      expect([pubrel.messageId, pubrel.reasonCode ?? 0]).toEqual([messageId, 0]);
      subscriber.send({ cmd: "pubcomp", messageId });
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v5: ["MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.3.3-7"] },
    "sends PUBREL again to a client that comes back, and not the message",
    async (t) => {
      const clientId = t.name();
      const options = { clientId, clean: false, properties: { sessionExpiryInterval: 300 } };
      const subscriber = await t.subscriber([{ topic: t.topic("#"), qos: 2 }], options);
      const publisher = await t.connect();
      const properties = { messageExpiryInterval: 1 };
      publisher.publish(t.topic("a"), "x", { qos: 2, messageId: 1, properties });
      const message = await subscriber.message();
      expect(message.qos).toBe(2);
      const messageId = message.messageId!;
      subscriber.send({ cmd: "pubrec", messageId });
      await subscriber.next("pubrel");
      subscriber.lose();
      // By the time the next one is cut off the message has expired, which no longer matters.
      await (await t.connect({ keepalive: 1 })).ended();
      const again = await t.connect(options);
      expect(await again.next("pubrel")).toMatchObject({ messageId });
      again.send({ cmd: "pubcomp", messageId });
      expect(await again.roundTrip()).toEqual([]);
    },
  ),
];
