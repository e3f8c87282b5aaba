/** Enhanced authentication: AUTH goes back and forth. */
import { expect } from "vitest";
import { ScramClient } from "../../test/scram-client.js";
import { type Case, conforms } from "../case.js";
import { USER } from "../ground.js";
import type { PacketClient } from "../packet-client.js";
import type { Trial } from "../trial.js";

const METHOD = "SCRAM-SHA-256";

/** A client that has sent CONNECT with its first message, and has been asked for its proof. */
async function asked(t: Trial, scram: ScramClient): Promise<{ client: PacketClient; question: Buffer }> {
  const client = await t.open();
  const properties = { authenticationMethod: METHOD, authenticationData: scram.first() };
  client.send(t.connectPacket({ properties }));
  return { client, question: await question(client) };
}

async function question(client: PacketClient): Promise<Buffer> {
  const { reasonCode, properties } = await client.next("auth");
  expect([reasonCode, properties?.authenticationMethod]).toEqual([0x18, METHOD]);
  return properties!.authenticationData!;
}

function say(client: PacketClient, reasonCode: number, data: Buffer, method = METHOD): void {
  const properties = { authenticationMethod: method, authenticationData: data };
  client.send({ cmd: "auth", reasonCode, properties });
}

async function authenticated(t: Trial): Promise<PacketClient> {
  const scram = new ScramClient(USER.name, USER.password);
  const { client, question: first } = await asked(t, scram);
  say(client, 0x18, scram.final(first));
  const { reasonCode, properties } = await client.next("connack");
  expect([reasonCode, properties?.authenticationMethod]).toEqual([0, METHOD]);
  expect(scram.trusts(properties!.authenticationData!)).toBe(true);
  return client;
}

export const authenticating: readonly Case[] = [
  conforms(
    { v5: ["MQTT-4.12.0-2", "MQTT-4.12.0-5", "MQTT-3.15.2-1"] },
    "asks for the proof of a password by AUTH, and proves itself in CONNACK",
    async (t) => {
      const client = await authenticated(t);
      // It is this user: what is forbidden to it is forbidden here.
      expect(await t.subscribe(client, "forbidden/x")).toEqual([0x87]);
      expect(await t.subscribe(client, t.topic("a"))).toEqual([1]);
    },
  ),
  conforms({ v5: ["MQTT-4.12.0-4", "MQTT-4.13.2-1"] }, "refuses a wrong proof", async (t) => {
    const scram = new ScramClient(USER.name, "wrong");
    const { client, question: first } = await asked(t, scram);
    say(client, 0x18, scram.final(first));
    expect(await client.ended()).toMatchObject([{ cmd: "connack", reasonCode: 0x86 }]);
  }),
  conforms(
    { v5: ["MQTT-4.12.0-4", "MQTT-4.12.0-5"] },
    "ends an exchange in which something else comes, or another method",
    async (t) => {
      const scram = new ScramClient(USER.name, USER.password);
      const { client } = await asked(t, scram);
      client.publish(t.topic("a"), "x");
      expect(await client.ended()).toMatchObject([{ cmd: "connack", reasonCode: 0x82 }]);
      const other = await asked(t, scram);
      say(other.client, 0x18, scram.final(other.question), "SCRAM-SHA-1");
      expect(await other.client.ended()).toMatchObject([{ cmd: "connack", reasonCode: 0x82 }]);
    },
  ),
  conforms(
    { v5: ["MQTT-4.12.0-2", "MQTT-4.12.0-5", "MQTT-3.15.2-1"] },
    "takes the proof again while everything goes on",
    async (t) => {
      const client = await authenticated(t);
      await t.subscribe(client, t.topic("a"));
      const scram = new ScramClient(USER.name, USER.password, "another");
      say(client, 0x19, scram.first());
      const first = await question(client);
      client.publish(t.topic("a"), "meanwhile", { qos: 1, messageId: 1 });
      await client.next("puback");
      expect(await client.message()).toMatchObject({ text: "meanwhile" });
      say(client, 0x18, scram.final(first));
      const { reasonCode, properties } = await client.next("auth");
      expect([reasonCode, properties?.authenticationMethod]).toEqual([0, METHOD]);
      expect(scram.trusts(properties!.authenticationData!)).toBe(true);
    },
  ),
  conforms(
    { v5: ["MQTT-4.12.1-2"] },
    "ends the connection where the repeated proof is wrong, with another method, or out of turn",
    async (t) => {
      const client = await authenticated(t);
      const again = new ScramClient(USER.name, USER.password, "another");
      say(client, 0x19, Buffer.from("n,,nobody"));
      expect(await client.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x87 }]);
      for (const [reasonCode, method] of [
        [0x19, "SCRAM-SHA-1"],
        [0x18, METHOD],
      ] as const) {
        const other = await authenticated(t);
        say(other, reasonCode, again.first(), method);
        expect(await other.ended()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
      }
    },
  ),
];
