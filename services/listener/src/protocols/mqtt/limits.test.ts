import mqttPacket, { type IConnackPacket, type IDisconnectPacket, type IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { connectPacket, type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";

const publish = (topic: string, more: object = {}): IPublishPacket =>
  ({ cmd: "publish", topic, payload: "x", qos: 0, dup: false, retain: false, ...more }) as IPublishPacket;

function connack(rig: MqttRig, version: 4 | 5, more: object): IConnackPacket {
  const client = rig.client();
  client.send(connectPacket("d", version, more));
  return client.packets(version)[0] as IConnackPacket;
}

describe("a client above its rate", () => {
  const rig = (): MqttRig => mqttRig({ ratePerSecond: 100, rateBurst: 10, ratePatience: "2s" });
  /** Sends more than it may, again as soon as it is read from. */
  const rush = async (r: MqttRig, client: MqttClient, rounds: number): Promise<void> => {
    for (let i = 0; i < rounds && !client.stream.ended; i++) {
      for (let n = 0; n < 30; n++) client.send(publish("t"));
      expect(client.stream.paused || client.stream.ended).toBe(true);
      await r.clock.advance(300);
    }
  };

  it("is slowed down first, and then told that it is too fast", async () => {
    const r = rig();
    const client = r.connected("fast", 5);
    await rush(r, client, 6);
    expect(client.stream.ended).toBe(false);
    await rush(r, client, 6);
    expect(client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x96 }]);
  });

  it("is closed before MQTT 5, which has no such reason", async () => {
    const r = rig();
    const client = r.connected("fast");
    await rush(r, client, 12);
    expect(client.stream.ended).toBe(true);
    expect(client.packets()).toEqual([]);
    client.lose();
    expect(r.manager.counters.disconnects.mqtt).toEqual({ rate: 1 });
  });

  it("may be so again and again when it rests in between, and for ever where that is allowed", async () => {
    const r = rig();
    const resting = r.connected("resting", 5);
    for (let i = 0; i < 10; i++) {
      await rush(r, resting, 2);
      await r.clock.advance(2_000);
    }
    expect(resting.stream.ended).toBe(false);
    const patient = mqttRig({ ratePerSecond: 100, rateBurst: 10, ratePatience: "0s" });
    const fast = patient.connected("fast", 5);
    await rush(patient, fast, 50);
    expect(fast.stream.ended).toBe(false);
  });
});

describe("a server keep alive", () => {
  it.each([
    [0, 60],
    [61, 60],
    [60, undefined],
    [5, undefined],
  ])("in place of %i seconds is %s", (asked, told) => {
    const { properties } = connack(mqttRig({ keepAliveMaximum: 60 }), 5, { keepalive: asked });
    expect(properties?.serverKeepAlive).toBe(told);
  });

  it("is what the client is held to, except before MQTT 5, where it cannot be told", async () => {
    const rig = mqttRig({ keepAliveMaximum: 10 });
    const five = rig.connected("five", 5);
    const four = rig.connected("four", 4);
    await rig.clock.advance(14_000);
    expect(five.stream.ended).toBe(false);
    await rig.clock.advance(2_000);
    expect(five.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8d }]);
    expect(four.stream.ended).toBe(false);
  });
});

describe("response information", () => {
  const rig = (): MqttRig => mqttRig({ responseInformation: "answers/%u/%c/%d" });

  it("is given to who asks for it, with its names in it", () => {
    const properties = { requestResponseInformation: true };
    const told = connack(rig(), 5, { username: "ann", properties });
    expect(told.properties?.responseInformation).toBe("answers/ann/d/d");
  });

  it("is given to nobody else", () => {
    expect(connack(rig(), 5, {}).properties).not.toHaveProperty("responseInformation");
    const properties = { requestResponseInformation: true };
    expect(connack(mqttRig(), 5, { properties }).properties).not.toHaveProperty("responseInformation");
  });
});

describe("a CONNACK for a client that takes small packets", () => {
  const rig = (): MqttRig => mqttRig({ responseInformation: "answers/".repeat(10) });
  const asking = (maximumPacketSize: number): object => ({
    properties: { maximumPacketSize, requestResponseInformation: true },
  });

  it("leaves out what the client can do without", () => {
    const small = connack(rig(), 5, asking(64));
    expect(small.reasonCode).toBe(0);
    expect(Object.keys(small.properties ?? {})).toEqual(["maximumPacketSize"]);
    expect(connack(rig(), 5, asking(1_000)).properties).toMatchObject({
      topicAliasMaximum: 256,
      responseInformation: "answers/".repeat(10),
    });
  });

  it("refuses it where even that does not fit, since it says something else without the rest", () => {
    expect(connack(rig(), 5, asking(10)).reasonCode).toBe(0);
    expect(connack(rig(), 5, asking(9)).reasonCode).toBe(0x95);
    expect(connack(rig(), 5, { ...asking(20), clientId: "" }).reasonCode).toBe(0x95);
  });
});

describe("a drain", () => {
  const end = async (rig: MqttRig, client: MqttClient): Promise<IDisconnectPacket> => {
    const drained = rig.manager.drain(1_000);
    const [told] = client.packets() as [IDisconnectPacket];
    client.lose();
    await drained;
    return told;
  };

  it("sends MQTT 5 clients to another server where one is named", async () => {
    const rig = mqttRig({ serverReference: "other:1883" });
    expect(await end(rig, rig.connected("d", 5))).toMatchObject({
      reasonCode: 0x9c,
      properties: { serverReference: "other:1883" },
    });
  });

  it("says that this one shuts down where none is, or where it does not fit", async () => {
    const rig = mqttRig();
    expect(await end(rig, rig.connected("d", 5))).toMatchObject({ reasonCode: 0x8b });
    const long = mqttRig({ serverReference: "x".repeat(100) });
    const small = long.connected("d", 5, { properties: { maximumPacketSize: 50 } });
    expect(await end(long, small)).toMatchObject({ reasonCode: 0x8b });
  });

  it.each([
    [4, { returnCode: 3 }],
    [5, { reasonCode: 0x88 }],
  ] as const)("is said in CONNACK to who waits for admission, in version %i", async (version, code) => {
    const rig = mqttRig();
    rig.admission.answer = () => new Promise(() => {});
    const client = rig.client();
    client.send(connectPacket("d", version));
    expect(await end(rig, client)).toMatchObject({ cmd: "connack", ...code });
  });
});

describe("a CONNECT that is one too many for the moment", () => {
  it.each([
    [4, { returnCode: 3 }],
    [5, { reasonCode: 0x9f }],
  ] as const)("is refused as such in version %i", (version, code) => {
    const rig = mqttRig();
    rig.admission.answer = () => ({ allow: false, code: "limit.rate" });
    const client = rig.client();
    client.send(connectPacket("d", version));
    expect(client.packets()).toMatchObject([{ cmd: "connack", ...code }]);
  });
});

describe("a CONNECT above the maximum packet size", () => {
  const tooLong = (version: 4 | 5): Buffer => {
    const head = mqttPacket.generate(connectPacket("d", version)).subarray(2);
    return Buffer.concat([Buffer.of(0x10, 0xff, 0xff, 0x7f), head]);
  };

  it("is told so in MQTT 5, and closed without a word before it", () => {
    const rig = mqttRig();
    const five = rig.client();
    five.raw(tooLong(5));
    expect(five.packets(5)).toMatchObject([{ cmd: "connack", reasonCode: 0x95 }]);
    const four = rig.client();
    four.raw(tooLong(4));
    expect(four.packets(4)).toEqual([]);
    expect([five, four].every(({ stream }) => stream.ended)).toBe(true);
    expect(rig.metrics.malformed.values).toEqual(new Map([["mqtt,too_large", 2]]));
  });
});

describe("user properties beyond what this server carries", () => {
  it("are no broken rule, but over a quota", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    const userProperties = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`n${i}`, "v"]));
    client.send(publish("t", { properties: { userProperties } }));
    expect(client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x97 }]);
  });
});

describe("the receive maximum of this server", () => {
  it("counts QoS 2 until PUBCOMP and QoS 1 until PUBACK", () => {
    const rig = mqttRig({ receiveMaximum: 2 });
    const client = rig.connected("d", 5);
    for (let i = 1; i <= 10; i++) {
      client.send(publish("t", { qos: 1, messageId: 1 }));
      rig.events.settle();
      client.send(publish("t", { qos: 2, messageId: 2 }));
      rig.events.settle();
      client.send({ cmd: "pubrel", messageId: 2 });
    }
    expect(client.packets().map(({ cmd }) => cmd)).toEqual(
      Array.from({ length: 10 }, () => ["puback", "pubrec", "pubcomp"]).flat(),
    );
    for (let id = 1; id <= 3; id++) {
      client.send(publish("t", { qos: 2, messageId: id }));
      rig.events.settle();
    }
    expect(client.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x93 });
  });
});

describe("a payload that is said to be text", () => {
  const properties = { payloadFormatIndicator: true, topicAlias: 1 };
  const noText = Buffer.of(0xff, 0xfe);

  it("and is none is refused, counted, and names its alias all the same", () => {
    const rig = mqttRig();
    const client = rig.connected("d", 5);
    for (const [qos, cmd] of [
      [1, "puback"],
      [2, "pubrec"],
    ] as const) {
      client.send(publish("t", { qos, messageId: 5, payload: noText, properties }));
      expect(client.packets()).toMatchObject([{ cmd, messageId: 5, reasonCode: 0x99 }]);
    }
    client.send(publish("t", { payload: noText, properties }));
    expect(rig.ingress.refusals.map((map) => map.get("payload_format"))).toEqual([1, 2]);
    client.send(publish("", { payload: "text", properties }));
    expect(rig.telemetry.taken.map(({ path, text }) => [path, text])).toEqual([["t", "text"]]);
    expect(client.stream.ended).toBe(false);
  });
});
