/** What people are shown of a control packet: its name, ids, codes and sizes, without secrets. Never throws. */
import type { ops } from "@myelin/contract";
import { readConnect, type Version } from "./codec/connect.js";
import { MqttFault } from "./codec/fault.js";
import { CLIENT_PROPERTIES, PACKET, PROPERTY } from "./codec/packets.table.js";
import { PacketReader } from "./codec/reader.js";
import type { CutPacket } from "./packet-cutter.js";

const NAMES = Object.fromEntries(
  Object.entries(PACKET).map(([name, type]) => [type, name.toUpperCase()]),
) as Readonly<Record<number, string>>;

/** A packet without its place and time. */
export interface PacketFacts
  extends Pick<
    ops.TracedPacket,
    "name" | "size" | "packetId" | "reasonCodes" | "topic" | "qos" | "retain" | "dup" | "detail"
  > {
  readonly payloadSize: number;
  /** As far as it was kept; a view into the packet. */
  readonly payload: Buffer;
  /** PUBLISH: 0 for none. */
  readonly topicAlias: number;
  /** CONNECT. */
  readonly clientId: string;
}

type Draft = { -readonly [K in keyof PacketFacts]: PacketFacts[K] };

const NOTHING = Buffer.alloc(0);

/** @param version of the connection; CONNECT says its own */
export function packetFacts(packet: CutPacket, version: Version): PacketFacts {
  const { bytes, bodyStart, size } = packet;
  const first = bytes[0]!;
  const type = first >>> 4;
  const draft: Draft = {
    name: NAMES[type] ?? `type ${type}`,
    size,
    packetId: 0,
    reasonCodes: [],
    topic: "",
    qos: 0,
    retain: false,
    dup: false,
    detail: "",
    payloadSize: 0,
    payload: NOTHING,
    topicAlias: 0,
    clientId: "",
  };
  try {
    read(draft, new PacketReader().reset(bytes, bodyStart, bytes.length), first, version, packet);
  } catch (thrown) {
    if (!(thrown instanceof MqttFault)) throw thrown;
    const why = bytes.length < size ? "the rest is too long to show" : thrown.message;
    draft.detail = [draft.detail, `(${why})`].filter((text) => text !== "").join(" ");
  }
  return draft;
}

function read(draft: Draft, reader: PacketReader, first: number, version: Version, packet: CutPacket): void {
  switch (first >>> 4) {
    case PACKET.connect:
      readConnectFacts(draft, reader);
      return;
    case PACKET.connack:
      draft.detail = (reader.byte() & 1) === 1 ? "session present" : "";
      draft.reasonCodes = [reader.byte()];
      return;
    case PACKET.publish:
      readPublish(draft, reader, first, version, packet);
      return;
    case PACKET.puback:
    case PACKET.pubrec:
    case PACKET.pubrel:
    case PACKET.pubcomp:
      draft.packetId = reader.uint16();
      if (version === 5) draft.reasonCodes = [reader.left > 0 ? reader.byte() : 0];
      return;
    case PACKET.subscribe:
    case PACKET.unsubscribe:
      readFilters(draft, reader, first >>> 4 === PACKET.subscribe, version);
      return;
    case PACKET.suback:
    case PACKET.unsuback:
      draft.packetId = reader.uint16();
      if (version === 5) skipProperties(reader);
      while (reader.left > 0) draft.reasonCodes.push(reader.byte());
      return;
    case PACKET.disconnect:
    case PACKET.auth:
      if (version === 5) draft.reasonCodes = [reader.left > 0 ? reader.byte() : 0];
      return;
  }
}

function readConnectFacts(draft: Draft, reader: PacketReader): void {
  const connect = readConnect(reader, () => {});
  draft.clientId = connect.clientId;
  const { version, clean, keepAlive, user, password, will, properties } = connect;
  draft.detail = [
    `version=${version === 3 ? "3.1" : version === 4 ? "3.1.1" : "5"}`,
    `clean=${clean}`,
    `keepalive=${keepAlive}`,
    ...(user === undefined ? [] : [`user=${user}`]),
    ...(password === undefined ? [] : ["password=***"]),
    ...(properties.authMethod === undefined ? [] : [`method=${properties.authMethod}`]),
    ...(properties.sessionExpiry === undefined ? [] : [`expiry=${properties.sessionExpiry}`]),
    ...(will === undefined ? [] : [`will=${will.topic.toString("utf8")}`]),
  ].join(" ");
}

function readPublish(
  draft: Draft,
  reader: PacketReader,
  first: number,
  version: Version,
  { size }: CutPacket,
): void {
  draft.dup = (first & 8) !== 0;
  draft.qos = (first >> 1) & 3;
  draft.retain = (first & 1) !== 0;
  draft.topic = reader.binary().toString("utf8");
  if (draft.qos > 0) draft.packetId = reader.uint16();
  if (version === 5) draft.topicAlias = skipProperties(reader);
  draft.payloadSize = size - reader.at;
  draft.payload = reader.bytes.subarray(reader.at, reader.end);
}

function readFilters(draft: Draft, reader: PacketReader, isSubscribe: boolean, version: Version): void {
  draft.packetId = reader.uint16();
  if (version === 5) skipProperties(reader);
  const filters: string[] = [];
  while (reader.left > 0) {
    const filter = reader.binary().toString("utf8");
    filters.push(isSubscribe ? `${filter} (QoS ${reader.byte() & 3})` : filter);
    draft.detail = filters.join(", ");
  }
}

/** Returns the topic alias among them, 0 when there is none. */
function skipProperties(reader: PacketReader): number {
  const end = reader.varint() + reader.at;
  let alias = 0;
  while (reader.at < end) {
    const id = reader.varint();
    const form = CLIENT_PROPERTIES.get(id)?.form;
    if (id === PROPERTY.topicAlias) alias = reader.uint16();
    else if (form === "pair") {
      reader.binary();
      reader.binary();
    } else if (form === "text" || form === "binary") reader.binary();
    else if (form === "varint") reader.varint();
    else if (form === undefined) break;
    else reader.take(form);
  }
  // One that only servers send, of a form that the table of clients' properties does not have.
  if (reader.at < end) reader.take(end - reader.at);
  return alias;
}
