/** Shows the packets of traced MQTT clients to those who look. Works on the bytes beside the connection, which knows nothing of it. */
import type { ops } from "@myelin/contract";
import { NOBODY } from "../../core/connection.js";
import { followsTopic, type TraceHub, type Tracer } from "../../core/operations-trace.js";
import { MAX_TRACED_PAYLOAD } from "../../core/operations-tracing.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { PacketCutter } from "./packet-cutter.js";
import { type PacketFacts, packetFacts } from "./packet-facts.js";

/** Packets of a client that is not known yet: CONNECT, an exchange of AUTH, CONNACK. */
const MAX_HELD = 8;
/** Packet identifiers of messages on traced topics, of one connection and direction. */
const MAX_IDS = 1_000;
const MAX_ALIASES = 1_000;

type Make = (tracer: Tracer) => ops.TracedPacket;

/** What is remembered of one connection while somebody looks. */
interface Traced {
  generation: number;
  followers: readonly Tracer[];
  topicFollowers: readonly Tracer[];
  readonly cutters: [PacketCutter, PacketCutter];
  /** Of a client that is not known yet. */
  held: Make[];
  clientId: string;
  /** Who follows the message with this identifier; negative: one of the listener. */
  readonly ids: Map<number, readonly Tracer[]>;
  /** Topics by alias, positive for those of the client. */
  readonly aliases: Map<number, string>;
}

/** One per port. */
export class MqttTracer {
  private traced = new Map<MqttConnection, Traced>();

  constructor(private readonly hub: TraceHub) {}

  get isActive(): boolean {
    if (this.hub.isActive) return true;
    if (this.traced.size > 0) this.traced = new Map();
    return false;
  }

  /** The client has sent these bytes; before the connection looks at them. */
  incoming(c: MqttConnection, chunk: Buffer): void {
    const traced = this.of(c);
    if (traced !== undefined) this.cut(c, traced, chunk, false);
  }

  /** Whole packets for the client. */
  outgoing(c: MqttConnection, bytes: Buffer): void {
    const traced = this.of(c);
    if (traced !== undefined) this.cut(c, traced, bytes, true);
  }

  /** The connection is gone. */
  closed(c: MqttConnection): void {
    const traced = this.of(c);
    if (traced === undefined) return;
    this.traced.delete(c);
    const end: PacketFacts = { ...packetFacts(END, 5), name: "CLOSED", size: 0, detail: c.ending };
    const make = this.maker(c, end, true);
    const isStranger = c.identity === NOBODY;
    const followers = isStranger ? this.hub.followersOfStranger(traced.clientId) : traced.followers;
    for (const tracer of followers) {
      for (const held of traced.held) this.hub.show(tracer, held);
      this.hub.show(tracer, make);
    }
  }

  private cut(c: MqttConnection, traced: Traced, bytes: Buffer, isOutgoing: boolean): void {
    traced.cutters[isOutgoing ? 1 : 0].push(bytes, (packet) => {
      this.packet(c, traced, packetFacts(packet, c.version), isOutgoing);
    });
  }

  private packet(c: MqttConnection, traced: Traced, seen: PacketFacts, isOutgoing: boolean): void {
    const facts = seen.name === "PUBLISH" ? named(c, traced, seen, isOutgoing) : seen;
    if (c.identity === NOBODY) {
      if (facts.clientId !== "") traced.clientId = facts.clientId;
      if (traced.held.length < MAX_HELD) traced.held.push(this.maker(c, facts, isOutgoing));
      return;
    }
    const { followers } = traced;
    const readers = topicReaders(traced, facts, isOutgoing).filter((tracer) => !followers.includes(tracer));
    if (followers.length === 0 && readers.length === 0) return;
    const make = this.maker(c, facts, isOutgoing);
    for (const tracer of followers) this.hub.show(tracer, make);
    for (const tracer of readers) this.hub.show(tracer, make);
  }

  /** Undefined: nobody looks at this client. */
  private of(c: MqttConnection): Traced | undefined {
    const { hub } = this;
    let traced = this.traced.get(c);
    if (traced === undefined) {
      if (c.identity !== NOBODY && !hub.mayFollow(c.identity)) return undefined;
      traced = {
        generation: -1,
        followers: [],
        topicFollowers: [],
        cutters: [new PacketCutter(), new PacketCutter()],
        held: [],
        clientId: "",
        ids: new Map(),
        aliases: new Map(),
      };
      this.traced.set(c, traced);
      // What has begun before anybody looked is not to be taken for the beginning of a packet.
      for (const begun of c.unparsed()) traced.cutters[0].push(begun, () => {});
    }
    if (c.identity !== NOBODY && traced.generation !== hub.generation) {
      traced.generation = hub.generation;
      traced.followers = hub.followersOf(c.identity);
      traced.topicFollowers = hub.topicFollowersOf(c.identity.tenant);
      const { held } = traced;
      traced.held = [];
      for (const tracer of traced.followers) for (const make of held) hub.show(tracer, make);
      if (traced.followers.length === 0 && traced.topicFollowers.length === 0) {
        this.traced.delete(c);
        return undefined;
      }
    }
    return traced;
  }

  private maker(c: MqttConnection, facts: PacketFacts, outgoing: boolean): Make {
    const { clock } = c.shared.ctx;
    const atUs = clock.wallUs();
    // The packet's own bytes are not kept beyond the call, but a held packet is shown later.
    const kept = Buffer.from(facts.payload.subarray(0, MAX_TRACED_PAYLOAD));
    const { name, size, packetId, reasonCodes, topic, qos, retain, dup, payloadSize, detail } = facts;
    return ({ payloadBytes }) => ({
      atUs,
      tenant: c.identity.tenant,
      device: c.identity === NOBODY ? facts.clientId : c.identity.deviceId,
      connection: c.number,
      outgoing,
      name,
      size,
      packetId,
      reasonCodes: [...reasonCodes],
      topic,
      qos,
      retain,
      dup,
      payloadSize,
      payload: kept.subarray(0, payloadBytes),
      detail,
    });
  }
}

const END = { bytes: Buffer.of(0xc0, 0), bodyStart: 2, size: 2 };

/** A message that is named by an alias gets its topic, as far as that is known. */
function named(c: MqttConnection, traced: Traced, facts: PacketFacts, isOutgoing: boolean): PacketFacts {
  const { topicAlias, topic } = facts;
  if (topicAlias === 0) return facts;
  const key = isOutgoing ? -topicAlias : topicAlias;
  const detail = `alias=${topicAlias}`;
  if (topic !== "") {
    if (traced.aliases.size < MAX_ALIASES) traced.aliases.set(key, topic);
    return { ...facts, detail };
  }
  const told = isOutgoing ? undefined : c.aliases?.[topicAlias]?.toString("utf8");
  return { ...facts, detail, topic: traced.aliases.get(key) ?? told ?? "" };
}

/** Those who follow the topic of a message, and with it the acknowledgements that carry its identifier. */
function topicReaders(traced: Traced, facts: PacketFacts, isOutgoing: boolean): readonly Tracer[] {
  const { topicFollowers, ids } = traced;
  if (topicFollowers.length === 0) return [];
  const { name, packetId, topic } = facts;
  if (name === "PUBLISH") {
    const readers = topicFollowers.filter((tracer) => followsTopic(tracer, topic));
    const key = isOutgoing ? -packetId : packetId;
    if (packetId > 0) {
      if (readers.length > 0 && ids.size < MAX_IDS) ids.set(key, readers);
      else if (readers.length === 0) ids.delete(key);
    }
    return readers;
  }
  if (!(name in IS_OF_CLIENTS_MESSAGE)) return [];
  // PUBACK, PUBREC and PUBCOMP go against the message, PUBREL goes with it.
  const ofClient = IS_OF_CLIENTS_MESSAGE[name as keyof typeof IS_OF_CLIENTS_MESSAGE] === isOutgoing;
  const key = ofClient ? packetId : -packetId;
  const readers = ids.get(key) ?? [];
  if (name === "PUBACK" || name === "PUBCOMP") ids.delete(key);
  return readers;
}

/** By packet: it is about a message of the client when it goes out (true) or comes in (false). */
const IS_OF_CLIENTS_MESSAGE = { PUBACK: true, PUBREC: true, PUBCOMP: true, PUBREL: false } as const;
