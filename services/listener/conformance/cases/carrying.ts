/** How bytes come: in pieces, together, in messages of the wrong kind. */
import { once } from "node:events";
import { expect } from "vitest";
import { WebSocket } from "ws";
import { type Case, conforms } from "../case.js";

export const carrying: readonly Case[] = [
  conforms(
    { v3: ["MQTT-6.0.0-2", "MQTT-7.1.1-1"], v5: ["MQTT-6.0.0-2", "MQTT-4.2.0-1"] },
    "reads packets that come byte by byte, and many at once",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.open();
      const packets = [
        client.encode(t.connectPacket()),
        ...["1", "2", "3"].map((payload) =>
          client.encode({ cmd: "publish", topic: t.topic("a"), payload, qos: 0, dup: false, retain: false }),
        ),
      ];
      for (const byte of packets[0]!) client.raw(Buffer.of(byte));
      await client.next("connack");
      client.raw(packets[1]!, packets[2]!, packets[3]!.subarray(0, 3));
      client.raw(packets[3]!.subarray(3));
      for (const text of ["1", "2", "3"]) expect(await subscriber.message()).toMatchObject({ text });
    },
  ),
  conforms(
    { v3: ["MQTT-6.0.0-4"], v5: ["MQTT-6.0.0-4"] },
    "answers a WebSocket handshake with the sub-protocol mqtt",
    async (t) => {
      const client = await t.open();
      expect(client.subprotocol).toBe(t.transport === "WebSocket" ? "mqtt" : "");
    },
  ),
  conforms(
    { v3: ["MQTT-6.0.0-1"], v5: ["MQTT-6.0.0-1"] },
    "sends binary messages, and closes a WebSocket that brings text",
    async (t) => {
      const socket = new WebSocket(`ws://127.0.0.1:${t.portOf("WebSocket")}/mqtt`, "mqtt");
      socket.on("error", () => {});
      await once(socket, "open");
      const probe = await t.open();
      socket.send(probe.encode(t.connectPacket()));
      const [, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
      expect(isBinary).toBe(true);
      const closed = once(socket, "close");
      socket.send("text");
      expect((await closed)[0]).toBe(1003);
    },
  ),
];
