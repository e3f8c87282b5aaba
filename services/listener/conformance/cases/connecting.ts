/** CONNECT and CONNACK of clients that keep to the rules, and of those that are refused. */
import type { IConnackPacket } from "mqtt-packet";
import { expect } from "vitest";
import { bytes, packet, properties, u16 } from "../bytes.js";
import { type Case, conforms } from "../case.js";
import { USER } from "../ground.js";
import { codeOf } from "../trial.js";

const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

export const connecting: readonly Case[] = [
  conforms(
    {
      v3: ["MQTT-3.1.4-4", "MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-7.1.1-1"],
      v5: [
        "MQTT-3.1.4-5",
        "MQTT-3.2.0-1",
        "MQTT-3.2.0-2",
        "MQTT-3.2.2-1",
        "MQTT-3.2.2-2",
        "MQTT-3.2.2-8",
        "MQTT-2.2.2-1",
        "MQTT-4.2.0-1",
      ],
    },
    "answers CONNECT with one CONNACK that accepts, before anything else",
    async (t) => {
      const client = await t.open();
      client.send(t.connectPacket(), { cmd: "pingreq" });
      const connack = await client.next("connack");
      expect(connack).toMatchObject({ sessionPresent: false, [t.isV5 ? "reasonCode" : "returnCode"]: 0 });
      await client.next("pingresp");
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.2.2-3"], v5: ["MQTT-3.1.2-6", "MQTT-3.2.2-3"] },
    "says that there was no session where there was none",
    async (t) => {
      expect((await t.connect({ clean: false })).connack).toMatchObject({ sessionPresent: false });
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.3-3", "MQTT-3.1.3-5"], v5: ["MQTT-3.1.3-3", "MQTT-3.1.3-5"] },
    "takes identifiers of one and of 23 characters, all letters and digits among them",
    async (t) => {
      for (let i = 0; i < LETTERS.length; i += 21) {
        await t.connect({ clientId: `${LETTERS.slice(i, i + 21)}${t.level}x`.slice(0, 23) });
      }
      await t.connect({ clientId: LETTERS.slice(0, 23) });
      await t.connect({ clientId: "Z" });
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.3-6", "MQTT-3.1.3-7"],
      v5: ["MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16"],
    },
    "gives clients without an identifier one each",
    async (t) => {
      const both = [await t.connect({ clientId: "" }), await t.connect({ clientId: "" })];
      for (const client of both) expect(await client.roundTrip()).toEqual([]);
      if (!t.isV5) return;
      const ids = both.map((client) => client.connack?.properties?.assignedClientIdentifier);
      expect(ids[0]).toMatch(/./);
      expect(ids[1]).toMatch(/./);
      expect(ids[0]).not.toBe(ids[1]);
      // As if the client had chosen it: whoever calls itself so takes over.
      await t.connect({ clientId: ids[0]! });
      expect(await both[0]!.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8e }]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.1.4-5"],
    },
    "refuses an empty identifier without clean session, and hears nothing of what follows",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.open();
      const connect = packet(0x10, "MQTT", 4, 0x00, u16(0), "");
      client.raw(
        connect,
        client.encode({
          cmd: "publish",
          topic: t.topic("a"),
          payload: "x",
          qos: 0,
          dup: false,
          retain: false,
        }),
      );
      expect(await client.ended()).toMatchObject([{ cmd: "connack", returnCode: 2, sessionPresent: false }]);
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.3-9"],
      v5: ["MQTT-3.1.3-8", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-4.13.2-1"],
    },
    "refuses an identifier that is too long for it",
    async (t) => {
      const client = await t.open();
      client.send(t.connectPacket({ clientId: "x".repeat(300) }));
      const [connack, ...more] = await client.ended();
      expect(connack).toMatchObject({ cmd: "connack", sessionPresent: false });
      expect(codeOf(connack as never)).toBe(t.isV5 ? 0x85 : 2);
      expect(more).toEqual([]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.1.2-19", "MQTT-3.1.2-21", "MQTT-3.1.3-1"],
      v5: ["MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.3-1"],
    },
    "finds user and password behind the identifier and the will",
    async (t) => {
      const will = { topic: t.topic("will"), payload: Buffer.from("w"), qos: 0 as const, retain: false };
      await t.connect({ username: USER.name, password: Buffer.from(USER.password), will });
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-18", "MQTT-3.1.2-20"], v5: ["MQTT-3.1.2-16", "MQTT-3.1.2-18"] },
    "takes a client without user and password",
    async (t) => {
      const client = await t.open();
      client.raw(packet(0x10, "MQTT", t.level, 0x02, u16(0), ...(t.isV5 ? [0] : []), t.name()));
      await client.next("connack");
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    {
      v3: ["MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.1.4-5"],
      v5: ["MQTT-3.1.4-2", "MQTT-3.1.4-6", "MQTT-3.2.2-7"],
    },
    "refuses a wrong password, and hears nothing of what follows",
    async (t) => {
      const subscriber = await t.subscriber(t.topic("#"));
      const client = await t.open();
      client.send(t.connectPacket({ username: USER.name, password: Buffer.from("wrong") }), {
        cmd: "publish",
        topic: t.topic("a"),
        payload: "x",
        qos: 0,
        dup: false,
        retain: false,
      });
      const [connack, ...more] = await client.ended();
      expect(codeOf(connack as never)).toBe(t.isV5 ? 0x86 : 4);
      expect(connack).toMatchObject({ sessionPresent: false });
      expect(more).toEqual([]);
      expect(await subscriber.roundTrip()).toEqual([]);
    },
  ),
  conforms({ v5: ["MQTT-3.1.2-19"] }, "takes a password without a user for what it is", async (t) => {
    const client = await t.open();
    client.raw(packet(0x10, "MQTT", 5, 0x42, u16(0), 0, t.name(), "secret"));
    // Nobody has that password: refused, but as credentials, not as a broken packet.
    expect(codeOf(await client.next("connack"))).toBeLessThanOrEqual(0x87);
  }),
  conforms(
    { v3: ["MQTT-3.1.2-2"], v5: ["MQTT-3.1.2-2"] },
    "tells a client of an unknown version so",
    async (t) => {
      // Whoever speaks an unknown version can read the oldest form at least.
      const client = await t.open("here", 4);
      client.raw(packet(0x10, "MQTT", 6, 0x02, u16(0), ...(t.isV5 ? [0] : []), t.name()));
      expect(await client.ended()).toMatchObject([{ cmd: "connack", returnCode: 1, sessionPresent: false }]);
    },
  ),
  conforms({ v3: ["MQTT-3.1.2-1"], v5: ["MQTT-3.1.2-1"] }, "hangs up on another protocol name", async (t) => {
    const client = await t.open();
    client.raw(packet(0x10, "MQTS", t.level, 0x02, u16(0), ...(t.isV5 ? [0] : []), t.name()));
    await client.ended();
  }),
  conforms(
    { v3: ["MQTT-3.1.4-2"], v5: ["MQTT-3.1.4-3", "MQTT-3.14.0-1", "MQTT-3.14.2-1", "MQTT-3.14.2-2"] },
    "ends the connection that a client has when it comes again",
    async (t) => {
      const clientId = t.name();
      const older = await t.connect({ clientId });
      const newer = await t.connect({ clientId }, "there");
      const told = await older.ended();
      expect(told).toEqual(t.isV5 ? [expect.objectContaining({ cmd: "disconnect", reasonCode: 0x8e })] : []);
      if (t.isV5) expect(told[0]).not.toHaveProperty("properties.sessionExpiryInterval");
      expect(await newer.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-24"], v5: ["MQTT-3.1.2-22", "MQTT-3.2.2-22", "MQTT-3.14.2-1"] },
    "cuts a client off that is silent for one and a half times its keep alive",
    async (t) => {
      const began = performance.now();
      const client = await t.connect({ keepalive: 1 });
      expect(client.connack).not.toHaveProperty("properties.serverKeepAlive");
      const told = await client.ended();
      expect(performance.now() - began).toBeGreaterThan(1_490);
      if (t.isV5) expect(told).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8d }]);
      else expect(told).toEqual([]);
    },
  ),
  conforms(
    { v3: ["MQTT-3.1.2-24"], v5: ["MQTT-3.1.2-22"] },
    "leaves a client without a keep alive, and one that pings, alone",
    async (t) => {
      const pinging = await t.connect({ keepalive: 1 });
      const watch = await t.connect({ keepalive: 1 });
      const silent = await t.connect();
      const pings = setInterval(() => pinging.send({ cmd: "pingreq" }), 300);
      // The one that is cut off tells that the time is over.
      await watch.ended();
      clearInterval(pings);
      await pinging.roundTrip();
      await silent.roundTrip();
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-28"] },
    "gives no response information to a client that wants none",
    async (t) => {
      for (const requestResponseInformation of [undefined, false]) {
        const client = await t.connect({
          properties: requestResponseInformation === undefined ? {} : { requestResponseInformation },
        });
        expect(client.connack).not.toHaveProperty("properties.responseInformation");
      }
    },
  ),
  conforms(
    { v5: ["MQTT-3.1.2-29"] },
    "puts problem information into no other packets where the client wants none",
    async (t) => {
      const client = await t.connect({ properties: { requestProblemInformation: false } });
      await t.subscribe(client, "a/#/b");
      client.publish(t.topic("a"), "x", { qos: 1, messageId: 3 });
      const puback = await client.next("puback");
      expect(puback).not.toHaveProperty("properties.reasonString");
      expect(puback).not.toHaveProperty("properties.userProperties");
    },
  ),
  conforms(
    { v5: ["MQTT-3.2.2-19"] },
    "says why it lets a client not in, where that fits into what the client takes",
    async (t) => {
      for (const [maximumPacketSize, isTold] of [
        [1000, true],
        [8, false],
      ] as const) {
        const client = await t.open();
        client.send(t.connectPacket({ properties: { maximumPacketSize, authenticationMethod: "GUESS" } }));
        const [told] = (await client.ended()) as [IConnackPacket];
        expect(told).toMatchObject({ cmd: "connack", reasonCode: 0x8c });
        expect(told.properties?.reasonString !== undefined).toBe(isTold);
      }
    },
  ),
  conforms(
    { v5: ["MQTT-3.4.2-2", "MQTT-3.5.2-2"] },
    "says why it does not take a message, where the client wants to know and has room for it",
    async (t) => {
      for (const [wanted, isTold] of [
        [{ maximumPacketSize: 1000 }, true],
        [{ maximumPacketSize: 20 }, false],
        [{ requestProblemInformation: false }, false],
      ] as const) {
        const client = await t.connect({
          username: USER.name,
          password: Buffer.from(USER.password),
          properties: wanted,
        });
        for (const [qos, cmd] of [
          [1, "puback"],
          [2, "pubrec"],
        ] as const) {
          client.publish("forbidden/a", "x", { qos, messageId: 1 });
          const { reasonCode, properties: said } = await client.next(cmd);
          expect([reasonCode, said?.reasonString !== undefined]).toEqual([0x87, isTold]);
        }
      }
    },
  ),
  conforms(
    { v5: ["MQTT-4.12.0-1", "MQTT-3.2.2-8"] },
    "refuses an authentication method that it does not know",
    async (t) => {
      const client = await t.open();
      client.send(t.connectPacket({ properties: { authenticationMethod: "GUESS" } }));
      expect(await client.ended()).toMatchObject([
        { cmd: "connack", reasonCode: 0x8c, sessionPresent: false },
      ]);
    },
  ),
  conforms(
    { v5: ["MQTT-4.12.0-6"] },
    "names no authentication method to a client that named none",
    async (t) => {
      const client = await t.connect();
      expect(client.connack).not.toHaveProperty("properties.authenticationMethod");
      expect(await client.roundTrip()).toEqual([]);
    },
  ),
  conforms(
    { v5: ["MQTT-3.2.2-9", "MQTT-3.2.2-10"] },
    "takes every QoS from publishers, and SUBSCRIBE with every QoS",
    async (t) => {
      const client = await t.connect();
      expect(client.connack).not.toHaveProperty("properties.maximumQoS");
      const granted = await t.subscribe(client, [
        { topic: t.topic("0"), qos: 0 },
        { topic: t.topic("1"), qos: 1 },
        { topic: t.topic("2"), qos: 2 },
      ]);
      for (const code of granted) expect(code).toBeLessThanOrEqual(2);
      client.publish(t.topic("x"), "x", { qos: 2, messageId: 1 });
      await client.next("pubrec");
    },
  ),
  conforms(
    { v5: ["MQTT-3.2.2-13"] },
    "keeps retained messages, or says that it does not and refuses retained wills",
    async (t) => {
      const client = await t.open();
      const will = { topic: t.topic("w"), payload: Buffer.from("w"), qos: 0 as const, retain: true };
      client.send(t.connectPacket({ will }));
      const connack = await client.next("connack");
      if (connack.properties?.retainAvailable === false) expect(codeOf(connack)).toBe(0x9a);
      else {
        client.publish(t.topic("kept"), "x", { qos: 1, messageId: 1, retain: true });
        await client.next("puback");
        const subscriber = await t.subscriber(t.topic("kept"));
        // It may be on its way to its subscribers still.
        const { retain } = await subscriber.message();
        if (!retain) expect(await subscriber.message()).toMatchObject({ retain: true });
      }
    },
  ),
  conforms({ v5: ["MQTT-3.1.2-24"] }, "hangs up where not even CONNACK may be sent", async (t) => {
    const client = await t.open();
    client.raw(packet(0x10, "MQTT", 5, 0x02, u16(0), properties(0x27, bytes(0, 0, 0, 4)), ""));
    expect(await client.ended()).toEqual([]);
  }),
];
