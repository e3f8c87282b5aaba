import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { connectPacket, mqttRig } from "../../../test/mqtt-rig.js";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const CONNECT_4 = mqttPacket.generate(connectPacket("d", 4));
const CONNECT_5 = mqttPacket.generate(connectPacket("d", 5));

/** Bytes, the counter's label, and the reason code an MQTT 5 client is told; sent behind a good CONNECT. */
const AFTER_CONNECT: readonly [string, Buffer, string, number][] = [
  ["a remaining length of five bytes", hex("30 ff ff ff ff 01"), "remaining_length", 0x81],
  ["a length of 256 MB", hex("30 ff ff ff 7f"), "too_large", 0x95],
  ["packet type 0", hex("00 00"), "packet_type", 0x81],
  ["CONNACK from a client", hex("20 02 00 00"), "packet_type", 0x82],
  ["SUBACK from a client", hex("90 03 00 01 00"), "packet_type", 0x82],
  ["PINGRESP from a client", hex("d0 00"), "packet_type", 0x82],
  ["a second CONNECT", CONNECT_5, "order", 0x82],
  ["PINGREQ with flags", hex("c1 00"), "flags", 0x81],
  ["PINGREQ with a body", hex("c0 01 00"), "trailing", 0x81],
  ["SUBSCRIBE with wrong flags", hex("80 06 00 01 00 00 01 61"), "flags", 0x81],
  ["PUBREL with wrong flags", hex("60 02 00 01"), "flags", 0x81],
  ["DISCONNECT with flags", hex("e1 00"), "flags", 0x81],
  ["PUBLISH of QoS 3", hex("36 06 00 01 61 00 01 00"), "qos", 0x81],
  ["PUBLISH of QoS 0 with DUP", hex("38 04 00 01 61 00"), "flags", 0x81],
  ["PUBLISH of one byte", hex("30 01 00"), "truncated", 0x81],
  ["PUBLISH whose topic runs over its end", hex("30 04 00 05 61 62"), "truncated", 0x81],
  ["PUBLISH of QoS 1 without room for its id", hex("32 04 00 01 61 00"), "truncated", 0x81],
  ["PUBLISH with packet id 0", hex("32 06 00 01 61 00 00 00"), "packet_id", 0x82],
  ["PUBLISH with an empty topic", hex("30 03 00 00 00"), "topic", 0x82],
  ["PUBLISH with NUL in its topic", hex("30 06 00 03 61 00 62 00"), "topic", 0x81],
  ["PUBLISH with a + in its topic", hex("30 06 00 03 61 2f 2b 00"), "topic", 0x90],
  ["PUBLISH with a # in its topic", hex("30 06 00 03 61 2f 23 00"), "topic", 0x90],
  ["PUBLISH with broken UTF-8 in its topic", hex("30 05 00 02 c3 28 00"), "topic", 0x81],
  ["PUBLISH with a surrogate in its topic", hex("30 06 00 03 ed a0 80 00"), "topic", 0x81],
  ["SUBSCRIBE with packet id 0", hex("82 07 00 00 00 00 01 61 00"), "packet_id", 0x82],
  ["SUBSCRIBE without a filter", hex("82 03 00 01 00"), "payload_empty", 0x82],
  ["SUBSCRIBE whose filter runs over its end", hex("82 07 00 01 00 00 09 61 00"), "truncated", 0x81],
  ["SUBSCRIBE without options", hex("82 06 00 01 00 00 01 61"), "truncated", 0x81],
  ["SUBSCRIBE with QoS 3", hex("82 07 00 01 00 00 01 61 03"), "qos", 0x82],
  ["SUBSCRIBE with reserved bits", hex("82 07 00 01 00 00 01 61 c0"), "flags", 0x81],
  ["SUBSCRIBE with NUL in its filter", hex("82 07 00 01 00 00 01 00 00"), "utf8", 0x81],
  ["UNSUBSCRIBE without a filter", hex("a2 03 00 01 00"), "payload_empty", 0x82],
  ["PUBACK of one byte", hex("40 01 00"), "truncated", 0x81],
  ["PUBACK with packet id 0", hex("40 02 00 00"), "packet_id", 0x82],
  ["AUTH without a method agreed on", hex("f0 00"), "auth", 0x82],
  ["DISCONNECT with a server's reason", hex("e0 02 8b 00"), "reason_code", 0x82],
];

/** For MQTT 5 alone: bytes that version 4 reads otherwise. */
const ONLY_5: readonly [string, Buffer, string, number][] = [
  ["a property that is unknown", hex("30 06 00 01 61 02 7f 00"), "property", 0x81],
  ["a property that may not stand here", hex("30 09 00 01 61 05 11 00 00 00 01"), "property", 0x81],
  ["a property that stands twice", hex("30 08 00 01 61 04 01 00 01 00"), "property", 0x82],
  ["a payload format of 2", hex("30 06 00 01 61 02 01 02"), "property", 0x82],
  ["properties that run over the end", hex("30 05 00 01 61 09 01"), "property", 0x81],
  ["PUBLISH without a property length", hex("30 03 00 01 61"), "truncated", 0x81],
  ["topic alias 0", hex("30 07 00 01 61 03 23 00 00"), "alias", 0x94],
  ["a topic alias above the maximum", hex("30 07 00 01 61 03 23 ff ff"), "alias", 0x94],
  ["a topic alias that stands for nothing", hex("30 06 00 00 03 23 00 01"), "alias", 0x82],
  ["a subscription identifier of 0", hex("82 09 00 01 02 0b 00 00 01 61 00"), "property", 0x82],
  [
    "no-local on a shared subscription",
    hex("82 10 00 01 00 00 0a 24736861 72652f67 2f61 04").subarray(0, 18),
    "filter",
    0x82,
  ],
];

/** Instead of CONNECT, with the label. A client whose version is not known yet is closed without a word, or with return code 1. */
const INSTEAD_OF_CONNECT: readonly [string, Buffer, string][] = [
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "order"],
  ["a TLS hello", hex("16 03 01 02 00"), "order"],
  ["PUBLISH", hex("30 04 00 01 61 00"), "order"],
  ["PINGREQ", hex("c0 00"), "order"],
  ["CONNECT with flags", hex("11 00"), "order"],
  ["an empty CONNECT", hex("10 00"), "truncated"],
  ["another protocol name", hex("10 0c 00 04 4d515453 04 02 0000 0000"), "protocol_name"],
  ["version 6", hex("10 0c 00 04 4d515454 06 02 0000 0000"), "protocol_version"],
  ["version 0", hex("10 0c 00 04 4d515454 00 02 0000 0000"), "protocol_version"],
  ["the reserved connect flag", hex("10 0d 00 04 4d515454 04 03 0000 0001 64"), "connect_flags"],
  [
    "a password without a user in version 4",
    hex("10 10 00 04 4d515454 04 42 0000 0001 64 0001 70"),
    "connect_flags",
  ],
  ["will QoS without a will", hex("10 0d 00 04 4d515454 04 0a 0000 0001 64"), "connect_flags"],
  ["a will of QoS 3", hex("10 13 00 04 4d515454 04 1e 0000 0001 64 0001 77 0001 78"), "connect_flags"],
  ["a client id with NUL", hex("10 0d 00 04 4d515454 04 02 0000 0001 00"), "utf8"],
  ["a client id of broken UTF-8", hex("10 0d 00 04 4d515454 04 02 0000 0001 ff"), "utf8"],
  ["a client id that runs over the end", hex("10 0d 00 04 4d515454 04 02 0000 0009 64"), "truncated"],
  ["bytes behind CONNECT's fields", hex("10 0e 00 04 4d515454 04 02 0000 0001 64 00"), "trailing"],
  ["a will to a wildcard", hex("10 13 00 04 4d515454 04 06 0000 0001 64 0001 23 0001 78"), "topic"],
  ["a CONNECT longer than any can be", hex("10 ff ff ff 7f"), "too_large"],
];

describe("malformed input", () => {
  it.each([...AFTER_CONNECT, ...ONLY_5])("%s is told to an MQTT 5 client", (_name, bytes, label, reason) => {
    const rig = mqttRig();
    const neighbour = rig.connected("neighbour");
    const client = rig.connected("d", 5);
    client.raw(bytes);
    expect(rig.metrics.malformed.values).toEqual(new Map([[`mqtt,${label}`, 1]]));
    expect(client.packets(5)).toMatchObject([{ cmd: "disconnect", reasonCode: reason }]);
    expect(client.stream.ended).toBe(true);
    neighbour.send({ cmd: "pingreq" });
    expect(neighbour.packets()).toMatchObject([{ cmd: "pingresp" }]);
    expect(rig.telemetry.taken).toEqual([]);
  });

  it.each(INSTEAD_OF_CONNECT)("%s closes a connection that has said nothing yet", (_name, bytes, label) => {
    const rig = mqttRig();
    const client = rig.client();
    client.raw(bytes);
    expect(rig.metrics.malformed.values).toEqual(new Map([[`mqtt,${label}`, 1]]));
    expect(client.stream.ended).toBe(true);
    const answer = label === "protocol_version" ? [{ cmd: "connack", returnCode: 1 }] : [];
    expect(client.packets(4)).toMatchObject(answer);
    expect(rig.sessions.size).toBe(0);
  });

  it("in an MQTT 5 CONNECT is answered with CONNACK", () => {
    const rig = mqttRig();
    const client = rig.client();
    client.raw(hex("10 10 00 04 4d515454 05 02 0000 03 21 0000 0000"));
    expect(client.packets(5)).toMatchObject([{ cmd: "connack", reasonCode: 0x82 }]);
  });

  it("takes nothing of what follows it", () => {
    const rig = mqttRig();
    const client = rig.connected();
    const good = mqttPacket.generate({
      cmd: "publish",
      topic: "t",
      payload: "x",
      qos: 0,
      dup: false,
      retain: false,
    });
    client.raw(Buffer.concat([good, hex("00 00"), good]));
    client.raw(good);
    expect(rig.telemetry.taken).toHaveLength(1);
  });

  it("that announces a large packet costs memory only as its bytes come", () => {
    const rig = mqttRig();
    const client = rig.connected();
    client.raw(hex("30 80 80 20"));
    for (let i = 0; i < 100; i++) client.raw(Buffer.of(0));
    const { partial } = client.connection as unknown as { partial: Buffer };
    expect(partial.length).toBeLessThan(1024);
  });
});

describe("any bytes", () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 64 }), { maxLength: 8 });
  // A table of subscriptions reserves address space, and a process may map only so many ranges: a hundred clients share one.
  let rig = mqttRig();
  let runs = 0;
  const nextRig = () => {
    if (++runs % 100 === 0) rig = mqttRig();
    return rig;
  };
  const malformedOf = ({ metrics }: typeof rig): number =>
    [...metrics.malformed.values.values()].reduce((a, b) => a + b, 0);

  it("never throw, and end in a closed or a living connection", () => {
    fc.assert(
      fc.property(fc.constantFrom(4, 5, undefined), chunks, (version, input) => {
        const rig = nextRig();
        const before = malformedOf(rig);
        const client = rig.client();
        if (version !== undefined) client.raw(version === 4 ? CONNECT_4 : CONNECT_5);
        for (const chunk of input) client.raw(chunk);
        const counted = malformedOf(rig) - before;
        const goodbye = client.connection.ending === "client" || client.connection.ending === "refused";
        expect(client.stream.ended).toBe(counted === 1 || goodbye);
        expect(client.connection.ending).not.toBe("internal");
        client.lose();
        expect(rig.manager.size).toBe(0);
      }),
      { numRuns: 3000 },
    );
  });

  it("that nearly are packets never throw either", () => {
    const packets = fc.constantFrom(
      CONNECT_4,
      CONNECT_5,
      mqttPacket.generate({
        cmd: "publish",
        topic: "a/b",
        payload: "hello",
        qos: 0,
        dup: false,
        retain: false,
      }),
      mqttPacket.generate({
        cmd: "publish",
        topic: "a/b",
        payload: "hello",
        qos: 2,
        messageId: 5,
        dup: false,
        retain: true,
      }),
      mqttPacket.generate(
        {
          cmd: "publish",
          topic: "a/b",
          payload: "hello",
          qos: 1,
          messageId: 6,
          dup: false,
          retain: false,
          properties: { topicAlias: 2, contentType: "text/plain", userProperties: { a: "b" } },
        },
        { protocolVersion: 5 },
      ),
      mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a/#", qos: 1 }] }),
      mqttPacket.generate({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["a/#"] }),
      mqttPacket.generate({ cmd: "pubrel", messageId: 5 }),
      mqttPacket.generate({ cmd: "puback", messageId: 9 }),
      mqttPacket.generate({ cmd: "pingreq" }),
      mqttPacket.generate({ cmd: "disconnect" }),
    );
    const mutation = fc.record({
      at: fc.nat(400),
      byte: fc.nat(255),
      how: fc.constantFrom("set", "cut", "insert"),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(4, 5),
        fc.array(packets, { minLength: 1, maxLength: 6 }),
        fc.array(mutation, { maxLength: 4 }),
        fc.nat(400),
        (version, parts, mutations, cut) => {
          const rig = nextRig();
          const client = rig.client();
          client.raw(version === 4 ? CONNECT_4 : CONNECT_5);
          let bytes: Buffer = Buffer.concat(parts);
          for (const { at, byte, how } of mutations) {
            const i = at % (bytes.length + 1);
            const middle = how === "cut" ? [] : [byte];
            const skip = how === "insert" ? 0 : 1;
            bytes = Buffer.concat([bytes.subarray(0, i), Buffer.from(middle), bytes.subarray(i + skip)]);
          }
          const at = cut % (bytes.length + 1);
          if (at > 0) client.raw(bytes.subarray(0, at));
          if (at < bytes.length) client.raw(bytes.subarray(at));
          rig.events.settle();
          expect(client.connection.ending).not.toBe("internal");
          client.packets(version as 4 | 5);
          client.lose();
          expect(rig.manager.size).toBe(0);
          expect([...rig.table.filters()]).toEqual([]);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
