/** One MQTT client: frames packets where they lie, and holds what the packets change. */
import { Buffer } from "node:buffer";
import type { EventTicket } from "@myelin/bus";
import type { control } from "@myelin/contract";
import type { AppError, ErrorCode } from "@myelin/kernel";
import type { ByteStream, StreamSink } from "../../core/byte-stream.js";
import { Connection, type DisconnectReason, HOLD } from "../../core/connection.js";
import type { ProtocolFacts, SubscriptionOptions } from "../../core/operations-facts.js";
import type { DeviceSession, Downlink, DownlinkState } from "../../core/session.js";
import {
  FIRST_LOCAL_PACKET_ID,
  type HolderLoss,
  type KeptMessage,
  type SessionHolder,
} from "../../core/session-home.js";
import type { GiveBack, Subscriber, SubscriberMessage } from "../../core/subscriptions.js";
import type { Authentication } from "./authentication.js";
import { ANY_OFFER, type ClientOffer } from "./client-offer.js";
import { type Version, versionIn, type Will } from "./codec/connect.js";
import { type MqttFault, malformed, tooLarge, violation } from "./codec/fault.js";
import type { Outbox } from "./codec/outbox.js";
import { PACKET } from "./codec/packets.table.js";
import { REASON } from "./codec/reason-codes.table.js";
import { isTopicName } from "./codec/topics.js";
import { writeAck } from "./codec/writer.js";
import { onControlPacket } from "./control.js";
import { deliverKept, deliverMessage } from "./delivery.js";
import { deliverDownlink } from "./downlink.js";
import { endConnection, onFault, sayGoodbye } from "./ending.js";
import { factsOf, optionsOf, versionNameOf } from "./facts.js";
import { deniedFilter, settledLate } from "./keeping.js";
import { ease, sendWaiting } from "./outgoing.js";
import { onPublish, writeAcks } from "./publish.js";
import { incomingRecorded } from "./receiving.js";
import { MqttSession, NO_FIGURES, type SessionFigures } from "./session.js";
import type { MqttShared } from "./shared.js";
import { STATE, type State } from "./state.js";
import { TopicAliases } from "./topic-aliases.js";
import { countPublishes } from "./unread.js";
import { keptWillOf, willAtTakeover } from "./wills.js";

const FIRST_PARTIAL_BYTES = 256;
/** A CONNECT of five strings of 64 KiB is as large as one can be without properties. */
const MAX_CONNECT_BYTES = 5 * 65_535;
/** Ticks between saying goodbye and closing hard. */
const LINGER_TICKS = 4;

export class MqttConnection
  extends Connection
  implements StreamSink, EventTicket, Subscriber, DeviceSession, SessionHolder
{
  readonly shared: MqttShared;
  readonly stream: ByteStream;
  state: State = STATE.fresh;
  version: Version = 4;
  /** Why it ends; decided by whoever says so first. */
  ending: DisconnectReason = "lost";
  will: Will | undefined = undefined;
  session: MqttSession | undefined = undefined;
  /** Set where CONNECT named a method. */
  authentication: Authentication | undefined = undefined;
  /** Topics by alias, MQTT 5. */
  aliases: (Buffer | undefined)[] | undefined = undefined;
  offer: ClientOffer = ANY_OFFER;
  /** True once CONNECT was accepted: presence and will are owed an ending. */
  opened = false;
  /** QoS 1 messages taken and not acknowledged, and QoS 2 messages without their PUBCOMP. */
  unacknowledged = 0;

  private out: Outbox | undefined = undefined;
  private queued = false;
  /** The beginning of a packet whose end has not come. */
  private partial: Buffer | undefined = undefined;
  private partialLength = 0;
  /** Bytes read while nothing may be taken. */
  private pending: Buffer | undefined = undefined;

  constructor(shared: MqttShared, stream: ByteStream, address: string) {
    super(shared.scope, address);
    this.shared = shared;
    this.stream = stream;
  }

  onData(chunk: Buffer): void {
    if (this.state === STATE.closed) return;
    this.seen();
    const { counters, tracer } = this.shared;
    counters.receivedBytes += chunk.length;
    if (tracer.isActive) tracer.incoming(this, chunk);
    if (this.pending !== undefined) {
      this.keepPending(chunk);
      return;
    }
    if (this.scope.manager.mustHold(this, chunk.length)) {
      this.keepPending(chunk);
      return;
    }
    this.consume(chunk);
    this.scope.manager.turns.took(this, chunk.length);
  }

  onDrain(): void {
    this.release(HOLD.writing);
    sendWaiting(this);
  }

  onClosed(): void {
    endConnection(this);
  }

  disconnect(reason: DisconnectReason, error?: AppError): void {
    if (this.state === STATE.closed) return;
    this.ending = reason;
    sayGoodbye(this, reason, error);
    this.shutDown();
  }

  /** Sends what is waiting and closes; a client that does not close its side is cut off after two seconds. It gets no messages meanwhile. */
  shutDown(): void {
    this.flush();
    this.giveUpUnread();
    this.state = STATE.closed;
    this.shared.ctx.subscriptions.removeAll(this);
    ease(this);
    this.partial = undefined;
    this.stream.end();
    // The client's own close must be read, or the last bytes sent could be lost to a reset.
    if (this.held !== 0) this.stream.resume();
    if (!this.gone) this.scope.manager.wheel.schedule(this, LINGER_TICKS);
  }

  override slowDown(ms: number): void {
    if (this.shared.patience.isOver(this, this.shared.ctx.clock.nowMs(), ms)) this.disconnect("rate");
    else super.slowDown(ms);
  }

  override onWheel(now: number): number {
    if (this.state === STATE.closed) {
      if (!this.gone) this.stream.destroy();
      return 0;
    }
    return super.onWheel(now);
  }

  checkPath(bytes: Uint8Array, start: number, end: number): ErrorCode | undefined {
    return isTopicName(bytes as Buffer, start, end) ? undefined : "protocol.malformed";
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    if (this.state !== STATE.closed) writeAcks(this, numbers, from, to, error);
    else settledLate(this, numbers, from, to, error);
  }

  /** See `Subscriber`: while others of a shared subscription have room, messages need not wait here. */
  get isBusy(): boolean {
    const { session } = this;
    const isFull = session !== undefined && (session.isWaiting || session.windowFull);
    return isFull || this.waiting > this.scope.limits.maxWriteBufferBytes >>> 1;
  }

  /** See `Subscriber`: what others send it directly still has its place. */
  get isFull(): boolean {
    return this.session?.isHalfFull === true;
  }

  deliver(message: SubscriberMessage, tags: readonly number[], giveBack?: GiveBack): boolean {
    return deliverMessage(this, message, tags, giveBack);
  }

  downlink(message: Downlink): Promise<DownlinkState> {
    return deliverDownlink(this, message);
  }

  deliverKept(kept: KeptMessage): boolean {
    return deliverKept(this, kept);
  }

  sendPubrel(packetId: number): void {
    if (this.state !== STATE.ready) return;
    this.openSession().release(packetId);
    writeAck(this.outbox(), PACKET.pubrel, packetId, REASON.success);
  }

  incomingRecorded(packetId: number): void {
    if (this.state === STATE.ready) incomingRecorded(this, packetId);
  }

  sendPubcomp(packetId: number): void {
    if (this.state === STATE.ready) writeAck(this.outbox(), PACKET.pubcomp, packetId, REASON.success);
  }

  sessionLost(why: HolderLoss): void {
    // A next connection waits to hear what was stored of this one's messages.
    if (this.session !== undefined && why !== "taken_over") this.session.kept = undefined;
    this.disconnect(why === "taken_over" ? "takeover" : why);
  }

  override rulesChanged(): void {
    const denied = deniedFilter(this);
    if (denied !== undefined) this.revoked(denied);
  }

  get beginsAnew(): boolean {
    return this.offer.clean;
  }

  keptWill(): control.KeptWill | undefined {
    return this.will && keptWillOf(this, this.will);
  }

  takenOver(anew: boolean): void {
    willAtTakeover(this, anew);
    this.disconnect("takeover");
  }

  /** Where packets for the client are appended; flushed when the running callback is done. */
  outbox(): Outbox {
    this.out ??= this.shared.borrow();
    if (!this.queued) {
      this.queued = true;
      this.shared.flushLater(this);
    }
    return this.out;
  }

  /** Bytes on the way to the client. */
  get waiting(): number {
    return this.stream.writableLength + (this.out?.length ?? 0);
  }

  flush(): void {
    this.queued = false;
    const out = this.out;
    if (out === undefined) return;
    this.out = undefined;
    const bytes = out.take();
    this.shared.giveBack(out);
    if (this.gone || this.state === STATE.closed || bytes.length === 0) return;
    const { counters, tracer } = this.shared;
    counters.sentBytes += bytes.length;
    if (tracer.isActive) tracer.outgoing(this, bytes);
    if (this.stream.write(bytes)) return;
    const { maxWriteBufferBytes: max, maxFrameBytes } = this.scope.limits;
    // Messages are dropped before this; what is left are answers to a client that asks and never listens.
    if (this.stream.writableLength > 2 * max + maxFrameBytes) this.disconnect("slow_client");
    else if (this.stream.writableLength > max >>> 1) this.hold(HOLD.writing);
  }

  override get versionName(): string {
    return versionNameOf(this.version);
  }

  override get keptFilters(): ReadonlyMap<string, number> | undefined {
    return this.session?.filters;
  }

  override get inflightMessages(): number {
    return this.session?.inflight ?? 0;
  }

  override get queuedMessages(): number {
    return this.session?.queued ?? 0;
  }

  override get isClosing(): boolean {
    return this.gone || this.state === STATE.closed;
  }

  override facts(): ProtocolFacts {
    return factsOf(this);
  }

  override subscriptionOptions(tag: number): SubscriptionOptions {
    return optionsOf(tag);
  }

  /** For operators: what is on the way to this client, and what was lost of it. */
  figures(): SessionFigures & { readonly unsentBytes: number } {
    return { ...(this.session?.figures() ?? NO_FIGURES), unsentBytes: this.waiting };
  }

  /** For who begins to look at its packets: what was read of them and is not done with, in order. */
  unparsed(): readonly Buffer[] {
    const begun = this.partial?.subarray(0, this.partialLength);
    return [begun, this.pending].filter((bytes) => bytes !== undefined);
  }

  /** The connection ends with bytes that nobody will read: the messages in them go into the books. Those above QoS 0 their client has, unacknowledged. */
  giveUpUnread(): void {
    const unread = this.unparsed();
    const isNone = this.pending === undefined || !this.opened;
    this.pending = undefined;
    // Nothing was kept for a client that was not let in, or that has broken a rule in what was read.
    if (isNone) return;
    const { telemetry, event } = countPublishes(Buffer.concat(unread));
    const { ingress } = this.shared.ctx;
    if (telemetry > 0) ingress.refuse(0, "connection_ended", telemetry);
    if (event > 0) ingress.refuse(1, "connection_ended", event);
  }

  openSession(): MqttSession {
    this.session ??= this.newSession();
    return this.session;
  }

  private newSession(): MqttSession {
    const { maxInflight, maxQueuedMessages, topicAliasMaximum } = this.shared.config;
    const session = new MqttSession(
      // The identifiers of either side of a kept session are half of all.
      Math.min(this.offer.receiveMaximum, maxInflight, FIRST_LOCAL_PACKET_ID - 1),
      maxQueuedMessages,
      this.scope.limits.maxWriteBufferBytes,
    );
    const aliases = Math.min(this.offer.topicAliasMaximum, topicAliasMaximum);
    if (aliases > 0) session.aliases = new TopicAliases(aliases);
    return session;
  }

  /** Goes on with what was read while nothing could be taken. */
  takePending(): void {
    const pending = this.pending;
    this.pending = undefined;
    if (pending === undefined || this.state === STATE.closed) return;
    this.consume(pending);
    this.scope.manager.turns.took(this, pending.length);
  }

  protected pauseReading(): void {
    this.stream.pause();
  }

  protected resumeReading(): void {
    this.takePending();
    if (this.held === 0 && this.state !== STATE.closed) this.stream.resume();
  }

  private consume(chunk: Buffer): void {
    try {
      const at = this.partial === undefined ? 0 : this.completePartial(chunk);
      if (at >= 0) this.packets(chunk, at, chunk.length);
    } catch (thrown) {
      onFault(this, thrown as MqttFault);
    }
    if (this.out !== undefined) this.flush();
  }

  /** Takes whole packets; keeps what is left. False when the rest was put aside or dropped. */
  private packets(buf: Buffer, start: number, end: number): boolean {
    let at = start;
    let messages = 0;
    let ready = this.state === STATE.ready;
    let max = this.scope.limits.maxFrameBytes;
    if (!ready) max = Math.min(max, MAX_CONNECT_BYTES);
    while (at < end) {
      const first = buf[at]!;
      if (!ready && first !== 0x10) this.mustBeAuth(first);
      if (end - at < 2) break;
      let length = buf[at + 1]!;
      let body = at + 2;
      if (length > 0x7f) {
        length &= 0x7f;
        let byte = 0x80;
        for (let shift = 7; byte > 0x7f && body < end; shift += 7) {
          if (shift > 21) throw malformed("remaining_length", "a remaining length of more than four bytes");
          byte = buf[body++]!;
          length |= (byte & 0x7f) << shift;
        }
        if (byte > 0x7f && body - at < 5) break;
        if (byte > 0x7f) throw malformed("remaining_length", "a remaining length of more than four bytes");
        if (byte === 0 && this.version === 5) {
          throw malformed("remaining_length", "a remaining length in more bytes than it needs");
        }
      }
      if (length > max) {
        if (this.state === STATE.fresh) this.version = versionIn(buf, body, end) ?? this.version;
        throw tooLarge(length, max);
      }
      const next = body + length;
      if (next > end) break;
      if (ready && first >>> 4 === 3) {
        onPublish(this, buf, first, body, next);
        messages += 1;
        if (this.state === STATE.closed) return false;
      } else {
        onControlPacket(this, first, buf, body, next);
        if (this.state === STATE.authenticating) {
          at = next;
          continue;
        }
        if (this.state !== STATE.ready) {
          this.leave(buf, next, end);
          return false;
        }
        if (!ready) {
          ready = true;
          max = this.scope.limits.maxFrameBytes;
        }
      }
      at = next;
    }
    if (messages > 0) {
      this.shared.counters.receivedMessages += messages;
      this.spend(messages);
    }
    if (at < end) this.keepPartial(buf, at, end);
    return true;
  }

  /** Before the client is known: CONNECT opens, and within an exchange AUTH and DISCONNECT may come. */
  private mustBeAuth(first: number): void {
    if (this.state !== STATE.authenticating) throw violation("order", "the first packet is not CONNECT");
    const type = first >>> 4;
    if (type !== PACKET.auth && type !== PACKET.disconnect) {
      throw violation("order", `packet type ${type} within an exchange of authentication`);
    }
  }

  /** The connection waits for admission or is closed: the rest is for later, or for nobody. */
  private leave(buf: Buffer, at: number, end: number): void {
    if (this.state === STATE.admitting && at < end) this.keepPending(buf.subarray(at, end));
  }

  private keepPending(chunk: Buffer): void {
    const known = this.pending;
    const bytes = chunk.length + (known?.length ?? 0);
    // A transport that was told to pause has little left to give; one that goes on giving is not worth the memory.
    if (bytes > this.scope.limits.maxFrameBytes + 128 * 1024) {
      this.disconnect("frame_too_large");
      return;
    }
    this.pending = known === undefined ? Buffer.from(chunk) : Buffer.concat([known, chunk], bytes);
  }

  private keepPartial(buf: Buffer, at: number, end: number): void {
    const bytes = end - at;
    this.partial = Buffer.allocUnsafe(Math.max(FIRST_PARTIAL_BYTES, bytes));
    this.partialLength = buf.copy(this.partial, 0, at, end);
  }

  /** Fills the begun packet from the chunk; returns where the chunk goes on, or -1 when nothing of it is left to take. */
  private completePartial(chunk: Buffer): number {
    let at = 0;
    let total = packetBytes(this.partial!, this.partialLength);
    while (total === 0 && at < chunk.length) {
      this.partial![this.partialLength++] = chunk[at++]!;
      total = packetBytes(this.partial!, this.partialLength);
    }
    const max = this.scope.limits.maxFrameBytes;
    if (total > max + 5) throw tooLarge(total, max);
    if (total === 0) return -1;
    const take = Math.min(total - this.partialLength, chunk.length - at);
    const need = this.partialLength + take;
    if (need > this.partial!.length) {
      // By doubling: a large announced length costs memory only as its bytes come.
      const next = Buffer.allocUnsafe(Math.min(total, Math.max(need, this.partial!.length * 2)));
      this.partial!.copy(next, 0, 0, this.partialLength);
      this.partial = next;
    }
    chunk.copy(this.partial!, this.partialLength, at, at + take);
    this.partialLength = need;
    at += take;
    if (need < total) return -1;
    const whole = this.partial!;
    this.partial = undefined;
    this.partialLength = 0;
    if (this.packets(whole, 0, total)) return at;
    this.leave(chunk, at, chunk.length);
    return -1;
  }
}

/** Bytes of the packet that begins here, its header included; 0 when the header is not complete. */
export function packetBytes(bytes: Buffer, length: number): number {
  let value = 0;
  for (let i = 1; i < length; i++) {
    if (i === 5) throw malformed("remaining_length", "a remaining length of more than four bytes");
    const byte = bytes[i]!;
    value |= (byte & 0x7f) << (7 * (i - 1));
    if (byte < 0x80) return 1 + i + value;
  }
  return 0;
}
