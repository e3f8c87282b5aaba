/** SUBSCRIBE, UNSUBSCRIBE, filters, shared subscriptions. */
import { expect } from "vitest";
import { type Case, conforms } from "../case.js";
import { USER } from "../ground.js";

export const subscribing: readonly Case[] = [
  conforms(
    {
      v3: [
        "MQTT-3.8.4-1",
        "MQTT-3.8.4-2",
        "MQTT-3.8.4-4",
        "MQTT-3.8.4-5",
        "MQTT-3.9.3-1",
        "MQTT-3.9.3-2",
        "MQTT-2.3.1-7",
      ],
      v5: [
        "MQTT-3.8.4-1",
        "MQTT-3.8.4-2",
        "MQTT-3.8.4-5",
        "MQTT-3.8.4-6",
        "MQTT-3.8.4-7",
        "MQTT-3.9.3-1",
        "MQTT-3.9.3-2",
        "MQTT-2.2.1-6",
      ],
    },
    "answers SUBSCRIBE with one SUBACK that has a code for each filter, in order",
    async (t) => {
      const client = await t.connect({ username: USER.name, password: Buffer.from(USER.password) });
      const options = t.isV5 ? { nl: false, rap: false, rh: 0 } : {};
      client.send({
        cmd: "subscribe",
        messageId: 0xabcd,
        subscriptions: [
          { topic: t.topic("a"), qos: 1, ...options },
          { topic: "forbidden/#", qos: 1, ...options },
          { topic: t.topic("b"), qos: 0, ...options },
          { topic: "bad/#/filter", qos: 0, ...options },
        ],
      });
      const suback = await client.next("suback");
      expect(suback).toMatchObject({
        messageId: 0xabcd,
        granted: t.isV5 ? [1, 0x87, 0, 0x8f] : [1, 0x80, 0, 0x80],
      });
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-2.3.1-7"],
      v5: [
        "MQTT-3.10.4-4",
        "MQTT-3.10.4-5",
        "MQTT-3.10.4-6",
        "MQTT-3.11.3-1",
        "MQTT-3.11.3-2",
        "MQTT-2.2.1-6",
      ],
    },
    "answers UNSUBSCRIBE with one UNSUBACK, also for what was not subscribed",
    async (t) => {
      const client = await t.subscriber(t.topic("a"));
      client.send({ cmd: "unsubscribe", messageId: 0xabcd, unsubscriptions: [t.topic("b"), t.topic("a")] });
      const unsuback = await client.next("unsuback");
      expect(unsuback.messageId).toBe(0xabcd);
      if (t.isV5) expect(unsuback.granted).toEqual([0x11, 0]);
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.10.4-1", "MQTT-3.10.4-2"], v5: ["MQTT-3.10.4-1", "MQTT-3.10.4-2"] },
    "ends the subscription of an equal filter, and no other",
    async (t) => {
      const client = await t.subscriber([
        { topic: t.topic("a"), qos: 1 },
        { topic: t.topic("A"), qos: 1 },
        { topic: t.topic("+/b"), qos: 1 },
      ]);
      client.send({
        cmd: "unsubscribe",
        messageId: 1,
        unsubscriptions: [t.topic("a"), t.topic("#"), t.topic("x/b")],
      });
      await client.next("unsuback");
      const publisher = await t.connect();
      for (const rest of ["a", "A", "x/b"]) publisher.publish(t.topic(rest), rest);
      expect(await client.message()).toMatchObject({ text: "A" });
      expect(await client.message()).toMatchObject({ text: "x/b" });
    },
  ),
  conforms(
    { v3: ["MQTT-3.10.4-3"], v5: ["MQTT-3.10.4-3"] },
    "completes the deliveries that had begun when UNSUBSCRIBE came",
    async (t) => {
      const client = await t.subscriber(t.topic("a"));
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
      const { messageId } = await client.message();
      client.send({ cmd: "unsubscribe", messageId: 1, unsubscriptions: [t.topic("a")] });
      await client.next("unsuback");
      client.send({ cmd: "puback", messageId: messageId! });
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.8.4-3"], v5: ["MQTT-3.8.4-3", "MQTT-3.8.4-4"] },
    "replaces a subscription by one with the same filter",
    async (t) => {
      const client = await t.subscriber([{ topic: t.topic("a"), qos: 1 }]);
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "1", { qos: 1, messageId: 1 });
      expect(await client.message()).toMatchObject({ text: "1", qos: 1 });
      expect(await t.subscribe(client, [{ topic: t.topic("a"), qos: 0 }])).toEqual([0]);
      publisher.publish(t.topic("a"), "2", { qos: 1, messageId: 1 });
      expect(await client.message()).toMatchObject({ text: "2", qos: 0 });
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.3.5-1"], v5: ["MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4"] },
    "sends one copy with the highest QoS where filters overlap, and with the identifiers of all",
    async (t) => {
      const client = await t.connect({}, "there");
      await t.subscribe(
        client,
        [{ topic: t.topic("#"), qos: 0 }],
        t.isV5 ? { subscriptionIdentifier: 1 } : undefined,
      );
      const big = t.isV5 ? { subscriptionIdentifier: 268_435_455 } : undefined;
      await t.subscribe(client, [{ topic: t.topic("+"), qos: 1 }], big);
      await t.subscribe(client, [{ topic: t.topic("a"), qos: 0 }]);
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "x", { qos: 1, messageId: 1 });
      const message = await client.message();
      expect(message).toMatchObject({ text: "x", qos: 1 });
      if (t.isV5) {
        const ids = [message.properties?.subscriptionIdentifier ?? []].flat();
        expect(ids.sort((a, b) => a - b)).toEqual([1, 268_435_455]);
      }
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.8.3-2", "MQTT-4.7.1-2", "MQTT-4.7.1-3"], v5: ["MQTT-4.7.1-1", "MQTT-4.7.1-2"] },
    "matches + with one level and # with all that follow, parent included",
    async (t) => {
      const publisher = await t.connect();
      const topics = ["", "/", "a", "a/", "a/b", "a/b/c", "/a"].map((rest) =>
        t.topic(`s${rest === "" ? "" : `/${rest}`}`),
      );
      const matching: Record<string, readonly number[]> = {
        "s/#": [0, 1, 2, 3, 4, 5, 6],
        "s/+": [2],
        "s/+/#": [1, 2, 3, 4, 5, 6],
        "s/+/+": [1, 3, 4, 6],
        "s/a/#": [2, 3, 4, 5],
        "s/a/+": [3, 4],
        "s/+/b/+": [5],
        "s//+": [1, 6],
      };
      const clients = [];
      for (const filter of Object.keys(matching))
        clients.push(await t.subscriber([{ topic: t.topic(filter), qos: 0 }]));
      for (const topic of topics) publisher.publish(topic, topic);
      for (const [i, wanted] of Object.values(matching).entries()) {
        for (const index of wanted)
          expect(await clients[i]!.message()).toMatchObject({ topic: topics[index] });
        expect(await clients[i]!.roundTrip()).toEqual([]);
      }
    },
  ),
  conforms(
    {
      v3: ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-1"],
      v5: ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1"],
    },
    "refuses filters that are none, and no others of the same packet",
    async (t) => {
      const client = await t.connect();
      const bad = ["", "a#", "#/a", "a/#/b", "a+", "+a", "a/+b/c", "##", "++"];
      const items = [...bad, t.topic("good")].map((topic) => ({ topic, qos: 0 as const }));
      expect(await t.subscribe(client, items)).toEqual([...bad.map(() => (t.isV5 ? 0x8f : 0x80)), 0]);
    },
  ),
  conforms(
    { v3: ["MQTT-4.7.2-1"], v5: ["MQTT-4.7.2-1"] },
    "matches topics that begin with $ by no filter that begins with a wildcard",
    async (t) => {
      const name = t.name();
      const wild = await t.subscriber([
        { topic: `+/${name}`, qos: 0 },
        { topic: "#", qos: 0 },
        { topic: `$own/${name}`, qos: 0 },
      ]);
      const publisher = await t.connect();
      publisher.publish(`$hidden/${name}`, "hidden");
      publisher.publish(`$own/${name}`, "own");
      publisher.publish(`open/${name}`, "open");
      const seen: string[] = [];
      // Others of the same time are seen by # too.
      while (!seen.includes("open")) {
        const { topic, text } = await wild.message();
        if (topic.endsWith(name)) seen.push(text);
      }
      expect(seen).toEqual(["own", "open"]);
    },
  ),
  conforms(
    { v5: ["MQTT-3.8.3-3"] },
    "sends a client with no local nothing of its own, and others everything",
    async (t) => {
      const other = await t.subscriber(t.topic("#"));
      const client = await t.subscriber([{ topic: t.topic("#"), qos: 1, nl: true }]);
      client.publish(t.topic("a"), "own", { qos: 1, messageId: 1 });
      await client.next("puback");
      expect(await other.message()).toMatchObject({ text: "own" });
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "other", { qos: 1, messageId: 1 });
      expect(await client.message()).toMatchObject({ text: "other" });
    },
  ),
  conforms({ v5: ["MQTT-3.8.3-4"] }, "takes no local on a shared subscription for an error", async (t) => {
    const client = await t.connect();
    client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: `$share/g/${t.topic("a")}`, qos: 1, nl: true, rap: false, rh: 0 }],
    });
    expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
  }),
  conforms(
    { v5: ["MQTT-4.8.2-1", "MQTT-4.8.2-2"] },
    "refuses shared filters without a proper name or filter",
    async (t) => {
      const client = await t.connect();
      const bad = [
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
        "$share/#/a",
        "$share/g/a#",
      ];
      expect(
        await t.subscribe(
          client,
          bad.map((topic) => ({ topic, qos: 0 })),
        ),
      ).toEqual(bad.map(() => 0x8f));
      expect(await t.subscribe(client, [{ topic: `$share/g/${t.topic("a")}`, qos: 0 }])).toEqual([0]);
    },
  ),
  conforms(
    { v5: ["MQTT-4.8.2-3"] },
    "gives a shared subscription's messages to one member each, at the QoS granted to it",
    async (t) => {
      // Both on one listener.
      const filter = `$share/g/${t.topic("#")}`;
      const members = [
        await t.subscriber([{ topic: filter, qos: 0 }]),
        await t.subscriber([{ topic: filter, qos: 1 }]),
      ];
      const publisher = await t.connect();
      for (let i = 0; i < 10; i++) {
        publisher.publish(t.topic("a"), `${i}`, { qos: 1, messageId: i + 1 });
        await publisher.next("puback");
      }
      const watch = await t.subscriber(t.topic("end"));
      publisher.publish(t.topic("end"), "end", { qos: 1, messageId: 20 });
      await watch.message();
      const seen = await Promise.all(members.map((member) => member.roundTrip()));
      const texts = seen
        .flat()
        .map((packet) => (packet.cmd === "publish" ? packet.payload.toString() : packet.cmd));
      expect(texts.filter((text) => text !== "end").sort()).toEqual(
        Array.from({ length: 10 }, (_, i) => `${i}`),
      );
      for (const [granted, packets] of seen.entries()) {
        for (const packet of packets) expect(packet).toMatchObject({ cmd: "publish", qos: granted });
      }
    },
  ),
  conforms(
    { v5: ["MQTT-4.8.2-3"] },
    "gives a shared subscription's messages to one member also where members are on different listeners",
    async (t) => {
      const filter = `$share/g/${t.topic("a")}`;
      const here = await t.connect({}, "here");
      await t.subscribe(here, [{ topic: filter, qos: 1 }]);
      const there = await t.subscriber([
        { topic: filter, qos: 1 },
        { topic: t.topic("end"), qos: 1 },
      ]);
      await t.subscribe(here, [{ topic: t.topic("end"), qos: 1 }]);
      const publisher = await t.connect();
      for (let i = 0; i < 10; i++) publisher.publish(t.topic("a"), `${i}`, { qos: 1, messageId: i + 1 });
      publisher.publish(t.topic("end"), "end", { qos: 1, messageId: 20 });
      let count = 0;
      for (const member of [here, there]) while ((await member.message()).text !== "end") count += 1;
      expect(count).toBe(10);
    },
  ),
  conforms(
    { v5: ["MQTT-4.8.2-3"] },
    "gives what a member of a shared subscription has not acknowledged to another one when it goes, wherever that is",
    async (t) => {
      const filter = [{ topic: `$share/g/${t.topic("a")}`, qos: 1 as const }];
      const properties = { receiveMaximum: 1 };
      const leaving = await t.subscriber(filter, { properties });
      const publisher = await t.connect();
      for (const [i, text] of ["sent", "waiting"].entries()) {
        const sent = { qos: 1, messageId: i + 1, properties: { contentType: "text/plain" } } as const;
        publisher.publish(t.topic("a"), text, sent);
        await publisher.next("puback");
      }
      expect(await leaving.message()).toMatchObject({ text: "sent" });
      await leaving.roundTrip();
      const staying = await t.connect({}, "here");
      await t.subscribe(staying, filter);
      leaving.lose();
      const texts: string[] = [];
      for (let i = 0; i < 2; i++) {
        const message = await staying.message();
        expect(message).toMatchObject({
          ...{ qos: 1, topic: t.topic("a") },
          properties: { contentType: "text/plain" },
        });
        texts.push(message.text);
      }
      // The second may have been on its way still when there was another member.
      expect(texts.sort()).toEqual(["sent", "waiting"]);
    },
  ),
  conforms({ v5: ["MQTT-4.8.2-4"] }, "completes a QoS 2 delivery to a member that comes back", async (t) => {
    const options = { clientId: t.name(), clean: false, properties: { sessionExpiryInterval: 300 } };
    const member = await t.subscriber([{ topic: `$share/g/${t.topic("a")}`, qos: 2 }], options);
    const publisher = await t.connect();
    publisher.publish(t.topic("a"), "x", { qos: 2, messageId: 1 });
    const message = await member.message();
    expect(message.qos).toBe(2);
    member.lose();
    const again = await t.connect(options);
    expect(await again.message()).toMatchObject({ text: "x", qos: 2, dup: true });
  }),
  conforms(
    { v5: ["MQTT-4.8.2-5", "MQTT-4.8.2-6"] },
    "gives a QoS 2 message that was sent, or was refused, to no other member",
    async (t) => {
      const filter = [{ topic: `$share/g/${t.topic("a")}`, qos: 2 as const }];
      const leaving = await t.subscriber(filter);
      const publisher = await t.connect();
      publisher.publish(t.topic("a"), "lost", { qos: 2, messageId: 1 });
      expect((await leaving.message()).qos).toBe(2);
      leaving.lose();
      const refusing = await t.subscriber(filter);
      publisher.publish(t.topic("a"), "refused", { qos: 2, messageId: 2 });
      const { messageId, text } = await refusing.message();
      expect(text).toBe("refused");
      const third = await t.subscriber(filter);
      refusing.send({ cmd: "pubrec", messageId: messageId!, reasonCode: 0x83 });
      expect(await refusing.roundTrip()).toEqual([]);
      refusing.send({ cmd: "disconnect" });
      await refusing.ended();
      publisher.publish(t.topic("a"), "mine", { qos: 2, messageId: 3 });
      expect(await third.message()).toMatchObject({ text: "mine" });
    },
  ),
];
