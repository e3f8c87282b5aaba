/** One MCP peer over any transport: hello first, then data, acknowledgements, messages for the device, heartbeats. */
import type { EventTicket } from "@myelin/bus";
import {
  encodeMcpFrame,
  type McpControlInit,
  type McpFrameHandler,
  McpFrameReader,
  type McpMessageView,
} from "@myelin/contract";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { ByteStream, StreamSink } from "../byte-stream.js";
import { Connection, type DisconnectReason, HOLD } from "../connection.js";
import { type ProtocolFacts, transportBytes } from "../operations-facts.js";
import type { DeviceSession, Downlink, DownlinkState } from "../session.js";
import type { McpChild } from "./mcp-child.js";
import { onControlMessage } from "./mcp-control.js";
import { onDataMessage } from "./mcp-data.js";
import { deliverDownlink } from "./mcp-downlink.js";
import { isPath } from "./mcp-path.js";
import type { McpSession } from "./mcp-session.js";
import type { McpShared } from "./mcp-shared.js";
import { MCP_STATE, type McpState } from "./mcp-state.js";
import { PendingEvents } from "./pending-events.js";

/** Ticks between saying goodbye and closing hard. */
const LINGER_TICKS = 4;
/** Bytes outside frames and frames that are none, after which the peer is held to speak something else. */
const MAX_SKIPPED_BYTES = 64 * 1024;
const MAX_BAD_FRAMES = 16;
/** An ack stays below what a datagram carries without fragments. */
const MAX_ACK_ID_BYTES = 1_000;

export class McpConnection
  extends Connection
  implements StreamSink, McpFrameHandler, EventTicket, DeviceSession
{
  state: McpState = MCP_STATE.fresh;
  session: McpSession | undefined = undefined;
  /** Why it ends; decided by whoever says so first. */
  ending: DisconnectReason = "lost";
  /** Largest message the device takes. */
  maxFrameBytes = 0xffff_ffff;
  pending: PendingEvents | undefined = undefined;
  /** Devices it speaks for beside its own, by name. */
  children: Map<string, McpChild> | undefined = undefined;
  private readonly reader: McpFrameReader | undefined;
  private ackIds: string[] | undefined = undefined;
  private ackIdBytes = 0;
  private ackedSequence = 0;
  private ackDue = false;
  private queued = false;
  private skipped = 0;
  private badFrames = 0;
  private nonce = 0;
  /** Messages of the running chunk, for the rate. */
  private messages = 0;
  /** Read while nothing may be taken. */
  private waiting: Buffer[] | undefined = undefined;

  constructor(
    readonly shared: McpShared,
    readonly stream: ByteStream,
    address: string,
  ) {
    super(shared.scope, address);
    const { maxFrameBytes: maxMessageBytes } = shared.scope.limits;
    this.reader = shared.options.datagrams
      ? undefined
      : new McpFrameReader(this, { maxMessageBytes }, shared.view);
  }

  onData(chunk: Buffer): void {
    if (this.state === MCP_STATE.closed) return;
    this.seen();
    if (this.waiting !== undefined || this.scope.manager.mustHold(this, chunk.length)) {
      this.waiting ??= [];
      this.waiting.push(Buffer.from(chunk));
      return;
    }
    this.consume(chunk);
    this.scope.manager.turns.took(this, chunk.length);
  }

  override get inflightMessages(): number {
    return this.session?.unacknowledged ?? 0;
  }

  override facts(): ProtocolFacts {
    return { ...transportBytes(this.stream), inflight: this.inflightMessages };
  }

  onDrain(): void {
    this.release(HOLD.writing);
  }

  /** One message, from the reader or from a datagram. */
  onMessage(view: McpMessageView): void {
    if (this.state === MCP_STATE.closed) return;
    try {
      if (this.state === MCP_STATE.ready && view.controlField === 0) {
        this.messages += 1;
        onDataMessage(this, view);
      } else onControlMessage(this, view);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  onError(error: AppError): void {
    const tooLarge = error.code === "contract.frame_too_large";
    this.shared.malformed(tooLarge ? "frame_too_large" : "bad_frame");
    this.badFrames += 1;
    if (tooLarge) this.disconnect("frame_too_large", error);
    else if (this.state !== MCP_STATE.ready || this.badFrames > MAX_BAD_FRAMES)
      this.disconnect("malformed", error);
    else {
      this.openPending().lostCount();
      this.sendError(error, "");
    }
  }

  onSkipped(bytes: number): void {
    this.shared.malformed("garbage");
    this.skipped += bytes;
    if (this.state === MCP_STATE.ready && this.skipped <= MAX_SKIPPED_BYTES) {
      this.openPending().lostCount();
      return;
    }
    this.disconnect("malformed", new AppError("contract.bad_frame", `${this.skipped} bytes are in no frame`));
  }

  onClosed(): void {
    if (this.gone) return;
    this.takeRest();
    const { state, session } = this;
    this.state = MCP_STATE.closed;
    this.reader?.stop();
    this.loseWaiting();
    this.scope.manager.remove(this, this.ending);
    const { sessions, mcpSessions } = this.shared.ctx;
    if (session === undefined) return;
    sessions.close(this, this.ending);
    if (session.connection !== this) return;
    this.noteStored();
    if (this.ending === "client" && state === MCP_STATE.closed) mcpSessions.forget(session);
    else mcpSessions.suspend(session);
  }

  /** The device has said that it leaves for good. */
  bye(): void {
    this.ending = "client";
    this.shutDown();
  }

  disconnect(reason: DisconnectReason, error?: AppError): void {
    if (this.state === MCP_STATE.closed) return;
    if (reason === "takeover" || reason === "drain") {
      this.takeRest();
      if ((this.state as McpState) === MCP_STATE.closed) return;
    }
    this.ending = reason;
    this.flushAcks();
    if (error !== undefined) this.sendError(error, "");
    else this.control({ kind: "bye", reason });
    this.shutDown();
  }

  takenOver(): void {
    this.disconnect("takeover");
  }

  downlink(message: Downlink): Promise<DownlinkState> {
    return deliverDownlink(this, message);
  }

  override ping(): void {
    this.nonce += 1;
    this.control({ kind: "ping", nonce: this.nonce });
  }

  override onWheel(now: number): number {
    if (this.state !== MCP_STATE.closed) return super.onWheel(now);
    if (!this.gone) this.stream.destroy();
    return 0;
  }

  checkPath(bytes: Uint8Array, start: number, end: number): ErrorCode | undefined {
    return isPath(bytes, start, end) ? undefined : "protocol.malformed";
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    const pending = this.pending!;
    const byId = this.shared.options.datagrams;
    for (let i = from; i < to; i++) {
      const ordinal = numbers[i]!;
      if (this.state === MCP_STATE.closed) {
        // Nobody to tell; what is stored counts for the resume.
      } else if (error !== undefined) this.sendError(error, pending.idOf(ordinal));
      else if (byId || !pending.isCounted(ordinal)) this.ackId(pending.idOf(ordinal));
      pending.settle(ordinal, error !== undefined);
    }
    this.noteStored();
    if (error === undefined) this.flushLater();
    this.ackDue = true;
  }

  /** Tells the session how far events are stored. */
  noteStored(): void {
    const { session, pending } = this;
    if (session === undefined || pending === undefined || session.connection !== this) return;
    if (pending.storedSequence > session.storedSequence) session.storedSequence = pending.storedSequence;
  }

  openPending(): PendingEvents {
    this.pending ??= new PendingEvents();
    return this.pending;
  }

  sendError(error: AppError, id: string): void {
    const { code, retryable } = error;
    const message = error.family === "ours" ? "the message could not be handled" : error.message;
    this.control({ kind: "error", code, message, retryable, id });
  }

  control(control: McpControlInit): void {
    this.write(encodeMcpFrame({ control }));
  }

  /** One whole frame; what is written in one turn leaves in one piece. */
  write(frame: Buffer): void {
    if (this.state === MCP_STATE.closed || this.gone) return;
    this.flushLater();
    this.shared.traffic.sentBytes += frame.length;
    if (this.stream.write(frame)) return;
    const max = this.scope.limits.maxWriteBufferBytes;
    if (this.stream.writableLength > max) this.cut();
    else if (this.stream.writableLength > max >>> 1) this.hold(HOLD.writing);
  }

  /** End of the turn. */
  flush(): void {
    if (!this.queued) return;
    if (this.state !== MCP_STATE.closed) this.flushAcks();
    this.queued = false;
    if (!this.gone) this.stream.uncork();
  }

  /** Goes on with what was read meanwhile. */
  takeWaiting(): void {
    while (this.held === 0 && this.state !== MCP_STATE.closed) {
      const chunk = this.waiting?.shift();
      if (chunk === undefined) {
        this.waiting = undefined;
        return;
      }
      this.consume(chunk);
    }
  }

  /** From here on chunks are kept, until `takeWaiting`. */
  startWaiting(): void {
    this.waiting ??= [];
  }

  /** What a handler has thrown: told to the device, and the end of the connection where it breaks the protocol. */
  fail(thrown: unknown): void {
    const error = AppError.from(thrown);
    if (error.family === "ours") {
      const { code, stack, cause } = error;
      this.shared.ctx.log.error({ code, stack, cause }, "cannot handle a message");
      this.disconnect("internal", error);
      return;
    }
    this.shared.malformed(error.code.slice(error.code.indexOf(".") + 1));
    this.disconnect(error.code === "protocol.violation" ? "violation" : "malformed", error);
  }

  protected pauseReading(): void {
    this.stream.pause();
  }

  protected resumeReading(): void {
    this.takeWaiting();
    if (this.held === 0 && this.state !== MCP_STATE.closed) this.stream.resume();
  }

  private consume(chunk: Buffer): void {
    this.shared.traffic.receivedBytes += chunk.length;
    this.reader!.push(chunk);
    this.spendMessages();
  }

  /** After each chunk or datagram. */
  spendMessages(): void {
    const { messages } = this;
    if (messages === 0) return;
    this.messages = 0;
    this.shared.traffic.receivedMessages += messages;
    this.spend(messages);
  }

  private ackId(id: string): void {
    if (id === "") return;
    this.ackIds ??= [];
    this.ackIds.push(id);
    this.ackIdBytes += Buffer.byteLength(id) + 2;
    if (this.ackIdBytes > MAX_ACK_ID_BYTES) this.flushAcks();
  }

  private flushAcks(): void {
    if (!this.ackDue && this.ackIds === undefined) return;
    this.ackDue = false;
    const ids = this.ackIds ?? [];
    this.ackIds = undefined;
    this.ackIdBytes = 0;
    const settled = this.shared.options.datagrams ? 0 : (this.pending?.ackSequence ?? 0);
    const sequence = settled > this.ackedSequence ? settled : 0;
    if (sequence > 0) this.ackedSequence = sequence;
    if (ids.length > 0 || sequence > 0) this.control({ kind: "ack", ids, sequence });
  }

  private flushLater(): void {
    if (this.queued) return;
    this.queued = true;
    this.stream.cork();
    this.shared.flushLater(this);
  }

  /** The device reads nothing: a goodbye would only wait behind the rest. */
  private cut(): void {
    this.ending = "slow_client";
    this.state = MCP_STATE.closed;
    this.stream.destroy();
  }

  /** It ends although it has done nothing wrong: what was kept is taken, so that every message is counted by a sender at least. */
  private takeRest(): void {
    while (this.state === MCP_STATE.ready) {
      const chunk = this.waiting?.shift();
      if (chunk === undefined) return;
      this.scope.manager.letGo(this, chunk.length);
      this.consume(chunk);
    }
  }

  /** Bytes of nobody who was let in, or of somebody who broke the protocol: what is in them is not known. */
  private loseWaiting(): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting === undefined || waiting.length === 0) return;
    this.scope.manager.lose(
      this,
      waiting.reduce((sum, { length }) => sum + length, 0),
    );
  }

  private shutDown(): void {
    this.state = MCP_STATE.closed;
    this.reader?.stop();
    this.loseWaiting();
    if (this.queued) {
      this.queued = false;
      this.stream.uncork();
    }
    this.stream.end();
    // The device's own close must be read, or the last bytes sent could be lost to a reset.
    if (this.held !== 0) this.stream.resume();
    if (!this.gone) this.scope.manager.wheel.schedule(this, LINGER_TICKS);
  }
}
