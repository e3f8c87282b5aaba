import type { IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";

const message = (
  path: string,
  payload: string,
  more: Partial<SubscriberMessage> = {},
): SubscriberMessage => ({
  path,
  bytes: Buffer.from(payload),
  payloadStart: 0,
  payloadEnd: Buffer.byteLength(payload),
  contentType: "",
  qos: 0,
  retain: false,
  tenant: "",
  deviceId: "sender",
  extras: () => undefined,
  ...more,
});

function subscribed(rig: MqttRig, version: 4 | 5, ...items: [string, object][]): MqttClient {
  const client = rig.connected("d", version);
  const subscriptions = items.map(([topic, options]) => ({ topic, qos: 0, ...options }));
  client.send({ cmd: "subscribe", messageId: 1, subscriptions } as never);
  client.packets();
  return client;
}

function send(rig: MqttRig, what: SubscriberMessage): void {
  for (const { subscriber, tags } of rig.table.match("", what.path).targets) subscriber.deliver(what, tags);
}

const read = (client: MqttClient): IPublishPacket[] => client.packets() as IPublishPacket[];

describe("a message for a subscriber", () => {
  it("comes once although two of its filters match, with the higher QoS of the two", () => {
    const rig = mqttRig();
    const client = subscribed(rig, 4, ["a/#", {}], ["a/+", { qos: 1 }]);
    send(rig, message("a/b", "x", { qos: 1 }));
    expect(read(client)).toMatchObject([{ topic: "a/b", qos: 1, messageId: 1 }]);
    send(rig, message("a/b", "y", { qos: 0 }));
    expect(read(client)).toMatchObject([{ topic: "a/b", qos: 0 }]);
  });

  it("names all subscription identifiers that led to it", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    for (const [topic, id] of [
      ["a/#", 7],
      ["a/b", 300],
    ] as const) {
      const properties = { subscriptionIdentifier: id };
      client.send({
        cmd: "subscribe",
        messageId: id,
        subscriptions: [{ topic, qos: 0 }],
        properties,
      } as never);
    }
    client.packets();
    send(rig, message("a/b", "x"));
    const [publish] = read(client);
    expect([publish!.properties!.subscriptionIdentifier].flat().sort()).toEqual([300, 7]);
  });

  it("does not come back to its sender when that asked for it", () => {
    const rig = mqttRig();
    const client = subscribed(rig, 5, ["a", { nl: true }]);
    send(rig, message("a", "own", { deviceId: "d" }));
    send(rig, message("a", "other"));
    expect(read(client).map((p) => p.payload.toString())).toEqual(["other"]);
  });

  it("keeps RETAIN only where the subscription asked for it", () => {
    const rig = mqttRig();
    const keeps = subscribed(rig, 5, ["a", { rap: true }]);
    send(rig, message("a", "x", { retain: true }));
    expect(read(keeps)[0]!.retain).toBe(true);
    const other = mqttRig();
    const drops = subscribed(other, 5, ["a", {}]);
    send(other, message("a", "x", { retain: true }));
    expect(read(drops)[0]!.retain).toBe(false);
  });

  it("that lives longer than the packet can say is told the longest time there is", () => {
    const rig = mqttRig();
    const client = subscribed(rig, 5, ["a", {}]);
    const expiresAtUs = rig.clock.wallUs() + (0x1_0000_0000 + 7) * 1_000_000;
    const extras = () => ({
      expiresAtUs,
      headers: [],
      responsePath: "",
      correlation: Buffer.alloc(0),
      isText: false,
    });
    send(rig, message("a", "x", { extras }));
    expect(read(client)[0]!.properties!.messageExpiryInterval).toBe(0xffff_ffff);
  });

  it("carries its properties on, with the time it has left", () => {
    const rig = mqttRig();
    const client = subscribed(rig, 5, ["a", {}]);
    const extras = {
      expiresAtUs: rig.clock.wallUs() + 10_500_000,
      headers: [{ name: "site", value: "north" }],
      responsePath: "r",
      correlation: Buffer.from("c"),
      isText: true,
    };
    send(rig, message("a", "x", { contentType: "text/plain", extras: () => extras }));
    expect(read(client)[0]!.properties).toMatchObject({
      payloadFormatIndicator: true,
      contentType: "text/plain",
      messageExpiryInterval: 11,
      responseTopic: "r",
      correlationData: Buffer.from("c"),
      userProperties: { site: "north" },
    });
    send(rig, message("a", "late", { extras: () => ({ ...extras, expiresAtUs: rig.clock.wallUs() - 1 }) }));
    expect(read(client)).toEqual([]);
    expect(rig.metrics.undelivered.values.get("mqtt,expired")).toBe(1);
  });

  it("larger than the client takes is dropped and counted", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5, { properties: { maximumPacketSize: 50 } });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 0 }] } as never);
    client.packets();
    send(rig, message("a", "x".repeat(60)));
    send(rig, message("a", "fits"));
    expect(read(client).map((p) => p.payload.toString())).toEqual(["fits"]);
    expect(rig.metrics.undelivered.values.get("mqtt,too_large")).toBe(1);
  });

  it("waits behind the client's window and follows as acknowledgements come, in order", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5, { properties: { receiveMaximum: 2 } });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] } as never);
    client.packets();
    for (let i = 1; i <= 5; i++) send(rig, message("a", `${i}`, { qos: 1 }));
    const first = read(client);
    expect(first.map((p) => p.payload.toString())).toEqual(["1", "2"]);
    client.send({ cmd: "puback", messageId: first[0]!.messageId! });
    client.send({ cmd: "puback", messageId: first[1]!.messageId! });
    expect(read(client).map((p) => p.payload.toString())).toEqual(["3", "4"]);
  });

  it("too many for a client that acknowledges none disconnects it with the reason", () => {
    const rig = mqttRig({ maxInflight: 1, maxQueuedMessages: 2 });
    const client = subscribed(rig, 5, ["a", { qos: 1 }]);
    for (let i = 0; i < 4; i++) send(rig, message("a", "x", { qos: 1 }));
    expect(client.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x97 });
    client.lose();
    expect(rig.metrics.undelivered.values.get("mqtt,disconnected")).toBe(3);
  });

  it("of QoS 0 is dropped and counted while the client does not read, and its neighbour gets it", () => {
    const rig = mqttRig({ maxWriteBuffer: "16KiB" });
    const slow = subscribed(rig, 4, ["a", {}]);
    const quick = rig.connected("quick");
    quick.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 0 }] } as never);
    quick.packets();
    slow.stream.reading = false;
    for (let i = 0; i < 100; i++) {
      send(rig, message("a", "x".repeat(1000)));
      slow.connection.flush();
    }
    expect(slow.stream.writableLength).toBeLessThan(18 * 1024);
    expect(rig.metrics.undelivered.values.get("mqtt,slow_client")).toBeGreaterThan(80);
    expect(read(quick)).toHaveLength(100);
    expect(slow.stream.paused).toBe(true);
    slow.drained();
    expect(slow.stream.paused).toBe(false);
  });
});

describe("a message of QoS 2", () => {
  const qos2 = (rig: MqttRig, connect: object = {}, version: 4 | 5 = 5): MqttClient => {
    const client = rig.connected("d", version, connect);
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 2 }] } as never);
    client.packets();
    return client;
  };

  it.each([4, 5] as const)("takes four packets under one identifier, in version %i", (version) => {
    const rig = mqttRig();
    const client = qos2(rig, {}, version);
    send(rig, message("a", "x", { qos: 2 }));
    const [publish] = read(client);
    expect(publish).toMatchObject({ qos: 2, dup: false, payload: Buffer.from("x") });
    const messageId = publish!.messageId!;
    client.send({ cmd: "pubrec", messageId });
    expect(client.packets()).toMatchObject([{ cmd: "pubrel", messageId }]);
    // The client has not seen PUBREL and asks again.
    client.send({ cmd: "pubrec", messageId });
    expect(client.packets()).toMatchObject([{ cmd: "pubrel", messageId }]);
    expect(client.connection.figures().inflight).toBe(1);
    client.send({ cmd: "pubcomp", messageId });
    expect(client.packets()).toEqual([]);
    expect(client.connection.figures().inflight).toBe(0);
  });

  it("keeps its place in the client's window until PUBCOMP", () => {
    const rig = mqttRig();
    const client = qos2(rig, { properties: { receiveMaximum: 1 } });
    for (const text of ["1", "2"]) send(rig, message("a", text, { qos: 2 }));
    const [first, ...others] = read(client);
    expect(others).toEqual([]);
    client.send({ cmd: "pubrec", messageId: first!.messageId! });
    expect(client.packets()).toMatchObject([{ cmd: "pubrel" }]);
    client.send({ cmd: "pubcomp", messageId: first!.messageId! });
    expect(read(client)).toMatchObject([{ payload: Buffer.from("2"), qos: 2 }]);
  });

  it("is over when the client refuses it", () => {
    const rig = mqttRig();
    const client = qos2(rig, { properties: { receiveMaximum: 1 } });
    for (const text of ["1", "2"]) send(rig, message("a", text, { qos: 2 }));
    client.send({ cmd: "pubrec", messageId: read(client)[0]!.messageId!, reasonCode: 0x87 });
    expect(read(client)).toMatchObject([{ payload: Buffer.from("2") }]);
  });

  it("is acknowledged by no PUBACK, nor one of QoS 1 by PUBREC, nor completed before PUBREC", () => {
    for (const [qos, cmd] of [
      [2, "puback"],
      [1, "pubrec"],
      [2, "pubcomp"],
    ] as const) {
      const rig = mqttRig();
      const client = qos2(rig);
      send(rig, message("a", "x", { qos }));
      client.send({ cmd, messageId: read(client)[0]!.messageId! });
      expect(client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
    }
  });

  it.each([4, 5] as const)(
    "that is none, acknowledged all the same, changes nothing in version %i",
    (version) => {
      const client = mqttRig().connected("d", version);
      client.send({ cmd: "puback", messageId: 9 });
      client.send({ cmd: "pingreq" });
      expect(client.packets()).toMatchObject([{ cmd: "pingresp" }]);
    },
  );

  it("whose identifier is unknown is released with that reason", () => {
    const client = mqttRig().connected("d", 5);
    client.send({ cmd: "pubrec", messageId: 9 });
    expect(client.packets()).toMatchObject([{ cmd: "pubrel", messageId: 9, reasonCode: 0x92 }]);
  });

  it("is delivered once by this listener to who asked for that, however often it comes", () => {
    const rig = mqttRig();
    const once = subscribed(rig, 4, ["a", { qos: 2 }]);
    const other = rig.connected("other");
    other.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] } as never);
    other.packets();
    send(rig, message("a", "x", { qos: 2, isDouble: false }));
    send(rig, message("a", "x", { qos: 2, isDouble: true }));
    expect(read(once)).toHaveLength(1);
    expect(read(other)).toHaveLength(2);
  });

  it("is delivered with the highest QoS of the filters that match", () => {
    const rig = mqttRig();
    const client = subscribed(rig, 4, ["a/#", { qos: 0 }], ["a/+", { qos: 2 }], ["a/b", { qos: 1 }]);
    for (const qos of [0, 1, 2]) send(rig, message("a/b", "x", { qos }));
    expect(read(client).map(({ qos }) => qos)).toEqual([0, 1, 2]);
  });
});

describe("what waits behind the window", () => {
  it("lets nothing overtake it, and loses of its time to live what it waits", async () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5, { properties: { receiveMaximum: 1 } });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] } as never);
    client.packets();
    const living = (seconds: number) => ({
      qos: 1,
      extras: () => ({
        expiresAtUs: rig.clock.wallUs() + seconds * 1_000_000,
        headers: [],
        responsePath: "",
        correlation: Buffer.alloc(0),
        isText: false,
      }),
    });
    send(rig, message("a", "1", { qos: 1 }));
    send(rig, message("a", "short", living(2)));
    send(rig, message("a", "long", living(60)));
    send(rig, message("a", "4", { qos: 1 }));
    const [first] = read(client);
    expect(client.connection.figures()).toMatchObject({
      inflight: 1,
      queued: 3,
      queuedBytes: 10,
      dropped: 0,
    });
    await rig.clock.advance(10_000);
    client.send({ cmd: "puback", messageId: first!.messageId! });
    const [second] = read(client);
    expect(second).toMatchObject({ payload: Buffer.from("long"), properties: { messageExpiryInterval: 50 } });
    client.send({ cmd: "puback", messageId: second!.messageId! });
    expect(read(client)).toMatchObject([{ payload: Buffer.from("4") }]);
    expect(rig.metrics.undelivered.values.get("mqtt,expired")).toBe(1);
    expect(client.connection.figures()).toMatchObject({ inflight: 1, queued: 0, queuedBytes: 0, dropped: 1 });
  });

  it("goes on when a client that did not read does so again", () => {
    const rig = mqttRig({ maxWriteBuffer: "16KiB" });
    const client = subscribed(rig, 4, ["a", { qos: 1 }]);
    client.stream.reading = false;
    for (let i = 0; i < 30; i++) {
      send(rig, message("a", "x".repeat(1000), { qos: 1 }));
      client.connection.flush();
    }
    expect(client.connection.figures().queued).toBeGreaterThan(5);
    client.drained();
    expect(read(client)).toHaveLength(30);
    expect(client.connection.figures()).toMatchObject({ inflight: 30, queued: 0 });
  });
});

describe("topic aliases", () => {
  it("stand for the first topics of a client that takes some", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5, { properties: { topicAliasMaximum: 1 } });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] } as never);
    client.packets();
    for (const topic of ["a", "b", "a"]) send(rig, message(topic, topic));
    expect(read(client).map(({ topic, properties }) => [topic, properties?.topicAlias])).toEqual([
      ["a", 1],
      ["b", undefined],
      ["", 1],
    ]);
  });

  it("are left out where they would make a packet larger than the client takes", () => {
    const rig = mqttRig();
    const properties = { topicAliasMaximum: 9, maximumPacketSize: 30 };
    const client = rig.connected("d", 5, { properties });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] } as never);
    client.packets();
    // 30 bytes without an alias.
    send(rig, message("a", "x".repeat(24)));
    send(rig, message("a", "x"));
    expect(read(client).map(({ properties: p }) => p?.topicAlias)).toEqual([undefined, 1]);
  });
});

describe("a message for the device", () => {
  const down = { path: "devices/d/commands/on", payload: Buffer.from("1"), contentType: "", timeoutMs: 1000 };

  it("is refused when the device has not subscribed to its path", async () => {
    const rig = mqttRig();
    const client = rig.connected("d");
    await expect(client.connection.downlink({ ...down, waitForDevice: false })).rejects.toMatchObject({
      code: "device.not_subscribed",
    });
  });

  it("is written, and acknowledged where that is asked for and the device can", async () => {
    const rig = mqttRig();
    const client = subscribed(rig, 4, ["devices/d/commands/+", { qos: 1 }]);
    await expect(client.connection.downlink({ ...down, waitForDevice: false })).resolves.toBe("written");
    const waiting = client.connection.downlink({ ...down, waitForDevice: true });
    const sent = read(client);
    expect(sent).toMatchObject([{ topic: down.path }, { topic: down.path }]);
    client.send({ cmd: "puback", messageId: sent[1]!.messageId! });
    await expect(waiting).resolves.toBe("acknowledged");
  });

  it("ends with an error when the device refuses, leaves, or is silent", async () => {
    const rig = mqttRig();
    const client = subscribed(rig, 5, ["devices/d/commands/+", { qos: 1 }]);
    const wait = () => client.connection.downlink({ ...down, waitForDevice: true });
    const refused = wait();
    client.send({ cmd: "puback", messageId: read(client)[0]!.messageId!, reasonCode: 0x87 });
    await expect(refused).rejects.toMatchObject({ code: "device.refused" });
    const silent = wait();
    const expectSilent = expect(silent).rejects.toMatchObject({ code: "request.timeout" });
    await rig.clock.advance(1_001);
    await expectSilent;
    const left = wait();
    const expectLeft = expect(left).rejects.toMatchObject({ code: "device.left" });
    client.lose();
    await expectLeft;
  });
});
