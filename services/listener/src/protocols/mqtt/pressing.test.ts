import type { IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";

const MESSAGE: SubscriberMessage = {
  ...{ path: "a", bytes: Buffer.from("x"), payloadStart: 0, payloadEnd: 1, contentType: "" },
  ...{ qos: 1, retain: false, tenant: "", deviceId: "sender", extras: () => undefined },
};

function subscribed(rig: MqttRig, receiveMaximum: number): MqttClient {
  const client = rig.connected("d", 5, { properties: { receiveMaximum } });
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] } as never);
  client.packets();
  return client;
}

function give(rig: MqttRig, count: number, message = MESSAGE): void {
  for (let i = 0; i < count; i++) {
    for (const { subscriber, tags } of rig.table.match("", "a").targets) subscriber.deliver(message, tags);
  }
}

function acknowledge(client: MqttClient): void {
  for (const { messageId } of client.packets() as IPublishPacket[]) {
    client.send({ cmd: "puback", messageId: messageId! });
  }
}

describe("a client for which messages wait", () => {
  it("presses once they are some, until they are sent", () => {
    const rig = mqttRig({ maxQueuedMessages: 32 });
    const { pressure } = rig.table;
    const client = subscribed(rig, 2);
    give(rig, 4);
    expect(pressure.isOn).toBe(false);
    give(rig, 1);
    expect(pressure.isOn).toBe(true);
    acknowledge(client);
    expect(pressure.isOn).toBe(true);
    acknowledge(client);
    expect(pressure.isOn).toBe(false);
  });

  it("presses no longer when it goes", () => {
    const rig = mqttRig({ maxQueuedMessages: 32 });
    const client = subscribed(rig, 1);
    give(rig, 4);
    expect(rig.table.pressure.isOn).toBe(true);
    client.lose();
    expect(rig.table.pressure.isOn).toBe(false);
  });

  it("is disconnected with quota exceeded when more comes than its queue holds, and nobody waits for it then", () => {
    const rig = mqttRig({ maxQueuedMessages: 4 });
    const client = subscribed(rig, 1);
    give(rig, 6);
    expect(client.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x97 });
    expect(rig.table.pressure.isOn).toBe(false);
  });

  it("takes one message that is larger than its queue", () => {
    const rig = mqttRig({ maxWriteBuffer: "16KiB" });
    const client = subscribed(rig, 1);
    const large = Buffer.alloc(100_000);
    give(rig, 2, { ...MESSAGE, bytes: large, payloadEnd: large.length });
    expect(client.packets()).toMatchObject([{ cmd: "publish" }]);
    expect(rig.table.pressure.isOn).toBe(true);
    client.send({ cmd: "puback", messageId: 1 });
    expect(client.packets()).toMatchObject([{ cmd: "publish" }]);
  });
});
