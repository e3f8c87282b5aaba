/** Packets of every type that a client may send, as another library describes them; all of them keep to the rules. */
import fc, { type Arbitrary } from "fast-check";
import type { Packet, UserProperties } from "mqtt-packet";
import type { Level } from "./packet-client.js";

/** Strings that MQTT can carry. */
export const text = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .filter((s) => !s.includes("\0") && s.isWellFormed());

export const topicName = text.filter((s) => s !== "" && !/[+#]/.test(s));

export const topicFilter = fc
  .array(fc.constantFrom("a", "b", "+", "", "häus"), { minLength: 1, maxLength: 5 })
  .chain((levels) => fc.constantFrom(levels.join("/"), `${levels.join("/")}/#`))
  .filter((filter) => filter !== "");

export const binary = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

export const packetId = fc.integer({ min: 1, max: 65_535 });

export const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2);

const uint32 = fc.nat(0xffff_ffff);
const written = text.filter((s) => s !== "");

// The library writes a name that stands several times with a list of values, and breaks an empty set of pairs.
export const userProperties: Arbitrary<UserProperties> = fc.dictionary(
  fc.constantFrom("a", "b", "häus", "traceparent"),
  fc.oneof(written, fc.array(written, { minLength: 2, maxLength: 3 })),
  { noNullPrototype: true, minKeys: 1 },
);

/** Any of these, none of them, all of them. */
const some = <T>(model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<Partial<T>> =>
  fc.record(model, { requiredKeys: [] }) as Arbitrary<Partial<T>>;

const message = {
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: uint32,
  contentType: written,
  responseTopic: topicName,
  correlationData: binary,
  userProperties,
};

/** `properties` of version 5, nothing before. */
const withProperties = <T>(level: Level, model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<object> =>
  level === 5 ? some(model).map((properties) => ({ properties })) : fc.constant({});

const join = (...parts: readonly Arbitrary<object>[]): Arbitrary<object> =>
  fc.tuple(...parts).map((objects) => Object.assign({}, ...objects) as object);

function connect(level: Level): Arbitrary<object> {
  const will = join(
    fc.record({ topic: topicName, payload: binary, qos, retain: fc.boolean() }),
    withProperties(level, { ...message, willDelayInterval: uint32 }),
  );
  return join(
    fc.record({
      cmd: fc.constant("connect"),
      protocolId: fc.constant("MQTT"),
      protocolVersion: fc.constant(level),
      keepalive: fc.nat(65_535),
    }),
    // The library writes an empty identifier with a clean session only.
    fc.oneof(
      fc.record({ clientId: written, clean: fc.boolean() }),
      fc.constant({ clientId: "", clean: true }),
    ),
    fc.oneof(
      fc.constant({}),
      will.map((one) => ({ will: one })),
    ),
    fc.oneof(
      fc.constant({}),
      fc.record({ username: written }),
      fc.record({ username: written, password: binary.filter((bytes) => bytes.length > 0) }),
    ),
    withProperties(level, {
      sessionExpiryInterval: uint32,
      receiveMaximum: packetId,
      maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
      topicAliasMaximum: fc.nat(65_535),
      requestResponseInformation: fc.boolean(),
      requestProblemInformation: fc.boolean(),
      userProperties,
    }),
  );
}

function publish(level: Level): Arbitrary<object> {
  return join(
    fc.record({ cmd: fc.constant("publish"), topic: topicName, payload: binary, retain: fc.boolean() }),
    fc.oneof(
      fc.constant({ qos: 0, dup: false }),
      fc.record({ qos: fc.constantFrom(1, 2), dup: fc.boolean(), messageId: packetId }),
    ),
    withProperties(level, { ...message, topicAlias: fc.integer({ min: 1, max: 256 }) }),
  );
}

function ack(level: Level, cmd: string, reasons: readonly number[]): Arbitrary<object> {
  return join(
    fc.record({ cmd: fc.constant(cmd), messageId: packetId }),
    level === 5 ? fc.record({ reasonCode: fc.constantFrom(...reasons) }) : fc.constant({}),
    withProperties(level, { reasonString: written, userProperties }),
  );
}

const ANSWERS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

function subscribe(level: Level): Arbitrary<object> {
  const plain = { topic: topicFilter, qos };
  const options = { ...plain, nl: fc.boolean(), rap: fc.boolean(), rh: fc.constantFrom(0, 1, 2) };
  return join(
    fc.record({
      cmd: fc.constant("subscribe"),
      messageId: packetId,
      subscriptions: fc.array(fc.record(level === 5 ? options : plain), { minLength: 1, maxLength: 5 }),
    }),
    withProperties(level, {
      subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }),
      userProperties,
    }),
  );
}

function unsubscribe(level: Level): Arbitrary<object> {
  return join(
    fc.record({
      cmd: fc.constant("unsubscribe"),
      messageId: packetId,
      unsubscriptions: fc.array(topicFilter, { minLength: 1, maxLength: 5 }),
    }),
    withProperties(level, { userProperties }),
  );
}

function disconnect(level: Level): Arbitrary<object> {
  const reasons = fc.constantFrom(
    0,
    0x04,
    0x80,
    0x81,
    0x82,
    0x83,
    0x90,
    0x93,
    0x94,
    0x95,
    0x96,
    0x97,
    0x98,
    0x99,
  );
  return join(
    fc.constant({ cmd: "disconnect" }),
    level === 5 ? fc.record({ reasonCode: reasons }) : fc.constant({}),
    withProperties(level, { sessionExpiryInterval: uint32, reasonString: written, userProperties }),
  );
}

/** What a client may send in a version, by type. */
export function clientPackets(level: Level): Readonly<Record<string, Arbitrary<Packet>>> {
  return {
    connect: connect(level),
    publish: publish(level),
    puback: ack(level, "puback", ANSWERS),
    pubrec: ack(level, "pubrec", ANSWERS),
    pubrel: ack(level, "pubrel", [0, 0x92]),
    pubcomp: ack(level, "pubcomp", [0, 0x92]),
    subscribe: subscribe(level),
    unsubscribe: unsubscribe(level),
    pingreq: fc.constant({ cmd: "pingreq" }),
    disconnect: disconnect(level),
  } as unknown as Record<string, Arbitrary<Packet>>;
}
