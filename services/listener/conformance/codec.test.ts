import { isUtf8 } from "node:buffer";
import type { EnvelopeExtras } from "@myelin/contract";
import fc from "fast-check";
import mqttPacket, {
  type IConnectPacket,
  type IPublishPacket,
  type ISubscribePacket,
  type Packet,
  type UserProperties,
} from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { readAck, readDisconnect } from "../src/protocols/mqtt/codec/acks.js";
import { readConnect } from "../src/protocols/mqtt/codec/connect.js";
import { Outbox } from "../src/protocols/mqtt/codec/outbox.js";
import { PACKET } from "../src/protocols/mqtt/codec/packets.table.js";
import type { Properties } from "../src/protocols/mqtt/codec/properties.js";
import { publishSize, writePublish } from "../src/protocols/mqtt/codec/publish-writer.js";
import { PacketReader } from "../src/protocols/mqtt/codec/reader.js";
import { REASON, RETURN_CODE, type Reason } from "../src/protocols/mqtt/codec/reason-codes.table.js";
import { readSubscribe, readUnsubscribe } from "../src/protocols/mqtt/codec/subscribe.js";
import {
  writeAck,
  writeAuth,
  writeConnackAccept,
  writeConnackRefuse,
  writeDisconnect,
  writePingResp,
  writeSubAck,
} from "../src/protocols/mqtt/codec/writer.js";
import { mqttRig } from "../test/mqtt-rig.js";
import type { Level } from "./packet-client.js";
import { binary, clientPackets, packetId, text, topicName } from "./packets.js";

/** Their name of a property, and ours. */
const NAMES: readonly (readonly [string, keyof Properties])[] = [
  ["payloadFormatIndicator", "payloadFormat"],
  ["messageExpiryInterval", "messageExpiry"],
  ["contentType", "contentType"],
  ["responseTopic", "responseTopic"],
  ["correlationData", "correlationData"],
  ["sessionExpiryInterval", "sessionExpiry"],
  ["receiveMaximum", "receiveMaximum"],
  ["maximumPacketSize", "maximumPacketSize"],
  ["topicAliasMaximum", "topicAliasMaximum"],
  ["requestResponseInformation", "requestResponseInformation"],
  ["requestProblemInformation", "requestProblemInformation"],
  ["willDelayInterval", "willDelay"],
];

const pairsOf = (properties: UserProperties = {}) =>
  Object.entries(properties).flatMap(([name, values]) => [values].flat().map((value) => ({ name, value })));

function ourProperties(theirs: object = {}): Properties {
  const given = theirs as Record<string, unknown>;
  const out: Record<string, unknown> = {};
  for (const [their, our] of NAMES) {
    const value = given[their];
    if (value !== undefined) out[our] = typeof value === "boolean" ? Number(value) : value;
  }
  const pairs = pairsOf(given.userProperties as UserProperties | undefined);
  if (pairs.length > 0) out.userProperties = pairs;
  return out;
}

const encode = (packet: Packet, level: Level): Buffer =>
  mqttPacket.generate(packet, { protocolVersion: level });

function readerOf(packet: Packet, level: Level): PacketReader {
  const bytes = encode(packet, level);
  let at = 1;
  while (bytes[at++]! > 0x7f);
  return new PacketReader().reset(bytes, at, bytes.length);
}

function readsConnect(packet: IConnectPacket, level: Level): void {
  const { clientId, clean, keepalive: keepAlive, will, username, password } = packet;
  const read = readConnect(readerOf(packet, level), () => {});
  expect(read).toMatchObject({ version: level, clientId, clean, keepAlive });
  expect([read.user, read.password]).toEqual([username, password]);
  expect(read.properties).toEqual(ourProperties(packet.properties));
  if (will === undefined) expect(read.will).toBeUndefined();
  else {
    const { topic, payload, qos, retain } = will;
    const properties = ourProperties(will.properties);
    expect(read.will).toEqual({ topic: Buffer.from(topic), payload, qos, retain, properties });
  }
}

function readsPublish(packet: IPublishPacket, level: Level): void {
  const rig = mqttRig();
  const client = rig.connected("c", level);
  client.raw(encode(packet, level));
  const taken = [...rig.telemetry.taken, ...rig.events.taken];
  expect(client.stream.ended).toBe(false);
  if (packet.properties?.payloadFormatIndicator && !isUtf8(packet.payload as Buffer)) {
    // Said to be text, and is none.
    expect(taken).toEqual([]);
    return;
  }
  expect(taken).toHaveLength(1);
  const { path, payload, extras = {}, channel } = taken[0]!;
  expect([path, payload]).toEqual([packet.topic, packet.payload]);
  expect(rig.events.taken.length).toBe(packet.qos > 0 ? 1 : 0);
  const { properties = {} } = packet;
  const { messageExpiryInterval: expiry, userProperties } = properties;
  const headers = pairsOf(userProperties);
  expect(channel.head.contentType).toBe(properties.contentType ?? "");
  expect(extras).toEqual({
    retain: packet.retain || undefined,
    qos: packet.qos === 2 ? 2 : undefined,
    expiresAtUs: expiry === undefined ? undefined : rig.clock.wallUs() + expiry * 1_000_000,
    responsePath: properties.responseTopic,
    correlation: properties.correlationData,
    payloadIsText: properties.payloadFormatIndicator || undefined,
    headers: headers.length > 0 ? headers : undefined,
  } satisfies EnvelopeExtras);
}

function readsSubscribe(packet: ISubscribePacket, level: Level): void {
  const items = packet.subscriptions.map(({ topic, qos, nl = false, rap = false }) => ({
    filter: topic,
    qos,
    noLocal: nl,
    retainAsPublished: rap,
  }));
  const read = readSubscribe(readerOf(packet, level), level);
  expect(read.packetId).toBe(packet.messageId);
  expect(read.subscriptionId).toBe(packet.properties?.subscriptionIdentifier ?? 0);
  expect(read.items).toMatchObject(items);
}

function reads(packet: Packet, level: Level): void {
  switch (packet.cmd) {
    case "connect":
      readsConnect(packet, level);
      return;
    case "publish":
      readsPublish(packet, level);
      return;
    case "subscribe":
      readsSubscribe(packet, level);
      return;
    case "unsubscribe":
      expect(readUnsubscribe(readerOf(packet, level), level)).toEqual({
        packetId: packet.messageId,
        filters: packet.unsubscriptions,
      });
      return;
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp": {
      const { messageId, reasonCode: reason = 0 } = packet;
      const read = readAck(readerOf(packet, level), level, PACKET[packet.cmd]);
      expect(read).toEqual({ packetId: messageId, reason });
      return;
    }
    case "disconnect": {
      const read = readDisconnect(readerOf(packet, level), level);
      expect(read.reason).toBe(packet.reasonCode ?? 0);
      expect(read.properties).toMatchObject(ourProperties(packet.properties));
      return;
    }
    default:
      readerOf(packet, level).finish();
  }
}

describe.each<Level>([4, 5])("what another library writes in version %i is read as it was meant", (level) => {
  it.each(Object.entries(clientPackets(level)))("%s", (_name, packets) => {
    fc.assert(fc.property(packets, (packet) => reads(packet, level)));
  });
});

function parse(out: Outbox, level: Level): Packet {
  const parser = mqttPacket.parser({ protocolVersion: level });
  const packets: Packet[] = [];
  parser.on("packet", (packet) => packets.push(packet));
  parser.on("error", (error) => {
    throw error;
  });
  expect(parser.parse(out.take())).toBe(0);
  expect(packets).toHaveLength(1);
  return packets[0]!;
}

const level = fc.constantFrom<Level>(4, 5);
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });

describe("what we write is read by another library as it was meant", () => {
  it("CONNACK that accepts", () => {
    const offer = fc.record({
      maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
      receiveMaximum: maybe(packetId),
      topicAliasMaximum: maybe(fc.nat(65_535)),
      responseInformation: maybe(text),
      authMethod: maybe(text),
      authData: maybe(binary),
      assignedClientId: maybe(text.filter((s) => s !== "")),
      serverKeepAlive: maybe(fc.nat(65_535)),
      sessionExpiry: maybe(fc.nat(0xffff_ffff)),
    });
    fc.assert(
      fc.property(level, fc.boolean(), offer, (v, sessionPresent, given) => {
        const out = new Outbox();
        writeConnackAccept(out, v, sessionPresent, given);
        const read = parse(out, v);
        expect(read).toMatchObject({
          cmd: "connack",
          sessionPresent,
          [v === 5 ? "reasonCode" : "returnCode"]: 0,
        });
        if (v < 5) return;
        const said = (read as { properties?: object }).properties;
        expect(said).toEqual({
          maximumPacketSize: given.maximumPacketSize,
          ...(given.receiveMaximum !== undefined && { receiveMaximum: given.receiveMaximum }),
          ...(given.topicAliasMaximum !== undefined && { topicAliasMaximum: given.topicAliasMaximum }),
          ...(given.responseInformation !== undefined && { responseInformation: given.responseInformation }),
          ...(given.authMethod !== undefined && { authenticationMethod: given.authMethod }),
          ...(given.authData !== undefined && { authenticationData: given.authData }),
          ...(given.assignedClientId !== undefined && { assignedClientIdentifier: given.assignedClientId }),
          ...(given.serverKeepAlive !== undefined && { serverKeepAlive: given.serverKeepAlive }),
          ...(given.sessionExpiry !== undefined && { sessionExpiryInterval: given.sessionExpiry }),
        });
      }),
    );
  });

  it("tells a client of MQTT 3.1 nothing of its session: that byte is reserved there", () => {
    const out = new Outbox();
    writeConnackAccept(out, 3, true, { maximumPacketSize: 1 });
    expect(parse(out, 4)).toMatchObject({ cmd: "connack", sessionPresent: false, returnCode: 0 });
  });

  it("CONNACK that refuses", () => {
    const out = new Outbox();
    const nearest: readonly (readonly [Reason, number])[] = [
      [REASON.unsupportedVersion, RETURN_CODE.unacceptableVersion],
      [REASON.clientIdNotValid, RETURN_CODE.identifierRejected],
      [REASON.serverUnavailable, RETURN_CODE.serverUnavailable],
      [REASON.badUserNameOrPassword, RETURN_CODE.badUserNameOrPassword],
      [REASON.notAuthorized, RETURN_CODE.notAuthorized],
      [REASON.serverBusy, RETURN_CODE.serverUnavailable],
    ];
    for (const [reason, returnCode] of nearest) {
      writeConnackRefuse(out, 5, reason);
      expect(parse(out, 5)).toMatchObject({ cmd: "connack", reasonCode: reason, sessionPresent: false });
      writeConnackRefuse(out, 4, reason);
      expect(parse(out, 4)).toMatchObject({ cmd: "connack", returnCode, sessionPresent: false });
    }
  });

  it("PUBLISH, with its size known beforehand", () => {
    const properties = fc.record({
      isText: fc.boolean(),
      contentType: text,
      messageExpiry: fc.nat(1000),
      responseTopic: fc.constantFrom("", "r/t"),
      correlationData: binary,
      subscriptionIds: fc.constantFrom<number[]>([], [1], [300, 268_435_455]),
      // The library loses a name's empty values where it joins several.
      userProperties: fc.uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c"), value: text }), {
        selector: (property) => property.name,
        maxLength: 3,
      }),
    });
    const message = fc.record({
      topic: topicName,
      payload: binary,
      qos: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
      dup: fc.boolean(),
      retain: fc.boolean(),
      packetId,
    });
    const naming = fc.record({ alias: fc.nat(65_535), known: fc.boolean() });
    fc.assert(
      fc.property(level, message, maybe(properties), naming, (v, drawn, some, { alias, known }) => {
        const props = v === 5 ? some : undefined;
        const given = { ...drawn, dup: drawn.dup && drawn.qos > 0 };
        const name = v === 5 && alias > 0 ? { alias, known } : { alias: 0, known: false };
        const outgoing = { ...given, payloadStart: 0, payloadEnd: given.payload.length };
        const out = new Outbox();
        writePublish(out, outgoing, v, props, name);
        expect(out.length).toBe(publishSize(outgoing, v, props, name));
        const read = parse(out, v) as IPublishPacket;
        const { qos, retain, dup } = given;
        const topic = name.known ? "" : given.topic;
        expect(read).toMatchObject({ cmd: "publish", topic, qos, retain, dup });
        expect(read.properties?.topicAlias ?? 0).toBe(name.alias);
        expect(Buffer.from(read.payload as Buffer)).toEqual(given.payload);
        expect(read.messageId).toBe(qos > 0 ? given.packetId : undefined);
        if (props === undefined) return;
        const p = read.properties ?? {};
        expect(p.payloadFormatIndicator ?? false).toBe(props.isText);
        expect([p.contentType ?? "", p.messageExpiryInterval ?? 0, p.responseTopic ?? ""]).toEqual([
          props.contentType,
          props.messageExpiry,
          props.responseTopic,
        ]);
        expect(p.correlationData ?? Buffer.alloc(0)).toEqual(props.correlationData);
        expect([p.subscriptionIdentifier ?? []].flat()).toEqual(props.subscriptionIds);
        expect(pairsOf(p.userProperties)).toEqual(props.userProperties);
      }),
    );
  });

  it("PUBACK, PUBREC, PUBREL and PUBCOMP", () => {
    const kinds = fc.constantFrom(
      [
        "puback",
        [REASON.success, REASON.noMatchingSubscribers, REASON.notAuthorized, REASON.quotaExceeded],
      ] as const,
      ["pubrec", [REASON.success, REASON.packetIdInUse, REASON.unspecified]] as const,
      ["pubrel", [REASON.success, REASON.packetIdNotFound]] as const,
      ["pubcomp", [REASON.success, REASON.packetIdNotFound]] as const,
    );
    const acks = kinds.chain(([cmd, reasons]) =>
      fc.tuple(fc.constant(cmd), fc.constantFrom<Reason>(...reasons)),
    );
    fc.assert(
      fc.property(level, acks, packetId, (v, [cmd, reason], id) => {
        const out = new Outbox();
        writeAck(out, PACKET[cmd], id, v === 5 ? reason : REASON.success);
        const read = parse(out, v) as { reasonCode?: number };
        expect(read).toMatchObject({ cmd, messageId: id });
        if (v < 5) return;
        expect(read.reasonCode ?? 0).toBe(reason);
        if (reason === REASON.success) return;
        writeAck(out, PACKET[cmd], id, reason, "why");
        expect(parse(out, v)).toMatchObject({ reasonCode: reason, properties: { reasonString: "why" } });
      }),
    );
  });

  it("SUBACK and UNSUBACK, also of many filters", () => {
    const codes = fc.array(fc.constantFrom(0, 1, 2), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(level, codes, packetId, (v, granted, id) => {
        const out = new Outbox();
        writeSubAck(out, PACKET.suback, v, id, v === 5 ? [...granted, 0x87] : [...granted, 0x80]);
        const suback = parse(out, v);
        expect(suback).toMatchObject({
          cmd: "suback",
          messageId: id,
          granted: [...granted, v === 5 ? 0x87 : 0x80],
        });
        const answers = v === 5 ? granted.map((code) => (code === 1 ? 0x11 : 0)) : [];
        writeSubAck(out, PACKET.unsuback, v, id, answers);
        const unsuback = parse(out, v);
        expect(unsuback).toMatchObject({ cmd: "unsuback", messageId: id });
        if (v === 5) expect(unsuback).toMatchObject({ granted: answers });
      }),
    );
  });

  it("PINGRESP, DISCONNECT and AUTH", () => {
    const out = new Outbox();
    writePingResp(out);
    expect(parse(out, 4)).toMatchObject({ cmd: "pingresp" });
    for (const reason of [0x81, 0x82, 0x8b, 0x8d, 0x8e, 0x93, 0x95, 0x97, 0x9c] as const) {
      writeDisconnect(out, reason);
      expect(parse(out, 5)).toMatchObject({ cmd: "disconnect", reasonCode: reason });
      const properties = { reasonString: "why", serverReference: "other:1883" };
      writeDisconnect(out, reason, properties);
      expect(parse(out, 5)).toMatchObject({ cmd: "disconnect", reasonCode: reason, properties });
    }
    writeAuth(out, REASON.continueAuthentication, { authMethod: "M", authData: Buffer.of(1, 2) });
    expect(parse(out, 5)).toMatchObject({
      cmd: "auth",
      reasonCode: 0x18,
      properties: { authenticationMethod: "M", authenticationData: Buffer.of(1, 2) },
    });
  });
});
