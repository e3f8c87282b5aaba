/** CONNECT of MQTT 3.1, 3.1.1 and 5. */
import { MqttFault, malformed, violation } from "./fault.js";
import { AT, type Properties, readProperties } from "./properties.js";
import { isText, type PacketReader } from "./reader.js";
import { REASON } from "./reason-codes.table.js";
import { isTopicName } from "./topics.js";

/** Protocol level: 3 (MQTT 3.1), 4 (3.1.1) or 5. */
export type Version = 3 | 4 | 5;

/** Message that the server sends when the client is lost. Owns its bytes. */
export interface Will {
  readonly topic: Buffer;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties: Properties;
}

/** A CONNECT packet; `password` is a view into the packet, the will owns its bytes. */
export interface Connect {
  readonly version: Version;
  readonly clean: boolean;
  /** Seconds; 0 turns it off. */
  readonly keepAlive: number;
  readonly clientId: string;
  readonly will: Will | undefined;
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly properties: Properties;
}

const NO_PROPERTIES: Properties = {};

/**
 * @param onVersion called as soon as the version is known, so that a later fault can be told in its terms
 * @throws MqttFault; `protocol_version` when name and level are none we speak
 */
export function readConnect(reader: PacketReader, onVersion: (version: Version) => void): Connect {
  const version = readVersion(reader);
  onVersion(version);
  const flags = reader.byte();
  if ((flags & 1) !== 0) throw malformed("connect_flags", "the reserved connect flag is set");
  const clean = (flags & 0x02) !== 0;
  const hasWill = (flags & 0x04) !== 0;
  const willQos = (flags >> 3) & 3;
  const willRetain = (flags & 0x20) !== 0;
  const hasPassword = (flags & 0x40) !== 0;
  const hasUser = (flags & 0x80) !== 0;
  if (willQos === 3 || (!hasWill && (willQos !== 0 || willRetain))) {
    throw malformed("connect_flags", "will flags that contradict each other");
  }
  // MQTT 5 lifted this rule (3.1.2.9).
  if (version < 5 && hasPassword && !hasUser) {
    throw malformed("connect_flags", "a password without a user name");
  }
  const keepAlive = reader.uint16();
  const properties = version === 5 ? readProperties(reader, AT.connect) : NO_PROPERTIES;
  if (properties.authData !== undefined && properties.authMethod === undefined) {
    throw violation("auth", "authentication data without a method");
  }
  const clientId = reader.text();
  const will = hasWill ? readWill(reader, version, willQos as 0 | 1 | 2, willRetain) : undefined;
  const user = hasUser ? reader.text() : undefined;
  const password = hasPassword ? reader.binary() : undefined;
  reader.finish();
  return { version, clean, keepAlive, clientId, will, user, password, properties };
}

function readVersion(reader: PacketReader): Version {
  const name = reader.binary().toString("latin1");
  const level = reader.byte();
  if (name === "MQTT" && (level === 4 || level === 5)) return level;
  if (name === "MQIsdp" && level === 3) return 3;
  if (name !== "MQTT" && name !== "MQIsdp") throw malformed("protocol_name", "the protocol name is not MQTT");
  throw new MqttFault("protocol_version", REASON.unsupportedVersion, `protocol level ${level} of ${name}`);
}

const MQTT_NAME = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54]);

/** The version in the beginning of a CONNECT's body, as far as it has come; undefined where it cannot be told. */
export function versionIn(bytes: Buffer, start: number, end: number): Version | undefined {
  const at = start + MQTT_NAME.length;
  if (at >= end || MQTT_NAME.compare(bytes, start, at) !== 0) return undefined;
  const level = bytes[at];
  return level === 4 || level === 5 ? level : undefined;
}

function readWill(reader: PacketReader, version: Version, qos: 0 | 1 | 2, retain: boolean): Will {
  const properties = version === 5 ? readProperties(reader, AT.will) : NO_PROPERTIES;
  const topic = Buffer.from(reader.binary());
  if (!isText(topic, 0, topic.length)) throw malformed("utf8", "a will topic that is not UTF-8 or holds NUL");
  if (!isTopicName(topic, 0, topic.length)) {
    throw new MqttFault("topic", REASON.topicNameInvalid, "the will's topic is not a topic name");
  }
  const payload = Buffer.from(reader.binary());
  const correlationData = properties.correlationData;
  return {
    topic,
    payload,
    qos,
    retain,
    properties:
      correlationData === undefined
        ? properties
        : { ...properties, correlationData: Buffer.from(correlationData) },
  };
}
