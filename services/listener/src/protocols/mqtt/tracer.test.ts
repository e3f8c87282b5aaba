import type { ops } from "@myelin/contract";
import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { MemoryBus } from "../../../test/memory-bus.js";
import { connectPacket, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";
import { startTrace, type TraceWish } from "../../core/operations-tracing.js";
import { PacketCutter } from "./packet-cutter.js";
import { packetFacts } from "./packet-facts.js";

const WISH: TraceWish = { tenant: undefined, clients: [], filters: [], maxRate: 1000, payloadBytes: 0 };

/** What a tracer has seen, after the listener's tick. */
async function tracing(rig: MqttRig, wish: Partial<TraceWish>) {
  await rig.traces.start();
  const batches: ops.TraceBatch[] = [];
  const eyes = new MemoryBus(rig.bus.hub, "eyes");
  const stop = startTrace(eyes, rig.clock, { ...WISH, ...wish }, (batch) => batches.push(batch));
  const seen = async () => {
    await rig.clock.advance(200);
    return batches.flatMap(({ packets }) => packets);
  };
  const lines = async () =>
    (await seen()).map((p) =>
      [
        p.outgoing ? "<" : ">",
        p.device,
        p.name,
        ...(p.packetId > 0 ? [`id=${p.packetId}`] : []),
        ...(p.reasonCodes.length > 0 ? [`[${p.reasonCodes}]`] : []),
        ...(p.topic === "" ? [] : [p.topic, `q${p.qos}`, `${p.payloadSize}B`]),
        ...(p.detail === "" ? [] : [`{${p.detail}}`]),
      ].join(" "),
    );
  return { stop, seen, lines, batches, eyes };
}

const publish = (topic: string, payload: string, more: object = {}) =>
  ({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false, ...more }) as never;

describe("a trace of a client", () => {
  it("shows all of its packets from CONNECT to the end, and no secret", async () => {
    const rig = mqttRig();
    const trace = await tracing(rig, { clients: ["d1"] });
    const other = rig.connected("d2");
    const client = rig.client();
    client.send(
      connectPacket("d1", 5, {
        username: "ann",
        password: Buffer.from("secret"),
        keepalive: 30,
        will: { topic: "gone", payload: Buffer.from("x"), qos: 0, retain: false },
      }),
    );
    client.packets();
    client.send({ cmd: "subscribe", messageId: 7, subscriptions: [{ topic: "a/#", qos: 1 }] });
    client.send(publish("t", "hello"));
    client.send(publish("e", "stored", { qos: 1, messageId: 9 }));
    rig.events.settle();
    client.packets();
    other.send(publish("t", "not mine"));
    client.send({ cmd: "pingreq" });
    client.packets();
    client.send({ cmd: "disconnect", reasonCode: 4 });
    client.lose();
    expect(await trace.lines()).toEqual([
      "> d1 CONNECT {version=5 clean=true keepalive=30 user=ann password=*** will=gone}",
      "< d1 CONNACK [0]",
      "> d1 SUBSCRIBE id=7 {a/# (QoS 1)}",
      "< d1 SUBACK id=7 [1]",
      "> d1 PUBLISH t q0 5B",
      "> d1 PUBLISH id=9 e q1 6B",
      "< d1 PUBACK id=9 [0]",
      "> d1 PINGREQ",
      "< d1 PINGRESP",
      "> d1 DISCONNECT [4]",
      "< d1 CLOSED {client}",
    ]);
    expect(JSON.stringify(trace.batches)).not.toContain(Buffer.from("secret").toString("base64"));
  });

  it("shows why it was refused", async () => {
    const rig = mqttRig();
    rig.admission.answer = () => ({ allow: false, code: "auth.bad_credentials" });
    const trace = await tracing(rig, { clients: ["d1"] });
    const ofTenant = await tracing(rig, { clients: ["d1"], tenant: { name: "" } });
    const client = rig.client();
    client.send(connectPacket("d1"));
    client.lose();
    expect((await trace.lines()).map((line) => line.replace(/ \{version.*/, ""))).toEqual([
      "> d1 CONNECT",
      "<  CONNACK [4]",
      "<  CLOSED {refused}",
    ]);
    expect(await ofTenant.lines()).toEqual([]);
  });

  it("of another tenant is not shown", async () => {
    const rig = mqttRig();
    rig.admission.answer = (who) => ({
      allow: true,
      identity: { tenant: "acme", deviceId: who.deviceId, user: "" },
    });
    const mine = await tracing(rig, { clients: ["d1"], tenant: { name: "acme" } });
    const others = await tracing(rig, { clients: ["d1"], filters: ["#"], tenant: { name: "" } });
    rig.connected("d1").send(publish("t", "x"));
    expect(await mine.lines()).toHaveLength(3);
    expect(await others.lines()).toEqual([]);
  });

  it("may begin within a packet", async () => {
    const rig = mqttRig();
    const client = rig.connected("d1");
    const bytes = mqttPacket.generate(publish("t", "x".repeat(500)));
    client.raw(bytes.subarray(0, 100));
    const trace = await tracing(rig, { clients: ["d1"] });
    client.raw(bytes.subarray(100));
    client.send(publish("u", "next"));
    expect(await trace.lines()).toEqual(["> d1 PUBLISH t q0 500B", "> d1 PUBLISH u q0 4B"]);
  });

  it("names topics that are sent by alias, and shows payloads when they are asked for", async () => {
    const rig = mqttRig();
    const client = rig.connected("d1", 5);
    client.send(publish("known/before", "1", { properties: { topicAlias: 1 } }));
    const trace = await tracing(rig, { clients: ["d1"], payloadBytes: 3 });
    client.send(publish("", "payload", { properties: { topicAlias: 1 } }));
    client.send(publish("told", "p", { properties: { topicAlias: 2 } }));
    client.send(publish("", "q", { properties: { topicAlias: 2 } }));
    expect(await trace.lines()).toEqual([
      "> d1 PUBLISH known/before q0 7B {alias=1}",
      "> d1 PUBLISH told q0 1B {alias=2}",
      "> d1 PUBLISH told q0 1B {alias=2}",
    ]);
    expect((await trace.seen())[0]!.payload.toString()).toBe("pay");
  });

  it("leaves out what is too much, and counts it", async () => {
    const rig = mqttRig();
    const client = rig.connected("d1");
    const trace = await tracing(rig, { clients: ["d1"], maxRate: 3 });
    for (let i = 0; i < 10; i++) client.send(publish("t", `${i}`));
    expect(await trace.seen()).toHaveLength(3);
    await rig.clock.advance(1_000);
    expect(trace.batches.reduce((sum, { leftOut }) => sum + leftOut, 0)).toBe(7);
  });

  it("ends when it is ended, or nobody looks any more", async () => {
    const rig = mqttRig();
    const client = rig.connected("d1");
    const trace = await tracing(rig, { clients: ["d1"] });
    expect(rig.traces.isActive).toBe(true);
    trace.stop();
    expect(rig.traces.isActive).toBe(false);
    const silent = await tracing(rig, { clients: ["d1"] });
    silent.eyes.setConnected(false);
    await rig.clock.advance(4_000);
    expect(rig.traces.isActive).toBe(false);
    client.send(publish("t", "x"));
    expect(await silent.lines()).toEqual([]);
  });
});

describe("a trace of a topic", () => {
  it("shows its messages and their acknowledgements, of any client and in both directions", async () => {
    const rig = mqttRig();
    const sender = rig.connected("d1", 5);
    const reader = rig.connected("d2", 5);
    const trace = await tracing(rig, { filters: ["plant/+/t"] });
    sender.send(publish("plant/1/t", "a", { qos: 2, messageId: 5 }));
    rig.events.settle();
    sender.packets();
    sender.send({ cmd: "pubrel", messageId: 5 });
    sender.send(publish("plant/1/x", "b", { qos: 1, messageId: 6 }));
    rig.events.settle();
    sender.packets();
    reader.connection.deliver(
      {
        path: "plant/2/t",
        bytes: Buffer.from("cc"),
        payloadStart: 0,
        payloadEnd: 2,
        contentType: "",
        qos: 1,
        retain: false,
        tenant: "",
        deviceId: "d9",
        extras: () => undefined,
      },
      [1],
    );
    const [got] = reader.packets();
    reader.send({ cmd: "puback", messageId: (got as { messageId: number }).messageId });
    expect(await trace.lines()).toEqual([
      "> d1 PUBLISH id=5 plant/1/t q2 1B",
      "< d1 PUBREC id=5 [0]",
      "> d1 PUBREL id=5 [0]",
      "< d1 PUBCOMP id=5 [0]",
      "< d2 PUBLISH id=1 plant/2/t q1 2B",
      "> d2 PUBACK id=1 [0]",
    ]);
  });
});

describe("PacketCutter", () => {
  it("finds the same packets however the bytes are cut", () => {
    const packets = [
      publish("a", "x".repeat(300)),
      { cmd: "pingreq" } as never,
      publish("b".repeat(200), ""),
    ];
    const bytes = Buffer.concat([
      ...packets.map((packet) => mqttPacket.generate(packet)),
      mqttPacket.generate(publish("long", "y".repeat(40_000))),
      mqttPacket.generate(packets[1]!),
    ]);
    const cutAt = (places: readonly number[]): string[] => {
      const cutter = new PacketCutter();
      const found: string[] = [];
      let from = 0;
      for (const to of [...places].sort((a, b) => a - b).concat(bytes.length)) {
        cutter.push(bytes.subarray(from, to), (packet) => {
          const { name, topic, payloadSize } = packetFacts(packet, 4);
          found.push(`${name} ${topic} ${payloadSize} ${packet.size}`);
        });
        from = Math.max(from, to);
      }
      return found;
    };
    const whole = cutAt([]);
    expect(whole).toHaveLength(5);
    expect(whole[3]).toMatch(/^PUBLISH long 40000 /);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (places) => {
        expect(cutAt(places)).toEqual(whole);
      }),
    );
    expect(cutAt(Array.from({ length: 700 }, (_, i) => i))).toEqual(whole);
  });

  it("and what reads the packets take any bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 10 }), (chunks) => {
        const cutter = new PacketCutter();
        for (const chunk of chunks) {
          cutter.push(Buffer.from(chunk), (packet) => void [3, 4, 5].map((v) => packetFacts(packet, v as 3)));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
