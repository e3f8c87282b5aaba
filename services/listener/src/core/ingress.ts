/** The way in: finds a message's channel and hands its bytes to the sender of its lane. */
import type { EventSender, EventTicket, TelemetrySender } from "@myelin/bus";
import {
  type Channel,
  createChannel,
  type EnvelopeExtras,
  Kind,
  mayDeviceSay,
  type Protocol,
  partitionOf,
} from "@myelin/contract";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { Admission, Identity } from "./admission.js";
import { type ChannelEntry, ChannelTable, hashPath, type LaneIndex, LOCAL_SEED } from "./channel-table.js";
import { type IngressTracing, tracedExtras } from "./ingress-trace.js";
import type { NewChannels } from "./new-channels.js";
import { SharedChannels } from "./shared-channels.js";
import { SYS_PREFIX } from "./sys-topics.js";

/** Whoever sends: a connection, or a session. Holds the channel table that `Ingress` fills. */
export interface ChannelSource {
  /** Unique in the process and never reused. */
  readonly number: number;
  readonly identity: Identity;
  readonly protocol: Protocol;
  /** Name of the port. */
  readonly port: string;
  /** Content type of everything that comes by `channelFor`; empty when unknown. */
  readonly contentType: string;
  /** Owned by `Ingress`. */
  channels: ChannelTable | undefined;
  /** The connection that sends for it, which pays for its new channels; absent: itself. */
  readonly owner?: ChannelSource;
  /** Most channels its own table takes, where it is one of many of its owner; absent: as many as a connection's. */
  readonly maxChannels?: number;
  /** Asked for each path that is new to the source: is it well-formed in the protocol's terms? Absent: any UTF-8 will do. */
  checkPath?(bytes: Uint8Array, start: number, end: number): ErrorCode | undefined;
  /** It makes new channels too fast and should be read from again in `ms`; absent: it cannot wait and is refused. */
  slowDown?(ms: number): void;
}

/** What names a channel when it is not the path's bytes alone. */
export interface ChannelKey {
  readonly identity: Identity;
  readonly path: string;
  readonly kind: Kind;
  readonly protocol: Protocol;
  readonly port: string;
  readonly contentType: string;
}

/** Bounds of the channel tables, in entries. */
export interface IngressLimits {
  readonly channelsPerConnection: number;
  readonly sharedChannels: number;
}

/** Messages that came in and were stopped here, by lane and reason; the senders count the rest. */
export type Refusals = readonly [Map<string, number>, Map<string, number>];

export interface IngressOptions {
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly admission: Admission;
  readonly partitions: number;
  readonly limits: IngressLimits;
  readonly numbers: NewChannels;
  /** Absent, or not enabled: nothing is traced and nothing is asked. */
  readonly tracing?: IngressTracing | undefined;
}

/** One per process, shared by all ports. */
export class Ingress {
  /** Messages stopped here because of what they are: refused topic, rate, size. Part of the ledger. */
  readonly refusals: Refusals = [new Map(), new Map()];
  /** Sent again by a client and already taken (MQTT QoS 2): not part of the ledger. */
  readonly counts = { duplicates: 0 };
  readonly partitions: number;
  /** Why `channelFor` returned nothing; valid until its next call. */
  refusal: ErrorCode = "auth.not_authorized";

  private readonly telemetrySender: TelemetrySender;
  private readonly eventSender: EventSender;
  private readonly admission: Admission;
  private readonly limits: IngressLimits;
  private readonly numbers: NewChannels;
  private readonly tracing: IngressTracing | undefined;
  private sharedCache: SharedChannels | undefined;
  private readonly byKey = new Map<string, Channel>();
  private byKeyGeneration = -1;
  private sharedGeneration = -1;

  constructor(options: IngressOptions) {
    this.telemetrySender = options.telemetry;
    this.eventSender = options.events;
    this.admission = options.admission;
    this.partitions = options.partitions;
    this.limits = options.limits;
    this.numbers = options.numbers;
    this.tracing = options.tracing?.enabled ? options.tracing : undefined;
  }

  /** True: readers keep what they have and stop reading, see `ConnectionManager.hold`. */
  get congested(): boolean {
    return this.telemetrySender.congested || this.eventSender.congested;
  }

  /**
   * The channel of a message whose path lies in `bytes[start, end)`. Undefined: refused, see `refusal`.
   * The hot path: a known path costs a comparison, or a hash and one; `checkPath` and admission are asked for new ones only.
   */
  channelFor(
    source: ChannelSource,
    lane: LaneIndex,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Channel | undefined {
    let table = source.channels;
    if (table === undefined || table.generation !== this.admission.generation) {
      table = source.channels = new ChannelTable(this.admission.generation, table);
    }
    const entry = table.find(lane, bytes, start, end) ?? this.miss(source, table, lane, bytes, start, end);
    if (entry.channel === undefined) this.refusal = entry.refusal!;
    return entry.channel;
  }

  /**
   * The channel of a fully named head: for requests, content types that vary, sources without a connection. Kept in a bounded
   * table by name, asked once per rules' generation.
   * @param source the connection, which pays for a new channel
   * @throws AppError `auth.not_authorized`, `limit.rate`, `queue.closed`, `protocol.malformed`
   */
  channelOf(key: ChannelKey, source?: ChannelSource): Channel {
    if (this.byKeyGeneration !== this.admission.generation) {
      this.byKey.clear();
      this.byKeyGeneration = this.admission.generation;
    }
    const name = nameOf(key);
    let channel = this.byKey.get(name);
    if (channel === undefined) {
      const { identity, path, contentType } = key;
      // Subscribers are told it in protocols that know no such text.
      if (contentType.includes("\0")) throw new AppError("protocol.malformed", "a content type with NUL");
      if (!mayName(identity, path) || !this.admission.publish(identity, path)) {
        throw new AppError("auth.not_authorized", `${identity.deviceId} may not publish to ${path}`);
      }
      const number = this.numbers.take(source);
      if (typeof number === "string") throw new AppError(number, `no channel for ${path} can be made now`);
      channel = this.create(number, key);
      if (this.byKey.size >= this.limits.sharedChannels) this.byKey.delete(this.byKey.keys().next().value!);
    } else {
      // Newest last, so that the first key is the least recently used one.
      this.byKey.delete(name);
    }
    this.byKey.set(name, channel);
    return channel;
  }

  /** Channels that lost their place in the shared table. */
  get evicted(): number {
    return this.sharedCache?.evicted ?? 0;
  }

  /** Telemetry lane; the payload is copied. Payloads above MAX_PAYLOAD_BYTES must have been refused before. */
  telemetry(channel: Channel, source: Uint8Array, start: number, end: number): void {
    if (this.tracing === undefined) {
      this.telemetrySender.append(channel, source, start, end);
      return;
    }
    const extras = tracedExtras(this.tracing, channel, undefined);
    if (extras === undefined) this.telemetrySender.append(channel, source, start, end);
    else this.telemetrySender.appendWith(channel, source, start, end, extras);
  }

  telemetryWith(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    extras: EnvelopeExtras,
  ): void {
    const all = this.tracing === undefined ? extras : tracedExtras(this.tracing, channel, extras);
    this.telemetrySender.appendWith(channel, source, start, end, all ?? extras);
  }

  /** Event lane; `ticket.settled` hears of `number` when the message is stored or refused. The payload is copied. */
  event(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    ticket: EventTicket,
    number: number,
    extras?: EnvelopeExtras,
  ): void {
    const all = this.tracing === undefined ? extras : tracedExtras(this.tracing, channel, extras);
    this.eventSender.append(channel, source, start, end, ticket, number, all);
  }

  /** Books messages that were understood and are not passed on. */
  refuse(lane: LaneIndex, reason: string, count = 1): void {
    const map = this.refusals[lane];
    map.set(reason, (map.get(reason) ?? 0) + count);
  }

  private miss(
    source: ChannelSource,
    table: ChannelTable,
    lane: LaneIndex,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ChannelEntry {
    const limit = Math.min(this.limits.channelsPerConnection, source.maxChannels ?? Number.POSITIVE_INFINITY);
    const local = table.size < limit;
    if (!local) {
      const known = this.shared().find(source.number, lane, bytes, start, end);
      if (known !== undefined) return known;
    }
    const malformed = source.checkPath?.(bytes, start, end);
    // Not kept: the sender is about to be disconnected.
    if (malformed !== undefined) return refusalOf(malformed, lane, bytes);
    const seed = local ? LOCAL_SEED : source.number | 0;
    const path = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
    const hash = hashPath(seed, lane, bytes, start, end);
    const entry = this.entryOf(source, lane, path, hash, bytes.slice(start, end));
    // A refusal for now is asked about again.
    if (entry.refusal === "limit.rate" || entry.refusal === "queue.closed") return entry;
    if (local) table.add(entry, limit);
    else this.shared().add(source.number, entry);
    return entry;
  }

  private entryOf(
    source: ChannelSource,
    lane: LaneIndex,
    path: string,
    hash: number,
    copy: Uint8Array,
  ): ChannelEntry {
    const length = copy.length;
    if (!mayName(source.identity, path) || !this.admission.publish(source.identity, path)) {
      return {
        hash,
        lane,
        bytes: copy,
        start: 0,
        length,
        channel: undefined,
        refusal: "auth.not_authorized",
      };
    }
    const number = this.numbers.take(source);
    if (typeof number === "string") return refusalOf(number, lane, copy);
    const { identity, protocol, port, contentType } = source;
    const kind = kindOf(path, lane);
    const channel = this.create(number, { identity, path, kind, protocol, port, contentType });
    // The prefix holds the path already: comparing against it saves keeping a copy.
    const at = channel.prefix.indexOf(copy);
    if (at < 0) return { hash, lane, bytes: copy, start: 0, length, channel, refusal: undefined };
    return { hash, lane, bytes: channel.prefix, start: at, length, channel, refusal: undefined };
  }

  private create(number: number, key: ChannelKey): Channel {
    const { tenant, deviceId } = key.identity;
    return createChannel(
      number,
      {
        tenant,
        deviceId,
        path: key.path,
        kind: key.kind,
        protocol: key.protocol,
        contentType: key.contentType,
        port: key.port,
        profile: "",
      },
      partitionOf(tenant, deviceId, this.partitions),
    );
  }

  private shared(): SharedChannels {
    if (this.sharedCache === undefined || this.sharedGeneration !== this.admission.generation) {
      this.sharedCache = new SharedChannels(this.limits.sharedChannels);
      this.sharedGeneration = this.admission.generation;
    }
    return this.sharedCache;
  }
}

/** What the broker tells about itself nobody else may say (MQTT 5, 4.7.2), nor what the platform tells devices. */
function mayName({ deviceId }: Identity, path: string): boolean {
  return !path.startsWith(SYS_PREFIX) && mayDeviceSay(deviceId, path);
}

function refusalOf(refusal: ErrorCode, lane: LaneIndex, bytes: Uint8Array): ChannelEntry {
  return { hash: 0, lane, bytes, start: 0, length: 0, channel: undefined, refusal };
}

/**
 * Everything that the head or the answer of admission depends on. Path, names and port hold no NUL; the rest may, so it stands behind
 * its lengths.
 */
function nameOf({ identity, path, kind, protocol, port, contentType }: ChannelKey): string {
  const { tenant, deviceId, user, clientId = deviceId, local = false } = identity;
  const lengths = `${tenant.length} ${user.length} ${clientId.length}`;
  return `${path}\0${deviceId}\0${port}\0${kind} ${protocol} ${local} ${lengths}\0${tenant}${user}${clientId}${contentType}`;
}

/** Answers to commands are told by their path (`devices/<id>/commands/<name>/response`), the rest by lane. */
export function kindOf(path: string, lane: LaneIndex): Kind {
  if (path.startsWith("devices/") && path.endsWith("/response") && path.includes("/commands/")) {
    return Kind.RESPONSE;
  }
  return lane === 0 ? Kind.TELEMETRY : Kind.EVENT;
}
