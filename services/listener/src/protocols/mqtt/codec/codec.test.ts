import fc from "fast-check";
import mqttPacket, { type IPublishPacket, type Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { readAck, readDisconnect } from "./acks.js";
import { readConnect, type Version } from "./connect.js";
import { Outbox } from "./outbox.js";
import { PACKET } from "./packets.table.js";
import { PacketReader } from "./reader.js";
import { readSubscribe, readUnsubscribe } from "./subscribe.js";
import { isTopicName, parseFilter } from "./topics.js";
import {
  publishSize,
  writeAck,
  writeConnackAccept,
  writeConnackRefuse,
  writeDisconnect,
  writePingResp,
  writePublish,
  writeSubAck,
} from "./writer.js";

/** Strings that MQTT can carry. */
const text = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .filter((s) => !s.includes("\0") && s.isWellFormed());
const topic = text.filter((s) => s !== "" && !/[+#]/.test(s));
const filter = fc
  .array(fc.constantFrom("a", "b", "+", "", "häus"), { minLength: 1, maxLength: 5 })
  .chain((levels) => fc.constantFrom(levels.join("/"), `${levels.join("/")}/#`))
  .filter((f) => f !== "");
const binary = fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b));
const version = fc.constantFrom<Version>(4, 5);
const id = fc.integer({ min: 1, max: 65_535 });

/** The body of a generated packet. */
function readerOf(packet: Packet, protocolVersion: number): PacketReader {
  const bytes = mqttPacket.generate(packet, { protocolVersion });
  let at = 1;
  while (bytes[at++]! > 0x7f);
  return new PacketReader().reset(bytes, at, bytes.length);
}

function parse(out: Outbox, protocolVersion: number): Packet {
  const parser = mqttPacket.parser({ protocolVersion });
  let packet: Packet | undefined;
  parser.on("packet", (p) => {
    packet = p;
  });
  parser.on("error", (error) => {
    throw error;
  });
  expect(parser.parse(out.take())).toBe(0);
  return packet!;
}

describe("what another library writes is read as it was meant", () => {
  it("CONNECT", () => {
    const will = fc.record({ topic, payload: binary, qos: fc.constantFrom(0, 1, 2), retain: fc.boolean() });
    fc.assert(
      fc.property(
        version,
        text,
        fc.boolean(),
        fc.nat(65_535),
        fc.option(will, { nil: undefined }),
        fc.option(fc.record({ username: text, password: binary }), { nil: undefined }),
        fc.record({ receiveMaximum: id, maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }) }),
        (v, clientId, clean, keepalive, will, login, properties) => {
          // The library refuses to write what version 4 forbids, in version 5 too.
          fc.pre(clientId !== "" || clean);
          const reader = readerOf(
            {
              cmd: "connect",
              protocolId: "MQTT",
              protocolVersion: v,
              clientId,
              clean,
              keepalive,
              ...(will && { will }),
              ...login,
              ...(v === 5 && { properties }),
            } as Packet,
            v,
          );
          const connect = readConnect(reader, () => {});
          expect(connect).toMatchObject({ version: v, clean, keepAlive: keepalive, clientId });
          expect(connect.user).toBe(login?.username);
          expect(connect.password ?? Buffer.alloc(0)).toEqual(login?.password ?? Buffer.alloc(0));
          expect(connect.will?.topic.toString()).toBe(will?.topic);
          expect(connect.will?.payload).toEqual(will?.payload);
          expect(connect.will?.qos).toBe(will?.qos);
          expect(connect.will?.retain).toBe(will?.retain);
          if (v === 5) expect(connect.properties).toEqual(properties);
        },
      ),
    );
  });

  it("SUBSCRIBE and UNSUBSCRIBE", () => {
    const item = fc.record({
      topic: filter,
      qos: fc.constantFrom(0, 1, 2),
      nl: fc.boolean(),
      rap: fc.boolean(),
    });
    fc.assert(
      fc.property(version, id, fc.array(item, { minLength: 1, maxLength: 5 }), (v, messageId, items) => {
        const subscriptions = items.map((s) => (v === 5 ? { ...s, rh: 0 } : { topic: s.topic, qos: s.qos }));
        const packet = readSubscribe(
          readerOf({ cmd: "subscribe", messageId, subscriptions } as Packet, v),
          v,
        );
        expect(packet).toEqual({
          packetId: messageId,
          subscriptionId: 0,
          items: items.map((s) => ({
            filter: s.topic,
            qos: s.qos,
            noLocal: v === 5 && s.nl,
            retainAsPublished: v === 5 && s.rap,
          })),
        });
        const unsubscriptions = items.map((s) => s.topic);
        const gone = readUnsubscribe(readerOf({ cmd: "unsubscribe", messageId, unsubscriptions }, v), v);
        expect(gone).toEqual({ packetId: messageId, filters: unsubscriptions });
      }),
    );
  });

  it("acknowledgements and DISCONNECT", () => {
    const reasons = fc.constantFrom(0, 0x10, 0x80, 0x83, 0x87, 0x97);
    fc.assert(
      fc.property(
        fc.constantFrom("puback" as const, "pubrec" as const, "pubrel" as const, "pubcomp" as const),
        version,
        id,
        reasons,
        fc.option(text, { nil: undefined }),
        (cmd, v, messageId, reasonCode, reasonString) => {
          const reason = cmd === "pubrel" || cmd === "pubcomp" ? (reasonCode === 0 ? 0 : 0x92) : reasonCode;
          const properties = reasonString === undefined ? {} : { properties: { reasonString } };
          const packet = { cmd, messageId, ...(v === 5 && { reasonCode: reason, ...properties }) } as Packet;
          expect(readAck(readerOf(packet, v), v, PACKET[cmd])).toEqual({
            packetId: messageId,
            reason: v === 5 ? reason : 0,
          });
        },
      ),
    );
    expect(readDisconnect(readerOf({ cmd: "disconnect", reasonCode: 4 } as Packet, 5), 5).reason).toBe(4);
    expect(readDisconnect(readerOf({ cmd: "disconnect" } as Packet, 4), 4).reason).toBe(0);
  });
});

describe("what we write is read by another library as it was meant", () => {
  it("PUBLISH, with its size known beforehand", () => {
    const properties = fc.record({
      contentType: text,
      messageExpiry: fc.nat(1000),
      responseTopic: fc.constantFrom("", "r/t"),
      correlationData: binary,
      subscriptionIds: fc.constantFrom<number[]>([], [1], [300, 268_435_455]),
      // The library joins properties of one name into one value, and loses empty ones on the way.
      userProperties: fc.uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c"), value: text }), {
        selector: (property) => property.name,
        maxLength: 3,
      }),
    });
    fc.assert(
      fc.property(
        version,
        topic,
        binary,
        fc.constantFrom<0 | 1>(0, 1),
        fc.boolean(),
        id,
        fc.option(properties, { nil: undefined }),
        (v, topicName, payload, qos, retain, packetId, given) => {
          const props = v === 5 ? given : undefined;
          const message = {
            topic: topicName,
            payload,
            payloadStart: 0,
            payloadEnd: payload.length,
            qos,
            retain,
            packetId,
          };
          const out = new Outbox();
          writePublish(out, message, v, props);
          expect(out.length).toBe(publishSize(message, v, props));
          const read = parse(out, v) as IPublishPacket;
          expect(read).toMatchObject({ cmd: "publish", topic: topicName, qos, retain });
          expect(Buffer.from(read.payload as Buffer)).toEqual(payload);
          if (qos === 1) expect(read.messageId).toBe(packetId);
          if (props !== undefined) {
            const p = read.properties ?? {};
            expect(p.contentType ?? "").toBe(props.contentType);
            expect(p.messageExpiryInterval ?? 0).toBe(props.messageExpiry);
            expect(p.responseTopic ?? "").toBe(props.responseTopic);
            expect(p.correlationData ?? Buffer.alloc(0)).toEqual(props.correlationData);
            expect([p.subscriptionIdentifier ?? []].flat()).toEqual(props.subscriptionIds);
            const pairs = Object.entries(p.userProperties ?? {}).flatMap(([name, values]) =>
              [values].flat().map((value) => `${name}=${value}`),
            );
            expect(pairs.sort()).toEqual(props.userProperties.map((u) => `${u.name}=${u.value}`).sort());
          }
        },
      ),
    );
  });

  it("CONNACK", () => {
    const out = new Outbox();
    const offer = {
      maximumPacketSize: 1000,
      receiveMaximum: 20,
      topicAliasMaximum: 7,
      assignedClientId: "auto-1",
      serverKeepAlive: 30,
      sessionExpiry: 0,
    };
    writeConnackAccept(out, 5, false, offer);
    expect(parse(out, 5)).toMatchObject({
      cmd: "connack",
      reasonCode: 0,
      sessionPresent: false,
      properties: {
        maximumPacketSize: 1000,
        receiveMaximum: 20,
        topicAliasMaximum: 7,
        assignedClientIdentifier: "auto-1",
        serverKeepAlive: 30,
        sessionExpiryInterval: 0,
      },
    });
    writeConnackAccept(out, 4, true, offer);
    expect(parse(out, 4)).toMatchObject({ returnCode: 0, sessionPresent: true });
    writeConnackRefuse(out, 5, 0x87);
    expect(parse(out, 5)).toMatchObject({ reasonCode: 0x87 });
    writeConnackRefuse(out, 4, 0x87);
    expect(parse(out, 4)).toMatchObject({ returnCode: 5 });
  });

  it("the small ones", () => {
    const out = new Outbox();
    writeAck(out, 4, 77, 0);
    expect(parse(out, 4)).toMatchObject({ cmd: "puback", messageId: 77 });
    writeAck(out, 6, 77, 0x92);
    expect(parse(out, 5)).toMatchObject({ cmd: "pubrel", messageId: 77, reasonCode: 0x92 });
    writeSubAck(out, 9, 5, 3, [0, 1, 0x87]);
    expect(parse(out, 5)).toMatchObject({ cmd: "suback", messageId: 3, granted: [0, 1, 0x87] });
    writeSubAck(out, 11, 4, 3, []);
    expect(parse(out, 4)).toMatchObject({ cmd: "unsuback", messageId: 3 });
    writePingResp(out);
    expect(parse(out, 4)).toMatchObject({ cmd: "pingresp" });
    writeDisconnect(out, 0x8e);
    expect(parse(out, 5)).toMatchObject({ cmd: "disconnect", reasonCode: 0x8e });
  });
});

describe("topics", () => {
  it.each([
    ["a", true],
    ["/", true],
    ["a//b", true],
    ["$SYS/x", true],
    ["häuser/1", true],
    ["", false],
    ["a/+", false],
    ["a#", false],
    ["a\0b", false],
  ])("takes %j for a topic name: %s", (name, expected) => {
    const bytes = Buffer.from(`__${name}__`);
    expect(isTopicName(bytes, 2, bytes.length - 2)).toBe(expected);
  });

  it.each([
    ["a/b", { group: "", filter: "a/b" }],
    ["#", { group: "", filter: "#" }],
    ["+/+/#", { group: "", filter: "+/+/#" }],
    ["$share/g/a/#", { group: "g", filter: "a/#" }],
    ["$share/g//", { group: "g", filter: "/" }],
    ["", undefined],
    ["a/#/b", undefined],
    ["a#", undefined],
    ["a+/b", undefined],
    ["$share/g", undefined],
    ["$share/g/", undefined],
    ["$share//a", undefined],
    ["$share/+/a", undefined],
  ])("reads the filter %j", (filterText, expected) => {
    expect(parseFilter(filterText)).toEqual(expected);
  });
});
