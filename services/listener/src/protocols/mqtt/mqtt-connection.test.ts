import { Kind, Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { IPublishPacket, ISubackPacket } from "mqtt-packet";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { connectPacket, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";

const publish = (topic: string, payload: string, more: object = {}): IPublishPacket =>
  ({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false, ...more }) as IPublishPacket;

describe("CONNECT", () => {
  it.each([4, 5] as const)("is answered with CONNACK in version %i", (version) => {
    const rig = mqttRig();
    const client = rig.client();
    client.send(connectPacket("device-1", version));
    expect(client.packets(version)).toMatchObject([{ cmd: "connack", sessionPresent: false }]);
    expect(rig.sessions.get("", "device-1")).toBe(client.connection);
  });

  it("is accepted in the form of MQTT 3.1 too", () => {
    const rig = mqttRig();
    const client = rig.client();
    client.raw(Buffer.from(`10110006${Buffer.from("MQIsdp").toString("hex")}030200000003616263`, "hex"));
    expect(client.packets()).toMatchObject([{ cmd: "connack", returnCode: 0 }]);
  });

  it("of MQTT 3.1 is refused without a client id, clean session or not", () => {
    for (const flags of ["02", "00"]) {
      const client = mqttRig().client();
      client.raw(Buffer.from(`100e0006${Buffer.from("MQIsdp").toString("hex")}03${flags}00000000`, "hex"));
      expect(client.packets()).toMatchObject([{ cmd: "connack", returnCode: 2 }]);
      expect(client.stream.ended).toBe(true);
    }
  });

  it("gets an assigned client id when it brings none", () => {
    const rig = mqttRig();
    const client = rig.client();
    client.send(connectPacket("", 5));
    const [connack] = client.packets(5);
    const id = (connack as { properties?: { assignedClientIdentifier?: string } }).properties
      ?.assignedClientIdentifier;
    expect(id).toMatch(/^auto-/);
    expect(rig.sessions.get("", id!)).toBe(client.connection);
  });

  it("is refused under the name of a bridge of this deployment, whose outbox it would take, and not under that of another's", () => {
    for (const [clientId, version, code] of [
      ["bridge/hub", 4, { returnCode: 2 }],
      ["bridge/hub", 5, { reasonCode: 0x85 }],
      ["bridge/r4nd0m/hub", 5, { reasonCode: 0 }],
      ["bridges", 5, { reasonCode: 0 }],
    ] as const) {
      const client = mqttRig().client();
      client.send(connectPacket(clientId, version));
      expect(client.packets(version)).toMatchObject([{ cmd: "connack", ...code }]);
    }
  });

  it("without a client id and without clean session is refused with return code 2", () => {
    const client = mqttRig().client();
    client.raw(Buffer.from("100c00044d5154540400" + "000000" + "00", "hex").subarray(0, 14));
    expect(client.packets()).toMatchObject([{ cmd: "connack", returnCode: 2 }]);
    expect(client.stream.ended).toBe(true);
  });

  it("tells an MQTT 5 client that its session ends with the connection", () => {
    const rig = mqttRig();
    const client = rig.client();
    client.send(connectPacket("d", 5, { properties: { sessionExpiryInterval: 300 } }));
    expect(client.packets(5)).toMatchObject([{ properties: { sessionExpiryInterval: 0 } }]);
  });

  it.each([
    [4, "auth.bad_credentials", { returnCode: 4 }],
    [4, "auth.not_authorized", { returnCode: 5 }],
    [5, "auth.bad_credentials", { reasonCode: 0x86 }],
    [5, "limit.rate", { reasonCode: 0x9f }],
  ] as const)("refused by admission in version %i with %s says why", (version, code, expected) => {
    const rig = mqttRig();
    rig.admission.answer = () => ({ allow: false, code });
    const client = rig.client();
    client.send(connectPacket("d", version));
    expect(client.packets(version)).toMatchObject([{ cmd: "connack", ...expected }]);
    expect(client.stream.ended).toBe(true);
    expect(rig.sessions.size).toBe(0);
    expect(rig.metrics.refused.values.get(`mqtt,${code}`)).toBe(1);
  });

  it("holds what comes behind it until a slow admission has answered", async () => {
    const rig = mqttRig();
    const { promise, resolve } = Promise.withResolvers<never>();
    rig.admission.answer = () => promise;
    const client = rig.client();
    client.raw(
      Buffer.concat([
        mqttPacket.generate(connectPacket("d")),
        mqttPacket.generate(publish("a/b", "1")),
        mqttPacket.generate({ cmd: "pingreq" }),
      ]),
    );
    client.raw(mqttPacket.generate(publish("a/b", "2")));
    expect(rig.telemetry.taken).toEqual([]);
    expect(client.stream.paused).toBe(true);
    resolve({ allow: true, identity: { tenant: "", deviceId: "d", user: "" } } as never);
    await promise;
    await client.turn();
    expect(rig.telemetry.taken.map(({ text }) => text)).toEqual(["1", "2"]);
    expect(client.stream.paused).toBe(false);
  });

  it.each([
    ["fails", () => Promise.reject(new AppError("internal.unexpected", "no answer"))],
    [
      "lets in a device that cannot be opened",
      (rig: MqttRig) => {
        rig.sessions.open = () => {
          throw new Error("no place");
        };
        return Promise.resolve({ allow: true, identity: { tenant: "", deviceId: "d", user: "" } } as const);
      },
    ],
  ])("whose slow admission %s ends its connection and nothing else", async (_, admit) => {
    const rig = mqttRig();
    rig.admission.answer = () => admit(rig);
    const client = rig.client();
    client.send(connectPacket("d"));
    await client.turn();
    await client.turn();
    expect(client.stream.ended).toBe(true);
    expect(client.connection.ending).toBe("internal");
  });

  it("refuses enhanced authentication with the reason for it", () => {
    const client = mqttRig().client();
    client.send(connectPacket("d", 5, { properties: { authenticationMethod: "SCRAM" } }));
    expect(client.packets(5)).toMatchObject([{ cmd: "connack", reasonCode: 0x8c }]);
  });

  it("of a device that is connected takes it over and tells the older connection", () => {
    const rig = mqttRig();
    const older = rig.connected("d", 5);
    const newer = rig.connected("d", 5);
    expect(older.packets(5)).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8e }]);
    older.lose();
    expect(rig.sessions.get("", "d")).toBe(newer.connection);
    expect(newer.stream.ended).toBe(false);
  });
});

describe("PUBLISH", () => {
  it("of QoS 0 becomes telemetry with device, path, port and protocol in its head", () => {
    const rig = mqttRig();
    rig.connected("boiler").send(publish("plant/boiler/temp", "21.5"));
    expect(rig.telemetry.taken).toMatchObject([{ path: "plant/boiler/temp", text: "21.5" }]);
    expect(rig.telemetry.taken[0]!.channel.head).toMatchObject({
      deviceId: "boiler",
      kind: Kind.TELEMETRY,
      protocol: Protocol.MQTT,
      port: "mqtt",
    });
  });

  it("uses one channel per topic and lane, and asks admission once for each", () => {
    const rig = mqttRig();
    const client = rig.connected();
    for (const topic of ["a", "b", "a", "b", "a"]) client.send(publish(topic, "x"));
    client.send(publish("a", "x", { qos: 1, messageId: 1 }));
    client.send(publish("a", "x", { qos: 1, messageId: 2 }));
    expect(new Set(rig.telemetry.taken.map(({ channel }) => channel.number)).size).toBe(2);
    expect(rig.events.taken[0]!.channel).toBe(rig.events.taken[1]!.channel);
    expect(rig.events.taken[0]!.channel.head.kind).toBe(Kind.EVENT);
    expect(rig.admission.asked).toEqual(["a", "b", "a"]);
  });

  it("asks admission again when the rules have changed", () => {
    const rig = mqttRig();
    const client = rig.connected();
    client.send(publish("a", "1"));
    rig.admission.refusedPaths.add("a");
    client.send(publish("a", "2"));
    rig.admission.generation += 1;
    client.send(publish("a", "3"));
    expect(rig.telemetry.taken.map(({ text }) => text)).toEqual(["1", "2"]);
    expect(rig.ingress.refusals[0].get("auth.not_authorized")).toBe(1);
  });

  it("of QoS 1 is acknowledged when it is stored and not before, with one write for all", async () => {
    const rig = mqttRig();
    const client = rig.connected();
    for (let id = 1; id <= 5; id++) client.send(publish("t", `${id}`, { qos: 1, messageId: id }));
    expect(client.packets()).toEqual([]);
    const writes = client.stream.writes;
    rig.events.settle();
    expect((await client.turn()).map((p) => [p.cmd, p.messageId])).toEqual([
      ["puback", 1],
      ["puback", 2],
      ["puback", 3],
      ["puback", 4],
      ["puback", 5],
    ]);
    expect(client.stream.writes).toBe(writes + 1);
  });

  it("of QoS 2 is taken once, however often it is sent before PUBREL", async () => {
    const rig = mqttRig();
    const client = rig.connected();
    client.send(publish("t", "x", { qos: 2, messageId: 7 }));
    client.send(publish("t", "x", { qos: 2, messageId: 7, dup: true }));
    rig.events.settle();
    expect(await client.turn()).toMatchObject([{ cmd: "pubrec", messageId: 7 }]);
    client.send(publish("t", "x", { qos: 2, messageId: 7, dup: true }));
    expect(client.packets()).toMatchObject([{ cmd: "pubrec", messageId: 7 }]);
    client.send({ cmd: "pubrel", messageId: 7 });
    expect(client.packets()).toMatchObject([{ cmd: "pubcomp", messageId: 7 }]);
    expect(rig.events.taken.map(({ extras }) => extras)).toEqual([{ qos: 2 }]);
    client.send(publish("t", "y", { qos: 2, messageId: 7 }));
    expect(rig.events.taken).toHaveLength(2);
  });

  it("that cannot be stored is refused with a reason in version 5", async () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    client.send(publish("t", "x", { qos: 1, messageId: 1 }));
    client.send(publish("t", "x", { qos: 2, messageId: 2 }));
    rig.events.settle(new AppError("bus.stream_full", "full"));
    expect(await client.turn()).toMatchObject([
      { cmd: "puback", messageId: 1, reasonCode: 0x97 },
      { cmd: "pubrec", messageId: 2, reasonCode: 0x97 },
    ]);
    expect(client.stream.ended).toBe(false);
  });

  it("that cannot be stored closes a client of version 4, which has no other way to hear of it", () => {
    const rig = mqttRig();
    const client = rig.connected();
    client.send(publish("t", "x", { qos: 1, messageId: 1 }));
    rig.events.settle(new AppError("bus.stream_full", "full"));
    expect(client.packets()).toEqual([]);
    expect(client.stream.ended).toBe(true);
  });

  it("to a forbidden topic is counted, and refused where the sender waits for an answer", () => {
    const rig = mqttRig();
    rig.admission.refusedPaths.add("no");
    const five = rig.connected("five", 5);
    five.send(publish("no", "x"));
    five.send(publish("no", "x", { qos: 1, messageId: 1 }));
    expect(five.packets()).toMatchObject([{ cmd: "puback", reasonCode: 0x87 }]);
    const four = rig.connected("four", 4);
    four.send(publish("no", "x"));
    expect(four.stream.ended).toBe(false);
    four.send(publish("no", "x", { qos: 1, messageId: 1 }));
    expect(four.stream.ended).toBe(true);
    expect(rig.ingress.refusals.map((map) => map.get("auth.not_authorized"))).toEqual([2, 2]);
  });

  it("carries its properties into the envelope", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    client.send(
      publish("t", "{}", {
        qos: 1,
        messageId: 1,
        retain: true,
        properties: {
          messageExpiryInterval: 60,
          contentType: "application/json",
          responseTopic: "r/t",
          correlationData: Buffer.from("c1"),
          userProperties: { site: "north" },
        },
      }),
    );
    const [taken] = rig.events.taken;
    expect(taken!.channel.head.contentType).toBe("application/json");
    expect(taken!.extras).toMatchObject({
      retain: true,
      responsePath: "r/t",
      correlation: Buffer.from("c1"),
      headers: [{ name: "site", value: "north" }],
      expiresAtUs: rig.clock.wallUs() + 60_000_000,
    });
  });

  it("may name its topic by an alias", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    client.send(publish("long/topic", "1", { properties: { topicAlias: 3 } }));
    client.send(publish("", "2", { properties: { topicAlias: 3 } }));
    client.send(publish("other", "3", { properties: { topicAlias: 3 } }));
    client.send(publish("", "4", { properties: { topicAlias: 3 } }));
    expect(rig.telemetry.taken.map(({ path, text }) => `${path} ${text}`)).toEqual([
      "long/topic 1",
      "long/topic 2",
      "other 3",
      "other 4",
    ]);
  });

  it("arrives the same however its bytes are cut", () => {
    const whole = Buffer.concat([
      mqttPacket.generate(connectPacket("d")),
      mqttPacket.generate(publish("a/b", "x".repeat(300))),
      mqttPacket.generate(publish("a/c", "1", { qos: 1, messageId: 9 })),
      mqttPacket.generate(publish("a/b", "")),
    ]);
    for (let cut = 1; cut < whole.length; cut++) {
      const rig = mqttRig();
      const client = rig.client();
      client.raw(whole.subarray(0, cut));
      client.raw(whole.subarray(cut));
      expect(rig.telemetry.taken.map(({ text }) => text.length)).toEqual([300, 0]);
      expect(rig.events.taken.map(({ text }) => text)).toEqual(["1"]);
    }
    const rig = mqttRig();
    const client = rig.client();
    for (const byte of whole) client.raw(Buffer.of(byte));
    expect(rig.telemetry.taken).toHaveLength(2);
    expect(rig.events.taken).toHaveLength(1);
  });
});

describe("a will", () => {
  const will = { topic: "dead/d", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

  it("is published when the client is lost", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 4, { will });
    client.lose();
    expect(rig.events.taken).toMatchObject([{ path: "dead/d", text: "gone", deviceId: "d" }]);
  });

  it("is forgotten when the client says goodbye, unless it asks for it", () => {
    const rig = mqttRig();
    const polite = rig.connected("a", 5, { will });
    polite.send({ cmd: "disconnect", reasonCode: 0 });
    polite.lose();
    expect(rig.events.taken).toEqual([]);
    const other = rig.connected("b", 5, { will });
    other.send({ cmd: "disconnect", reasonCode: 4 });
    other.lose();
    expect(rig.events.taken).toHaveLength(1);
  });

  it("to a forbidden topic refuses the connection", () => {
    const rig = mqttRig();
    rig.admission.refusedPaths.add("dead/d");
    const client = rig.client();
    client.send(connectPacket("d", 5, { will }));
    expect(client.packets(5)).toMatchObject([{ cmd: "connack", reasonCode: 0x87 }]);
  });
});

describe("time", () => {
  it("runs out for a client that does not connect", async () => {
    const rig = mqttRig();
    const client = rig.client();
    await rig.clock.advance(9_000);
    expect(client.stream.ended).toBe(false);
    await rig.clock.advance(2_000);
    expect(client.stream.ended).toBe(true);
    expect(rig.manager.size).toBe(1);
    await rig.clock.advance(3_000);
    expect(client.stream.destroyed).toBe(true);
  });

  it("runs out for a client that connects a byte at a time", async () => {
    const rig = mqttRig();
    const client = rig.client();
    client.raw(Buffer.from("10ff7f", "hex"));
    for (let i = 0; i < 22; i++) {
      await rig.clock.advance(500);
      client.raw(Buffer.of(0));
    }
    expect(client.stream.ended).toBe(true);
  });

  it("runs out one and a half keep alives after the last packet", async () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5, { keepalive: 10 });
    await rig.clock.advance(12_000);
    client.send({ cmd: "pingreq" });
    expect(client.packets()).toMatchObject([{ cmd: "pingresp" }]);
    await rig.clock.advance(14_500);
    expect(client.stream.ended).toBe(false);
    await rig.clock.advance(2_000);
    expect(client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8d }]);
    client.lose();
    expect(rig.manager.disconnects.get("", "d")).toMatchObject({ reason: "keep_alive" });
  });

  it("does not run out for a client with keep alive 0", async () => {
    const rig = mqttRig();
    const client = rig.connected("d", 4);
    await rig.clock.advance(600_000);
    expect(client.stream.ended).toBe(false);
  });
});

describe("pressure", () => {
  it("from the bus stops reading and loses nothing of what was read", () => {
    const rig = mqttRig();
    const client = rig.connected();
    rig.telemetry.setCongested(true);
    client.send(publish("t", "1"));
    client.send(publish("t", "2"));
    expect(rig.telemetry.taken).toEqual([]);
    expect(client.stream.paused).toBe(true);
    rig.telemetry.setCongested(false);
    rig.manager.congestionEnded();
    expect(rig.telemetry.taken.map(({ text }) => text)).toEqual(["1", "2"]);
    expect(client.stream.paused).toBe(false);
  });

  it("from the bus keeps what was read from a client that goes meanwhile in the books, by lane and reason", () => {
    const rig = mqttRig();
    const counts = () => rig.ingress.refusals.map((map) => [...map]);
    const [lost, ended, early] = [rig.connected("a"), rig.connected("b"), rig.client()];
    rig.telemetry.setCongested(true);
    for (const client of [lost, ended]) {
      for (const qos of [0, 0, 1] as const)
        client.send({ ...publish("t", "x"), qos, ...(qos > 0 && { messageId: 5 }) });
    }
    lost.lose();
    expect(counts()).toEqual([[["connection_ended", 2]], [["connection_ended", 1]]]);
    ended.connection.disconnect("administrative");
    ended.lose();
    early.send(publish("t", "x"));
    early.lose();
    expect(counts()).toEqual([[["connection_ended", 4]], [["connection_ended", 2]]]);
    rig.telemetry.setCongested(false);
    rig.manager.congestionEnded();
    expect(rig.telemetry.taken).toEqual([]);
  });

  it("of a rate limit pauses the fast and not the slow", async () => {
    const rig = mqttRig({ ratePerSecond: 100, rateBurst: 10 });
    const fast = rig.connected("fast");
    const slow = rig.connected("slow");
    for (let i = 0; i < 15; i++) fast.send(publish("t", "x"));
    slow.send(publish("t", "x"));
    expect(fast.stream.paused).toBe(true);
    expect(slow.stream.paused).toBe(false);
    expect(rig.telemetry.taken.length).toBeLessThan(16 + 1);
    await rig.clock.advance(100);
    expect(fast.stream.paused).toBe(false);
  });
});

describe("SUBSCRIBE", () => {
  const subscribe = (messageId: number, ...items: [string, 0 | 1 | 2][]) => ({
    cmd: "subscribe" as const,
    messageId,
    subscriptions: items.map(([topic, qos]) => ({ topic, qos })),
  });

  it("grants what is asked for, answers filters that are none or forbidden, and holds the rest", () => {
    const rig = mqttRig();
    rig.admission.refusedFilters.add("secret/#");
    const five = rig.connected("five", 5);
    five.send(subscribe(1, ["a/+", 0], ["b/#", 1], ["c", 2], ["secret/#", 0]) as never);
    expect((five.packets()[0] as ISubackPacket).granted).toEqual([0, 1, 2, 0x87]);
    five.raw(Buffer.from(`820a0002000004${Buffer.from("a/#b").toString("hex")}00`, "hex"));
    expect((five.packets()[0] as ISubackPacket).granted).toEqual([0x8f]);
    const four = rig.connected("four", 4);
    four.send(subscribe(1, ["secret/#", 0], ["a", 0]) as never);
    expect((four.packets()[0] as ISubackPacket).granted).toEqual([0x80, 0]);
    expect([...rig.table.filters()].sort()).toEqual(["a", "a/+", "b/#", "c"]);
  });

  it("is undone by UNSUBSCRIBE and by the end of the connection", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    client.send(subscribe(1, ["a", 0], ["b", 0]) as never);
    client.packets();
    client.send({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["a", "nothing"] });
    expect(client.packets()).toMatchObject([{ cmd: "unsuback", messageId: 2, granted: [0, 0x11] }]);
    expect([...rig.table.filters()]).toEqual(["b"]);
    client.lose();
    expect([...rig.table.filters()]).toEqual([]);
  });

  it("beyond the limit of a client is refused", () => {
    const rig = mqttRig({ maxSubscriptions: 2 });
    const client = rig.connected("d", 5);
    client.send(subscribe(1, ["a", 0], ["b", 0], ["c", 0], ["a", 1]) as never);
    expect((client.packets()[0] as ISubackPacket).granted).toEqual([0, 0, 0x97, 1]);
  });
});
