/** PINGREQ, DISCONNECT, AUTH. */
import type { IDisconnectPacket } from "mqtt-packet";
import { expect } from "vitest";
import { packet } from "../bytes.js";
import { type Case, conforms } from "../case.js";

export const ending: readonly Case[] = [
  conforms(
    { v3: ["MQTT-3.12.4-1"], v5: ["MQTT-3.12.4-1"] },
    "answers every PINGREQ with PINGRESP",
    async (t) => {
      const client = await t.connect();
      client.raw(packet(0xc0), packet(0xc0), packet(0xc0));
      for (let i = 0; i < 3; i++) await client.next("pingresp");
    },
  ),
  conforms(
    { v5: ["MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-4.13.2-1"] },
    "sends nothing behind its DISCONNECT, and closes",
    async (t) => {
      const client = await t.connect();
      client.raw(packet(0xc1), packet(0xc0), packet(0xc0));
      expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x81 }]);
    },
  ),
  conforms(
    { v5: ["MQTT-3.14.2-1", "MQTT-3.14.4-2"] },
    "closes without a word when the client says goodbye, with whatever reason",
    async (t) => {
      for (const reasonCode of [0, 0x04, 0x80, 0x82, 0x93]) {
        const client = await t.connect();
        client.send({ cmd: "disconnect", reasonCode });
        expect(await client.ended()).toEqual([]);
      }
    },
  ),
  conforms({ v5: ["MQTT-3.14.2-1"] }, "takes a reason that no client may give for an error", async (t) => {
    for (const reason of [0x01, 0x8b, 0x8e, 0xff]) {
      const client = await t.connect();
      client.raw(packet(0xe0, reason, 0));
      const [told, ...more] = await client.ended();
      expect(told).toMatchObject({ cmd: "disconnect" });
      expect([0x81, 0x82]).toContain((told as { reasonCode: number }).reasonCode);
      expect(more).toEqual([]);
    }
  }),
  conforms(
    { v5: ["MQTT-4.13.1-1"] },
    "takes a session expiry in DISCONNECT for an error where CONNECT had none",
    async (t) => {
      const client = await t.connect();
      client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 60 } });
      expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
    },
  ),
  conforms(
    { v5: ["MQTT-3.14.2-3", "MQTT-4.13.1-1"] },
    "says why it ends a connection, where that fits into what the client takes",
    async (t) => {
      for (const [maximumPacketSize, isTold] of [
        [1000, true],
        [20, false],
      ] as const) {
        const client = await t.connect({ properties: { maximumPacketSize } });
        client.raw(packet(0xf0));
        const [told] = (await client.ended()) as [IDisconnectPacket];
        expect(told).toMatchObject({ cmd: "disconnect", reasonCode: 0x82 });
        expect(told.properties?.reasonString !== undefined).toBe(isTold);
      }
    },
  ),
  conforms({ v5: ["MQTT-4.12.0-7"] }, "takes AUTH for an error where no method was agreed on", async (t) => {
    const client = await t.connect();
    client.raw(packet(0xf0));
    expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
  }),
];
