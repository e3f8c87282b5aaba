/** Packets that break the rules: what each gets, behind CONNECT and in its place. */
import { expect } from "vitest";
import { bytes, packet, properties, u16, u32 } from "../bytes.js";
import { type Case, type Covers, conforms } from "../case.js";
import type { Trial } from "../trial.js";

const ILL_FORMED = Buffer.of(0, 2, 0xc3, 0x28);
const SURROGATE = Buffer.of(0, 3, 0xed, 0xa0, 0x80);
const NUL = Buffer.of(0, 3, 0x61, 0, 0x62);
const NO_PROPERTIES = 0;
const DATA = Buffer.from("x");

const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

type Bytes = (v5: boolean) => Buffer;

/** With an empty property length where the version has properties. */
const props = (v5: boolean): number[] => (v5 ? [NO_PROPERTIES] : []);

/** A packet behind a good CONNECT: ends the connection, in MQTT 5 with DISCONNECT of this reason. */
function bad(title: string, covers: Covers, reason: number, make: Bytes): Case {
  const all: Covers = {
    ...(covers.v3 !== undefined && { v3: [...covers.v3, "MQTT-4.8.0-1"] }),
    ...(covers.v5 !== undefined && { v5: [...covers.v5, "MQTT-4.13.1-1"] }),
  };
  return conforms(all, `ends a connection that brings ${title}`, async (t) => {
    const neighbour = await t.connect();
    const client = await t.connect();
    client.raw(make(t.isV5), client.encode({ cmd: "pingreq" }));
    expect(await client.ended()).toEqual(
      t.isV5 ? [expect.objectContaining({ cmd: "disconnect", reasonCode: reason })] : [],
    );
    expect(await neighbour.roundTrip()).toEqual([]);
  });
}

/** In place of CONNECT: ends the connection, in MQTT 5 with CONNACK of this reason where there is one. */
function badConnect(
  title: string,
  covers: Covers,
  reason: number | undefined,
  make: (t: Trial) => Buffer,
): Case {
  const all: Covers = {
    ...(covers.v3 !== undefined && { v3: [...covers.v3, "MQTT-3.1.4-1", "MQTT-3.2.2-6"] }),
    ...(covers.v5 !== undefined && { v5: [...covers.v5, "MQTT-3.1.4-1", "MQTT-3.14.0-1"] }),
  };
  return conforms(all, `lets nobody in who begins with ${title}`, async (t) => {
    const neighbour = await t.connect();
    const client = await t.open();
    client.raw(make(t));
    expect(await client.ended()).toEqual(
      t.isV5 && reason !== undefined
        ? [expect.objectContaining({ cmd: "connack", reasonCode: reason, sessionPresent: false })]
        : [],
    );
    expect(await neighbour.roundTrip()).toEqual([]);
  });
}

/** CONNECT by hand: flags, CONNECT's properties, payload. */
const connect = (t: Trial, flags: number, ...payload: Parameters<typeof packet>[1][]): Buffer =>
  packet(0x10, "MQTT", t.level, flags, u16(0), ...props(t.isV5), ...payload);

const connect5 = (...inProperties: Parameters<typeof packet>[1][]): Buffer =>
  packet(0x10, "MQTT", 5, 2, u16(0), properties(...inProperties), "c");

const publish5 = (...inProperties: Parameters<typeof packet>[1][]): Buffer =>
  packet(0x30, "a", properties(...inProperties), DATA);

const subscribe = (v5: boolean, ...payload: Parameters<typeof packet>[1][]): Buffer =>
  packet(0x82, u16(1), ...props(v5), ...payload);

const unsubscribe = (v5: boolean, ...payload: Parameters<typeof packet>[1][]): Buffer =>
  packet(0xa2, u16(1), ...props(v5), ...payload);

const framing: readonly Case[] = [
  bad("a remaining length of five bytes", { v3: [], v5: ["MQTT-1.5.5-1"] }, MALFORMED, () =>
    bytes(0x30, 0x80, 0x80, 0x80, 0x80, 1),
  ),
  bad("a remaining length in more bytes than it needs", { v5: ["MQTT-1.5.5-1"] }, MALFORMED, () =>
    bytes(0x30, 0x84, 0, "a", 0, 0x78),
  ),
  bad("a property length in more bytes than it needs", { v5: ["MQTT-1.5.5-1"] }, MALFORMED, () =>
    packet(0x30, "a", 0x82, 0x00, 0x01, 0x01, DATA),
  ),
  bad("a packet above the limit", { v3: [], v5: [] }, 0x95, () => bytes(0x30, 0xff, 0xff, 0xff, 0x7f)),
  bad("packet type 0", { v3: [], v5: [] }, MALFORMED, () => packet(0)),
  ...([0x20, 0x90, 0xb0, 0xd0] as const).map((first) =>
    bad(`a packet that only servers send (type ${first >>> 4})`, { v3: [], v5: [] }, PROTOCOL_ERROR, () =>
      packet(first, u16(1), 0),
    ),
  ),
  bad(
    "a second CONNECT",
    { v3: ["MQTT-3.1.0-2"], v5: ["MQTT-3.1.0-2", "MQTT-3.2.0-2"] },
    PROTOCOL_ERROR,
    (v5) => packet(0x10, "MQTT", v5 ? 5 : 4, 2, u16(0), ...props(v5), "c"),
  ),
  bad("flags in PINGREQ", { v3: ["MQTT-2.2.2-1", "MQTT-2.2.2-2"], v5: ["MQTT-2.1.3-1"] }, MALFORMED, () =>
    packet(0xc1),
  ),
  bad("flags in PUBACK", { v3: ["MQTT-2.2.2-2"], v5: ["MQTT-2.1.3-1"] }, MALFORMED, () =>
    packet(0x42, u16(1)),
  ),
  bad("flags in DISCONNECT", { v3: ["MQTT-3.14.1-1"], v5: ["MQTT-3.14.1-1"] }, MALFORMED, () => packet(0xe1)),
  bad("flags in AUTH", { v5: ["MQTT-3.15.1-1"] }, MALFORMED, () => packet(0xf1)),
  bad("PUBREL without its flags", { v3: ["MQTT-3.6.1-1"], v5: ["MQTT-3.6.1-1"] }, MALFORMED, () =>
    packet(0x60, u16(1)),
  ),
  bad("SUBSCRIBE without its flags", { v3: ["MQTT-3.8.1-1"], v5: ["MQTT-3.8.1-1"] }, MALFORMED, (v5) =>
    packet(0x80, u16(1), ...props(v5), "a", 0),
  ),
  bad("UNSUBSCRIBE without its flags", { v3: ["MQTT-3.10.1-1"], v5: ["MQTT-3.10.1-1"] }, MALFORMED, (v5) =>
    packet(0xa0, u16(1), ...props(v5), "a"),
  ),
  bad("a body in PINGREQ", { v3: [], v5: [] }, MALFORMED, () => packet(0xc0, 0)),
  bad("PUBACK that ends in its identifier", { v3: [], v5: [] }, MALFORMED, () => packet(0x40, 0)),
  bad("bytes behind PUBACK", { v3: [], v5: [] }, MALFORMED, (v5) =>
    packet(0x40, u16(1), ...(v5 ? [0, 0] : []), 1),
  ),
];

const publishing: readonly Case[] = [
  bad("PUBLISH of QoS 3", { v3: ["MQTT-3.3.1-4"], v5: ["MQTT-3.3.1-4"] }, MALFORMED, (v5) =>
    packet(0x36, "a", u16(1), ...props(v5), DATA),
  ),
  bad("DUP in a PUBLISH of QoS 0", { v3: ["MQTT-3.3.1-2"], v5: ["MQTT-3.3.1-2"] }, MALFORMED, (v5) =>
    packet(0x38, "a", ...props(v5), DATA),
  ),
  bad(
    "PUBLISH whose topic runs over its end",
    { v3: ["MQTT-3.3.2-1"], v5: ["MQTT-3.3.2-1"] },
    MALFORMED,
    () => packet(0x30, u16(5), DATA),
  ),
  bad(
    "PUBLISH with packet identifier 0",
    { v3: ["MQTT-2.3.1-1"], v5: ["MQTT-2.2.1-3"] },
    PROTOCOL_ERROR,
    (v5) => packet(0x32, "a", u16(0), ...props(v5), DATA),
  ),
  ...(["a/+", "a/#", "+", "a+b"] as const).map((topic) =>
    bad(
      `PUBLISH to ${topic}`,
      { v3: ["MQTT-3.3.2-2", "MQTT-4.7.1-1"], v5: ["MQTT-3.3.2-2", "MQTT-4.7.0-1"] },
      0x90,
      (v5) => packet(0x30, topic, ...props(v5), DATA),
    ),
  ),
  ...([0x30, 0x32] as const).flatMap((first) => {
    const id = first === 0x30 ? [] : [u16(1)];
    const qos = first === 0x30 ? "QoS 0" : "QoS 1";
    return [
      bad(
        `PUBLISH of ${qos} to a topic that is no UTF-8`,
        { v3: ["MQTT-1.5.3-1", "MQTT-3.3.2-1"], v5: ["MQTT-1.5.4-1", "MQTT-3.3.2-1"] },
        MALFORMED,
        (v5) => packet(first, ILL_FORMED, ...id, ...props(v5), DATA),
      ),
      bad(
        `PUBLISH of ${qos} to a topic with a surrogate`,
        { v3: ["MQTT-1.5.3-1"], v5: ["MQTT-1.5.4-1"] },
        MALFORMED,
        (v5) => packet(first, SURROGATE, ...id, ...props(v5), DATA),
      ),
      bad(
        `PUBLISH of ${qos} to a topic with NUL`,
        { v3: ["MQTT-1.5.3-2", "MQTT-4.7.3-2"], v5: ["MQTT-1.5.4-2", "MQTT-4.7.3-2"] },
        MALFORMED,
        (v5) => packet(first, NUL, ...id, ...props(v5), DATA),
      ),
      bad(
        `PUBLISH of ${qos} to no topic`,
        { v3: ["MQTT-4.7.3-1"], v5: ["MQTT-4.7.3-1"] },
        PROTOCOL_ERROR,
        (v5) => packet(first, "", ...id, ...props(v5), DATA),
      ),
    ];
  }),
  bad("PUBLISH without a property length", { v5: ["MQTT-2.2.2-1"] }, MALFORMED, () => packet(0x30, "a")),
  bad("an unknown property", { v5: [] }, MALFORMED, () => publish5(0x7f, 0)),
  bad("a property that belongs to other packets", { v5: [] }, MALFORMED, () => publish5(0x11, u32(1))),
  bad("a property twice", { v5: [] }, PROTOCOL_ERROR, () => publish5(0x01, 0, 0x01, 0)),
  bad("properties that run over the end", { v5: [] }, MALFORMED, () => packet(0x30, "a", 9, 1)),
  bad("a property that runs over the end of the properties", { v5: [] }, MALFORMED, () =>
    packet(0x30, "a", 2, 0x02, 0, 0, 0, 1),
  ),
  bad("topic alias 0", { v5: ["MQTT-3.3.2-8"] }, 0x94, () => publish5(0x23, u16(0))),
  bad("a topic alias above the maximum", { v5: [] }, 0x94, () => publish5(0x23, u16(65_535))),
  bad("an alias that stands for nothing", { v5: [] }, PROTOCOL_ERROR, () =>
    packet(0x30, "", properties(0x23, u16(1)), DATA),
  ),
  bad("a response topic that is no UTF-8", { v5: ["MQTT-3.3.2-13"] }, MALFORMED, () =>
    publish5(0x08, ILL_FORMED),
  ),
  bad("a content type that is no UTF-8", { v5: ["MQTT-3.3.2-19"] }, MALFORMED, () =>
    publish5(0x03, SURROGATE),
  ),
  bad("a user property with an ill-formed name", { v5: ["MQTT-1.5.7-1"] }, MALFORMED, () =>
    publish5(0x26, ILL_FORMED, "v"),
  ),
  bad("a user property with NUL in its value", { v5: ["MQTT-1.5.7-1", "MQTT-1.5.4-2"] }, MALFORMED, () =>
    publish5(0x26, "n", NUL),
  ),
  bad("PUBACK with a reason that it cannot have", { v5: ["MQTT-3.4.2-1"] }, PROTOCOL_ERROR, () =>
    packet(0x40, u16(1), 0x55),
  ),
  bad("PUBREL with a reason that it cannot have", { v5: ["MQTT-3.6.2-1"] }, PROTOCOL_ERROR, () =>
    packet(0x62, u16(1), 0x10),
  ),
];

const subscribing: readonly Case[] = [
  bad(
    "SUBSCRIBE with packet identifier 0",
    { v3: ["MQTT-2.3.1-1"], v5: ["MQTT-2.2.1-3"] },
    PROTOCOL_ERROR,
    (v5) => packet(0x82, u16(0), ...props(v5), "a", 0),
  ),
  bad(
    "UNSUBSCRIBE with packet identifier 0",
    { v3: ["MQTT-2.3.1-1"], v5: ["MQTT-2.2.1-3"] },
    PROTOCOL_ERROR,
    (v5) => packet(0xa2, u16(0), ...props(v5), "a"),
  ),
  bad("SUBSCRIBE without a filter", { v3: ["MQTT-3.8.3-3"], v5: ["MQTT-3.8.3-2"] }, PROTOCOL_ERROR, (v5) =>
    subscribe(v5),
  ),
  bad(
    "SUBSCRIBE with a filter and no options",
    { v3: ["MQTT-3.8.3-3"], v5: ["MQTT-3.8.3-2"] },
    MALFORMED,
    (v5) => subscribe(v5, "a"),
  ),
  bad(
    "UNSUBSCRIBE without a filter",
    { v3: ["MQTT-3.10.3-2"], v5: ["MQTT-3.10.3-2"] },
    PROTOCOL_ERROR,
    (v5) => unsubscribe(v5),
  ),
  bad("SUBSCRIBE with QoS 3", { v3: ["MQTT-3.8.3-4"], v5: [] }, PROTOCOL_ERROR, (v5) =>
    subscribe(v5, "a", 3),
  ),
  bad("SUBSCRIBE with retain handling 3", { v5: [] }, PROTOCOL_ERROR, () => subscribe(true, "a", 0x30)),
  ...([0x40, 0x80] as const).map((bit) =>
    bad(
      `SUBSCRIBE with the reserved bit ${bit.toString(16)}`,
      { v3: ["MQTT-3.8.3-4"], v5: ["MQTT-3.8.3-5"] },
      MALFORMED,
      (v5) => subscribe(v5, "a", bit),
    ),
  ),
  bad("SUBSCRIBE with a bit that MQTT 5 gave a meaning", { v3: ["MQTT-3.8.3-4"] }, MALFORMED, (v5) =>
    subscribe(v5, "a", 0x04),
  ),
  bad(
    "SUBSCRIBE with a filter that is no UTF-8",
    { v3: ["MQTT-3.8.3-1", "MQTT-1.5.3-1"], v5: ["MQTT-3.8.3-1", "MQTT-1.5.4-1"] },
    MALFORMED,
    (v5) => subscribe(v5, ILL_FORMED, 0),
  ),
  bad("SUBSCRIBE with NUL in a filter", { v3: ["MQTT-4.7.3-2"], v5: ["MQTT-4.7.3-2"] }, MALFORMED, (v5) =>
    subscribe(v5, NUL, 0),
  ),
  bad(
    "UNSUBSCRIBE with a filter that is no UTF-8",
    { v3: ["MQTT-3.10.3-1"], v5: ["MQTT-3.10.3-1"] },
    MALFORMED,
    (v5) => unsubscribe(v5, SURROGATE),
  ),
  bad("subscription identifier 0", { v5: [] }, PROTOCOL_ERROR, () =>
    packet(0x82, u16(1), properties(0x0b, 0), "a", 0),
  ),
  bad("two subscription identifiers", { v5: [] }, PROTOCOL_ERROR, () =>
    packet(0x82, u16(1), properties(0x0b, 1, 0x0b, 2), "a", 0),
  ),
];

const connecting: readonly Case[] = [
  ...(
    [
      ["PUBLISH", packet(0x30, "a", DATA)],
      ["PINGREQ", packet(0xc0)],
      ["SUBSCRIBE", packet(0x82, u16(1), "a", 0)],
      ["DISCONNECT", packet(0xe0)],
      ["AUTH", packet(0xf0)],
      ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ] as const
  ).map(([name, data]) =>
    badConnect(name, { v3: ["MQTT-3.1.0-1"], v5: ["MQTT-3.1.0-1"] }, undefined, () => data),
  ),
  badConnect("flags in CONNECT", { v3: ["MQTT-2.2.2-2"], v5: ["MQTT-2.1.3-1"] }, undefined, () =>
    packet(0x11, "MQTT"),
  ),
  badConnect("the reserved connect flag", { v3: ["MQTT-3.1.2-3"], v5: ["MQTT-3.1.2-3"] }, MALFORMED, (t) =>
    connect(t, 3, "c"),
  ),
  badConnect("a will of QoS 3", { v3: ["MQTT-3.1.2-14"], v5: ["MQTT-3.1.2-12"] }, MALFORMED, (t) =>
    connect(t, 0x1e, "c", ...props(t.isV5), "w", "x"),
  ),
  badConnect(
    "a will's QoS without a will",
    { v3: ["MQTT-3.1.2-11", "MQTT-3.1.2-13"], v5: ["MQTT-3.1.2-11"] },
    MALFORMED,
    (t) => connect(t, 0x0a, "c"),
  ),
  badConnect(
    "will retain without a will",
    { v3: ["MQTT-3.1.2-11", "MQTT-3.1.2-15"], v5: ["MQTT-3.1.2-13"] },
    MALFORMED,
    (t) => connect(t, 0x22, "c"),
  ),
  badConnect(
    "a will that is announced and missing",
    { v3: ["MQTT-3.1.2-9"], v5: ["MQTT-3.1.2-9"] },
    MALFORMED,
    (t) => connect(t, 6, "c"),
  ),
  badConnect("a will that is not announced", { v3: ["MQTT-3.1.2-11"], v5: [] }, MALFORMED, (t) =>
    connect(t, 2, "c", ...props(t.isV5), "w", "x"),
  ),
  badConnect(
    "a user name that is announced and missing",
    { v3: ["MQTT-3.1.2-19"], v5: ["MQTT-3.1.2-17"] },
    MALFORMED,
    (t) => connect(t, 0x82, "c"),
  ),
  badConnect(
    "a user name that is not announced",
    { v3: ["MQTT-3.1.2-18"], v5: ["MQTT-3.1.2-16"] },
    MALFORMED,
    (t) => connect(t, 2, "c", "user"),
  ),
  badConnect(
    "a password that is announced and missing",
    { v3: ["MQTT-3.1.2-21"], v5: ["MQTT-3.1.2-19"] },
    MALFORMED,
    (t) => connect(t, 0xc2, "c", "user"),
  ),
  badConnect(
    "a password that is not announced",
    { v3: ["MQTT-3.1.2-20"], v5: ["MQTT-3.1.2-18"] },
    MALFORMED,
    (t) => connect(t, 0x82, "c", "user", "secret"),
  ),
  badConnect("a password without a user name", { v3: ["MQTT-3.1.2-22"] }, undefined, (t) =>
    connect(t, 0x42, "c", "secret"),
  ),
  badConnect("no client identifier", { v3: ["MQTT-3.1.3-3"], v5: ["MQTT-3.1.3-3"] }, MALFORMED, (t) =>
    connect(t, 2),
  ),
  badConnect(
    "a client identifier that is no UTF-8",
    { v3: ["MQTT-3.1.3-4", "MQTT-1.5.3-1"], v5: ["MQTT-3.1.3-4", "MQTT-1.5.4-1"] },
    MALFORMED,
    (t) => connect(t, 2, ILL_FORMED),
  ),
  badConnect("NUL in the client identifier", { v3: ["MQTT-1.5.3-2"], v5: ["MQTT-1.5.4-2"] }, MALFORMED, (t) =>
    connect(t, 2, NUL),
  ),
  badConnect(
    "a user name with a surrogate",
    { v3: ["MQTT-3.1.3-11"], v5: ["MQTT-3.1.3-12"] },
    MALFORMED,
    (t) => connect(t, 0x82, "c", SURROGATE),
  ),
  badConnect(
    "a will topic that is no UTF-8",
    { v3: ["MQTT-3.1.3-10"], v5: ["MQTT-3.1.3-11"] },
    MALFORMED,
    (t) => connect(t, 6, "c", ...props(t.isV5), ILL_FORMED, "x"),
  ),
  badConnect("a will to a wildcard", { v3: ["MQTT-4.7.1-1"], v5: ["MQTT-4.7.0-1"] }, 0x90, (t) =>
    connect(t, 6, "c", ...props(t.isV5), "w/#", "x"),
  ),
  badConnect("a will to no topic", { v3: ["MQTT-4.7.3-1"], v5: ["MQTT-4.7.3-1"] }, 0x90, (t) =>
    connect(t, 6, "c", ...props(t.isV5), "", "x"),
  ),
  badConnect(
    "a will with a response topic that is a wildcard",
    { v5: ["MQTT-3.3.2-14"] },
    PROTOCOL_ERROR,
    (t) => connect(t, 6, "c", properties(0x08, "a/#"), "w", "x"),
  ),
  badConnect("an unknown property in CONNECT", { v5: [] }, MALFORMED, () => connect5(0x7f, 0)),
  badConnect("a property in CONNECT that belongs to PUBLISH", { v5: [] }, MALFORMED, () =>
    connect5(0x23, u16(1)),
  ),
  badConnect("a property twice in CONNECT", { v5: [] }, PROTOCOL_ERROR, () =>
    connect5(0x21, u16(1), 0x21, u16(1)),
  ),
  badConnect("receive maximum 0", { v5: [] }, PROTOCOL_ERROR, () => connect5(0x21, u16(0))),
  badConnect("maximum packet size 0", { v5: [] }, PROTOCOL_ERROR, () => connect5(0x27, u32(0))),
  badConnect("request problem information 2", { v5: [] }, PROTOCOL_ERROR, () => connect5(0x17, 2)),
  badConnect("authentication data without a method", { v5: [] }, PROTOCOL_ERROR, () =>
    connect5(0x16, "data"),
  ),
];

export const malformed: readonly Case[] = [...framing, ...publishing, ...subscribing, ...connecting];
