/** Properties of MQTT 5 packets: read and checked in one pass, into plain fields. */
import { MqttFault, malformed, violation } from "./fault.js";
import { AT, CLIENT_PROPERTIES, type Place, PROPERTY } from "./packets.table.js";
import type { PacketReader } from "./reader.js";
import { REASON } from "./reason-codes.table.js";

/** What was there; absent means not sent. Binary values are views into the packet. */
export interface Properties {
  payloadFormat?: number;
  messageExpiry?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  subscriptionId?: number;
  sessionExpiry?: number;
  authMethod?: string;
  authData?: Buffer;
  willDelay?: number;
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  topicAlias?: number;
  maximumPacketSize?: number;
  requestProblemInformation?: number;
  requestResponseInformation?: number;
  reasonString?: string;
  userProperties?: { name: string; value: string }[];
}

const NAMES = new Map<number, keyof Properties>(
  Object.entries(PROPERTY).map(([name, id]) => [id, name as keyof Properties]),
);

const ZERO_FORBIDDEN = new Set<number>([
  PROPERTY.subscriptionId,
  PROPERTY.receiveMaximum,
  PROPERTY.maximumPacketSize,
]);
const ZERO_OR_ONE = new Set<number>([
  PROPERTY.payloadFormat,
  PROPERTY.requestProblemInformation,
  PROPERTY.requestResponseInformation,
]);

/** A packet may carry this many user properties; each costs memory in every hop. */
export const MAX_USER_PROPERTIES = 64;

/**
 * Reads length and properties at the reader's place.
 * @throws MqttFault `property`: malformed for one that is unknown or belongs to other packets (2.2.2.2), a protocol error for one that
 * is doubled or has a value out of range
 */
export function readProperties(reader: PacketReader, place: Place): Properties {
  const out: Properties = {};
  const length = reader.varint();
  const outerEnd = reader.end;
  const end = reader.at + length;
  if (end > outerEnd) throw malformed("property", "the property length runs over the end of the packet");
  reader.end = end;
  while (reader.at < end) readOne(reader, place, out);
  reader.end = outerEnd;
  return out;
}

function readOne(reader: PacketReader, place: Place, out: Properties): void {
  const id = reader.varint();
  const known = CLIENT_PROPERTIES.get(id);
  if (known === undefined || (known.places & place) === 0) {
    // The only property of a packet type that the other side alone may send (3.3.4).
    if (id === PROPERTY.subscriptionId && place === AT.publish) {
      throw violation("property", "PUBLISH from a client with a subscription identifier");
    }
    throw malformed("property", `property ${id} is unknown or may not stand here`);
  }
  const name = NAMES.get(id)!;
  if (known.form === "pair") {
    out.userProperties ??= [];
    if (out.userProperties.length >= MAX_USER_PROPERTIES) {
      // MQTT knows no limit, so no rule is broken: it is this server that takes no more.
      throw new MqttFault(
        "property",
        REASON.quotaExceeded,
        `more than ${MAX_USER_PROPERTIES} user properties`,
      );
    }
    out.userProperties.push({ name: reader.text(), value: reader.text() });
    return;
  }
  if (name in out) throw violation("property", `property ${id} stands twice`);
  const value = readValue(reader, known.form);
  if (value === 0 && ZERO_FORBIDDEN.has(id)) throw violation("property", `property ${id} must not be 0`);
  if (typeof value === "number" && value > 1 && ZERO_OR_ONE.has(id)) {
    throw violation("property", `property ${id} must be 0 or 1`);
  }
  if (id === PROPERTY.responseTopic && /^$|[+#]/.test(value as string)) {
    throw violation("property", "a response topic that is empty or holds a wildcard");
  }
  // The table pairs each name with the form that its field has.
  (out as Record<string, unknown>)[name] = value;
}

function readValue(
  reader: PacketReader,
  form: 1 | 2 | 4 | "varint" | "text" | "binary",
): number | string | Buffer {
  switch (form) {
    case 1:
      return reader.byte();
    case 2:
      return reader.uint16();
    case 4:
      return reader.uint32();
    case "varint":
      return reader.varint();
    case "text":
      return reader.text();
    case "binary":
      return reader.binary();
  }
}

export { AT };
