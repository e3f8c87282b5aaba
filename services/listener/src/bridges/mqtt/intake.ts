/** From the broker to here: each message into its lane, and the answer to it when it is stored. */
import type { EventTicket } from "@myelin/bus";
import { MAX_PAYLOAD_BYTES, Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { IPublishPacket } from "mqtt-packet";
import { type ChannelSource, kindOf } from "../../core/ingress.js";
import type { KeptSession } from "../../core/session-home.js";
import { type BridgeContext, countDropped } from "../bridge.js";
import { crossedBy, mayComeIn, withCrossing } from "./crossings.js";
import { Handshakes, QOS2_BIT } from "./handshakes.js";
import { extrasOf, headersOf } from "./properties.js";
import { ANSWER, type Answer, RECEIVE_MAXIMUM } from "./remote.js";
import type { Inward, TopicMaps } from "./topic-maps.js";

/** How far messages may go over bridges. */
export interface CrossingRules {
  readonly maxCrossed: number;
  /** How this bridge is called in the header of what it has carried. */
  readonly mark: string;
}

/** What it needs of its connection. */
export interface IntakeOwner extends ChannelSource {
  readonly held: number;
  mustHold(bytes: number): boolean;
  /** Bytes of answers for the broker. */
  answer(bytes: Buffer): void;
  /** What was refused here comes again with the next connection: this one ends. */
  failed(error: AppError): void;
  /** The last of what was taken is stored, or refused. */
  settledAll(): void;
}

/** Of messages that wait for the home of the session; beyond it the broker is not read from. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

interface Parked {
  readonly packet: IPublishPacket;
  readonly next: () => void;
}

export class Intake implements EventTicket {
  /** Messages above QoS 0 that are taken and not stored. */
  unstored = 0;
  isOver = false;
  private parked: Parked | undefined;
  private readonly handshakes: Handshakes;

  constructor(
    private readonly owner: IntakeOwner,
    private readonly ctx: BridgeContext,
    private readonly maps: TopicMaps,
    kept: KeptSession,
    private readonly rules: CrossingRules,
  ) {
    this.handshakes = new Handshakes(
      kept,
      () => ctx.clock.wallMs(),
      (number, { channel, payload, extras }) =>
        ctx.ingress.event(channel, payload, 0, payload.length, this, number, extras),
    );
  }

  /** The broker has forgotten the session: its identifiers mean nothing any more. */
  forgetHandshakes(): void {
    this.handshakes.forget();
  }

  /** As `SessionHolder.incomingRecorded`. */
  recorded(packetId: number): void {
    if (!this.isOver) this.handshakes.recorded(packetId);
  }

  /** As `SessionHolder.sendPubcomp`. */
  completed(packetId: number): void {
    if (!this.isOver && this.handshakes.completed(packetId)) {
      this.owner.answer(answerOf(ANSWER.pubcomp, packetId));
    }
  }

  /** Nothing more is taken; what waits for its home comes again. */
  close(): void {
    this.isOver = true;
    this.unstored -= this.handshakes.size;
  }

  /** See `RemoteSink.published`: one that must wait keeps all behind it from being read. */
  published(packet: IPublishPacket, next: () => void): void {
    if (this.mustWait || this.owner.mustHold(packet.payload.length)) {
      this.parked = { packet, next };
      return;
    }
    this.take(packet);
    next();
  }

  /** Goes on with what had to wait. */
  resume(): void {
    const { parked } = this;
    if (parked === undefined || this.isOver || this.mustWait) return;
    this.parked = undefined;
    this.take(parked.packet);
    parked.next();
  }

  /** PUBREL: answered when the identifier is recorded as free, or a message that follows under it would be taken for this one. */
  released(packetId: number): void {
    if (!this.isOver && !this.handshakes.release(packetId)) {
      this.owner.answer(answerOf(ANSWER.pubcomp, packetId));
    }
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    this.unstored -= to - from;
    if (error?.retryable === true) {
      if (!this.isOver) this.owner.failed(error);
    } else {
      if (error !== undefined) countDropped(this.ctx.counters, "in", error.code);
      this.acknowledge(numbers, from, to);
    }
    if (this.unstored === 0) this.owner.settledAll();
    this.resume();
  }

  private acknowledge(numbers: readonly number[], from: number, to: number): void {
    const bytes = Buffer.allocUnsafe(4 * (to - from));
    let at = 0;
    for (let i = from; i < to; i++) {
      const packetId = numbers[i]! & 0xffff;
      if (numbers[i]! >= QOS2_BIT) {
        this.handshakes.stored(packetId);
        at = put(bytes, at, ANSWER.pubrec, packetId);
      } else at = put(bytes, at, ANSWER.puback, packetId);
    }
    if (at > 0 && !this.isOver) this.owner.answer(bytes.subarray(0, at));
  }

  private take(packet: IPublishPacket): void {
    const { ctx, owner } = this;
    const { qos, messageId = 0, topic, properties } = packet;
    if (this.isOver || (qos === 2 && this.isDoubled(messageId))) return;
    ctx.counters.messages.in += 1;
    const payload = packet.payload as Buffer;
    const route = this.maps.inward(topic);
    if (route === undefined) {
      this.drop(packet, "unmapped");
      return;
    }
    const headers = headersOf(properties);
    const crossed = crossedBy(headers, "");
    if (!mayComeIn(crossed, this.rules.mark, this.rules.maxCrossed)) {
      this.drop(packet, "crossed");
      return;
    }
    if (payload.length > MAX_PAYLOAD_BYTES) {
      this.drop(packet, "too_large");
      return;
    }
    const lane = qos === 0 ? 0 : 1;
    const channel = this.channelOf(route, lane, properties?.contentType ?? "");
    if (typeof channel === "string") {
      ctx.ingress.refuse(lane, channel);
      if (channel === "queue.closed") owner.failed(new AppError("queue.closed", "no channel can be made"));
      else this.drop(packet, channel);
      return;
    }
    const extras = extrasOf(ctx.clock, properties, {
      qos,
      retain: packet.retain && route.keepsRetain,
      headers: withCrossing(headers, crossed, `${this.rules.mark}<`),
    });
    if (lane === 0) ctx.ingress.telemetryWith(channel, payload, 0, payload.length, extras);
    else {
      this.unstored += 1;
      if (qos === 2) this.handshakes.begin(messageId, { channel, payload, extras });
      else this.handshakes.follow(messageId, { channel, payload, extras });
    }
  }

  private channelOf({ path }: Inward, lane: 0 | 1, contentType: string) {
    const { owner, ctx } = this;
    const { ingress } = ctx;
    const plain = ingress.channelFor(owner, lane, path, 0, path.length);
    if (plain === undefined) return ingress.refusal;
    if (contentType === "") return plain;
    const { path: topic } = plain.head;
    const { identity, port } = owner;
    const kind = kindOf(topic, lane);
    try {
      const key = { identity, path: topic, kind, protocol: Protocol.BRIDGE, port, contentType };
      return ingress.channelOf(key, owner);
    } catch (thrown) {
      return AppError.from(thrown).code;
    }
  }

  /** Taken before: what is not released yet is answered again. */
  private isDoubled(packetId: number): boolean {
    const seen = this.handshakes.seen(packetId);
    if (seen === "stored") this.owner.answer(answerOf(ANSWER.pubrec, packetId));
    if (seen !== undefined) this.ctx.ingress.counts.duplicates += 1;
    return seen !== undefined;
  }

  /** Nobody wants it, so the broker need not keep it. */
  private drop({ qos, messageId = 0 }: IPublishPacket, reason: string): void {
    countDropped(this.ctx.counters, "in", reason);
    if (qos > 0) this.owner.answer(answerOf(qos === 2 ? ANSWER.pubrec : ANSWER.puback, messageId));
  }

  private get mustWait(): boolean {
    const isFull = this.unstored >= RECEIVE_MAXIMUM || this.handshakes.waitingBytes >= MAX_WAITING_BYTES;
    return isFull || this.owner.held !== 0;
  }
}

/** A packet that answers, of either version: without a reason code it means success. */
export function answerOf(answer: Answer, packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  put(bytes, 0, answer, packetId);
  return bytes;
}

function put(bytes: Buffer, at: number, answer: Answer, packetId: number): number {
  bytes[at] = answer;
  bytes[at + 1] = 2;
  bytes[at + 2] = packetId >>> 8;
  bytes[at + 3] = packetId & 0xff;
  return at + 4;
}
