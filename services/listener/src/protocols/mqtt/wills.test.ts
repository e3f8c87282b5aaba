import { describe, expect, it } from "vitest";
import { connectPacket, type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";

const will = (willDelayInterval: number, more: object = {}) => ({
  topic: "gone",
  payload: Buffer.from("d"),
  qos: 0 as const,
  retain: false,
  properties: { willDelayInterval, ...more },
});

function client(rig: MqttRig, delay: number, expiry: number, more: object = {}): MqttClient {
  const properties = { sessionExpiryInterval: expiry };
  return rig.connected("d", 5, { will: will(delay), properties, ...more });
}

const published = (rig: MqttRig): string[] => rig.telemetry.taken.map(({ path }) => path);

describe("a will", () => {
  it("of QoS 1 has an id of its own, the one that its owner was told", () => {
    const rig = mqttRig();
    const one = { topic: "gone", payload: Buffer.from("d"), qos: 1 as const, retain: true };
    const clients = ["d", "e"].map((name) => rig.connected(name, 4, { will: one }));
    const told = clients.map(({ connection }) => connection.keptWill()?.id.toString("hex"));
    for (const lost of clients) lost.lose();
    const published = rig.events.taken.map(({ extras }) => Buffer.from(extras?.id ?? []).toString("hex"));
    expect(published).toEqual(told);
    expect(new Set(told).size).toBe(2);
    expect(rig.events.taken[0]?.extras).toMatchObject({ senderId: true, retain: true });
  });
});

describe("a will with a delay", () => {
  it.each([
    [10, 60, 10],
    [60, 10, 10],
  ])("of %i s in a session of %i s is due after %i s", async (delay, expiry, due) => {
    const rig = mqttRig();
    client(rig, delay, expiry).lose();
    await rig.clock.advance(due * 1000 - 1);
    expect(published(rig)).toEqual([]);
    await rig.clock.advance(1);
    expect(published(rig)).toEqual(["gone"]);
  });

  it("is due at once where the session ends with the connection", () => {
    const rig = mqttRig();
    client(rig, 10, 0).lose();
    expect(published(rig)).toEqual(["gone"]);
  });

  it("is forgotten when the client comes back to its session, and due when it begins anew", async () => {
    for (const [clean, expected] of [
      [false, []],
      [true, ["gone"]],
    ] as const) {
      const rig = mqttRig();
      client(rig, 10, 60).lose();
      rig.client().send(connectPacket("d", 5, { clean, properties: { sessionExpiryInterval: 60 } }));
      await rig.clock.advance(20_000);
      expect(published(rig)).toEqual(expected);
    }
  });

  it("is forgotten when the client's next connection takes over, and due when that begins anew", async () => {
    for (const [clean, expected] of [
      [false, []],
      [true, ["gone"]],
    ] as const) {
      const rig = mqttRig();
      const first = client(rig, 10, 60);
      rig.client().send(connectPacket("d", 5, { clean, properties: { sessionExpiryInterval: 60 } }));
      first.lose();
      await rig.clock.advance(20_000);
      expect(published(rig)).toEqual(expected);
    }
  });

  it("lasts as long as DISCONNECT says that the session does", async () => {
    const rig = mqttRig();
    const leaving = client(rig, 10, 60);
    leaving.send({ cmd: "disconnect", reasonCode: 4, properties: { sessionExpiryInterval: 5 } });
    leaving.lose();
    await rig.clock.advance(5_000);
    expect(published(rig)).toEqual(["gone"]);
  });

  it("carries its properties, its time to live from when it is published", async () => {
    const rig = mqttRig();
    const properties = { messageExpiryInterval: 30, contentType: "text/plain", payloadFormatIndicator: true };
    client(rig, 10, 60, { will: will(10, properties) }).lose();
    await rig.clock.advance(10_000);
    const [{ channel, extras }] = rig.telemetry.taken as [(typeof rig.telemetry.taken)[0]];
    expect(channel.head.contentType).toBe("text/plain");
    expect(extras).toMatchObject({
      expiresAtUs: rig.clock.wallUs() + 30_000_000,
      payloadIsText: true,
    });
  });
});
