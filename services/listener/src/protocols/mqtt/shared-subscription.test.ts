import type { IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";

const FILTER = "$share/g/a";

function message(qos: number, text: string): SubscriberMessage {
  const bytes = Buffer.from(text);
  return {
    ...{
      path: "a",
      bytes,
      payloadStart: 0,
      payloadEnd: bytes.length,
      contentType: "text/plain",
      qos,
      retain: false,
    },
    ...{ tenant: "", deviceId: "sender", extras: () => undefined },
  };
}

function member(rig: MqttRig, clientId: string, qos: 0 | 1 | 2, connect: object = {}): MqttClient {
  const client = rig.connected(clientId, 5, connect);
  const subscriptions = [{ topic: FILTER, qos, nl: false, rap: false, rh: 0 as const }];
  client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  expect(client.packets()).toMatchObject([{ cmd: "suback", granted: [qos] }]);
  return client;
}

const give = (rig: MqttRig, what: SubscriberMessage): boolean => rig.table.group(FILTER)!.deliver(what);
const texts = (client: MqttClient): string[] =>
  (client.packets() as IPublishPacket[]).map(({ qos, payload }) => `${qos} ${payload}`);

describe("a member of a shared subscription that goes", () => {
  it("leaves what it has not acknowledged to the others: QoS 1, sent or waiting", () => {
    const rig = mqttRig();
    const leaving = member(rig, "m1", 1, { properties: { receiveMaximum: 1 } });
    const what = message(1, "one");
    give(rig, what);
    // The batch it came in is used again for something else.
    what.bytes.fill(0x2e);
    give(rig, message(1, "two"));
    expect(texts(leaving)).toEqual(["1 one"]);
    const staying = member(rig, "m2", 1);
    leaving.lose();
    expect(texts(staying)).toEqual(["1 one", "1 two"]);
  });

  it("leaves nothing that it has acknowledged or refused, nothing of QoS 0, and nothing of QoS 2 that was sent to it", () => {
    const rig = mqttRig();
    const leaving = member(rig, "m1", 2);
    for (const [qos, text] of [
      [1, "mine"],
      [1, "refused"],
      [2, "sent"],
      [0, "gone"],
    ] as const)
      give(rig, message(qos, text));
    const [mine, refused] = leaving.packets() as IPublishPacket[];
    leaving.send({ cmd: "puback", messageId: mine!.messageId!, reasonCode: 0 });
    leaving.send({ cmd: "puback", messageId: refused!.messageId!, reasonCode: 0x83 });
    const staying = member(rig, "m2", 2);
    leaving.lose();
    expect(texts(staying)).toEqual([]);
  });

  it("leaves what waits for room, also of QoS 2, and none of it counts as lost", () => {
    const rig = mqttRig();
    const leaving = member(rig, "m1", 2, { properties: { receiveMaximum: 1 } });
    give(rig, message(2, "sent"));
    give(rig, message(2, "waiting"));
    expect(texts(leaving)).toEqual(["2 sent"]);
    const staying = member(rig, "m2", 2);
    leaving.lose();
    expect(texts(staying)).toEqual(["2 waiting"]);
    expect(rig.metrics.undelivered.values.get("mqtt,disconnected")).toBe(1);
  });

  it("without others takes its messages with it", () => {
    const rig = mqttRig();
    const last = member(rig, "m1", 1);
    give(rig, message(1, "one"));
    last.lose();
    expect(rig.table.group(FILTER)).toBeUndefined();
    expect(rig.metrics.undelivered.values.get("mqtt,disconnected")).toBe(1);
  });
});

describe("a member of a shared subscription that is slow", () => {
  it("and too slow at last leaves all it had to the others, the message that was too much among it", () => {
    const rig = mqttRig({ maxQueuedMessages: 4 });
    const slow = member(rig, "m1", 1, { properties: { receiveMaximum: 1 } });
    const sent = Array.from({ length: 5 }, (_, i) => `${i}`);
    for (const text of sent) expect(give(rig, message(1, text))).toBe(true);
    expect(rig.table.group(FILTER)!.hasRoom).toBe(false);
    member(rig, "m2", 1, { properties: { receiveMaximum: 1 } });
    // Both are busy, and the other one has more room.
    for (const text of ["5", "6", "7"]) expect(give(rig, message(1, text))).toBe(true);
    expect(rig.table.group(FILTER)!.hasRoom).toBe(false);
    expect(give(rig, message(1, "8"))).toBe(true);
    expect(slow.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x97 });
    expect(rig.table.group(FILTER)!.size).toBe(1);
    slow.lose();
  });

  it("to close its connection is given nothing more", () => {
    const rig = mqttRig();
    const leaving = member(rig, "m1", 1);
    const staying = member(rig, "m2", 1);
    leaving.send({ cmd: "disconnect", reasonCode: 0 });
    for (const text of ["1", "2", "3"]) expect(give(rig, message(1, text))).toBe(true);
    expect(texts(staying)).toEqual(["1 1", "1 2", "1 3"]);
  });

  it("is passed over while another one has room", () => {
    const rig = mqttRig();
    const slow = member(rig, "m1", 1, { properties: { receiveMaximum: 1 } });
    const quick = member(rig, "m2", 1);
    for (const text of ["1", "2", "3", "4", "5"]) give(rig, message(1, text));
    expect(texts(slow)).toEqual(["1 1"]);
    expect(texts(quick)).toEqual(["1 2", "1 3", "1 4", "1 5"]);
  });
});
