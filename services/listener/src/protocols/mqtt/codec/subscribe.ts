/** SUBSCRIBE and UNSUBSCRIBE. */
import type { Version } from "./connect.js";
import { malformed, violation } from "./fault.js";
import { AT, readProperties } from "./properties.js";
import type { PacketReader } from "./reader.js";

export interface SubscribeItem {
  /** As sent; may still be no filter at all. */
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: retained messages are sent. 1: only when the subscription is new. 2: never. */
  readonly retainHandling: 0 | 1 | 2;
}

export interface Subscribe {
  readonly packetId: number;
  /** 0: none. */
  readonly subscriptionId: number;
  readonly items: readonly SubscribeItem[];
}

/** Reads a packet identifier, which is never 0 (section 2.2.1). */
export function readPacketId(reader: PacketReader): number {
  const id = reader.uint16();
  if (id === 0) throw violation("packet_id", "packet identifier 0");
  return id;
}

export function readSubscribe(reader: PacketReader, version: Version): Subscribe {
  const packetId = readPacketId(reader);
  const subscriptionId = version === 5 ? (readProperties(reader, AT.subscribe).subscriptionId ?? 0) : 0;
  const items: SubscribeItem[] = [];
  while (reader.left > 0) {
    const filter = reader.text();
    const options = reader.byte();
    const qos = options & 3;
    // MQTT 5 calls values out of range protocol errors, and only reserved bits malformed (3.8.3.1).
    if (qos === 3) {
      throw (version === 5 ? violation : malformed)("qos", "a subscription asks for QoS 3");
    }
    if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) {
      throw malformed("flags", "reserved bits of the subscription options are set");
    }
    if ((options & 0x30) === 0x30) throw violation("flags", "a subscription asks for retain handling 3");
    const noLocal = (options & 4) !== 0;
    if (noLocal && filter.startsWith("$share/")) {
      throw violation("filter", "no-local on a shared subscription");
    }
    items.push({
      filter,
      qos: qos as 0 | 1 | 2,
      noLocal,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: ((options >> 4) & 3) as 0 | 1 | 2,
    });
  }
  if (items.length === 0) throw violation("payload_empty", "SUBSCRIBE without a filter");
  return { packetId, subscriptionId, items };
}

export function readUnsubscribe(
  reader: PacketReader,
  version: Version,
): { readonly packetId: number; readonly filters: readonly string[] } {
  const packetId = readPacketId(reader);
  if (version === 5) readProperties(reader, AT.unsubscribe);
  const filters: string[] = [];
  while (reader.left > 0) filters.push(reader.text());
  if (filters.length === 0) throw violation("payload_empty", "UNSUBSCRIBE without a filter");
  return { packetId, filters };
}
