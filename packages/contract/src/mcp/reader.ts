/** Cuts a byte stream into MCP messages: whole frames are read where they lie, only a frame cut by a chunk's end is copied. */
import { AppError } from "@myelin/kernel";
import { frameTooLarge, type McpFrameLimits } from "./frame.js";
import { MCP_DEFAULT_MAX_MESSAGE_BYTES, MCP_HEADER_BYTES, MCP_MAGIC, MCP_MAGIC_WORD } from "./layout.js";
import { McpMessageView } from "./view.js";

/** Called by `push`, in stream order. Must not throw and must not call `push`; may call `stop`. */
export interface McpFrameHandler {
  /** One message. View and bytes are valid during the call only. */
  onMessage(view: McpMessageView): void;
  /**
   * A frame that is refused: `contract.frame_too_large` (reading goes on at the next magic) or `contract.bad_frame` (reading goes
   * on behind it). Where bytes do not get lost on the way (TCP, WebSocket), the peer is broken or hostile: answer and close.
   */
  onError(error: AppError): void;
  /** Bytes outside frames, not more than once per run of garbage and push. */
  onSkipped(bytes: number): void;
}

const MAGIC = Buffer.from(MCP_MAGIC);
const EMPTY = Buffer.alloc(0);
const FIRST_PENDING_BYTES = 256;

/**
 * Incremental reader of one connection. Memory: nothing between frames; while a frame is cut, at most twice what has
 * arrived of it, never what it merely announces.
 */
export class McpFrameReader {
  private readonly handler: McpFrameHandler;
  private readonly maxMessageBytes: number;
  private readonly view: McpMessageView;
  private pending = EMPTY;
  private pendingLength = 0;
  private stopped = false;

  /** @param view may be shared by readers of one thread, because its content is valid during `onMessage` only */
  constructor(handler: McpFrameHandler, limits: McpFrameLimits = {}, view = new McpMessageView()) {
    this.handler = handler;
    this.maxMessageBytes = limits.maxMessageBytes ?? MCP_DEFAULT_MAX_MESSAGE_BYTES;
    this.view = view;
  }

  /** Bytes of a frame that has begun and is not complete. */
  get pendingBytes(): number {
    return this.pendingLength;
  }

  /** Drops the rest of the current chunk and everything after it. */
  stop(): void {
    this.stopped = true;
    this.reset();
  }

  /** Forgets a frame that has begun: for serial lines, where a silence ends whatever was under way. */
  reset(): void {
    this.pending = EMPTY;
    this.pendingLength = 0;
  }

  /** Takes the next bytes of the stream; keeps none of them beyond the call, and calls the handler before it returns. */
  push(chunk: Buffer): void {
    let at = 0;
    while (this.pendingLength > 0 && at < chunk.length && !this.stopped) at = this.fill(chunk, at);
    if (!this.stopped && at < chunk.length) this.parse(chunk, at);
  }

  /** Reads whole frames of `b` from `from` on and keeps what is left at the end. */
  private parse(b: Buffer, from: number): void {
    const end = b.length;
    let at = from;
    while (end - at >= MCP_HEADER_BYTES) {
      if (!startsWithMagic(b, at)) {
        at = this.skipGarbage(b, at);
        continue;
      }
      const length = lengthAt(b, at);
      if (length > this.maxMessageBytes) {
        this.handler.onError(frameTooLarge(length, this.maxMessageBytes));
        if (this.stopped) return;
        at = this.skipGarbage(b, at);
        continue;
      }
      const next = at + MCP_HEADER_BYTES + length;
      if (next > end) break;
      this.emit(b, at + MCP_HEADER_BYTES, next);
      if (this.stopped) return;
      at = next;
    }
    if (at < end && end - at < MCP_HEADER_BYTES && !isMagicPrefix(b, at, end)) at = this.skipGarbage(b, at);
    if (at < end && !this.stopped) this.keep(b, at, end);
  }

  /** Completes the frame that has begun; returns the offset behind what it took of `chunk`. */
  private fill(chunk: Buffer, from: number): number {
    if (this.pendingLength < MCP_HEADER_BYTES) {
      const at = from + this.take(chunk, from, MCP_HEADER_BYTES);
      if (this.pendingLength >= MAGIC.length && !startsWithMagic(this.pending, 0)) {
        this.restart();
        return at;
      }
      if (this.pendingLength < MCP_HEADER_BYTES) {
        if (!isMagicPrefix(this.pending, 0, this.pendingLength)) this.restart();
        return at;
      }
      const length = lengthAt(this.pending, 0);
      if (length > this.maxMessageBytes) {
        this.handler.onError(frameTooLarge(length, this.maxMessageBytes));
        if (!this.stopped) this.restart();
        return at;
      }
      if (length === 0) this.complete();
      return at;
    }
    const whole = MCP_HEADER_BYTES + lengthAt(this.pending, 0);
    const at = from + this.take(chunk, from, whole);
    if (this.pendingLength === whole) this.complete();
    return at;
  }

  private complete(): void {
    const frame = this.pending;
    const end = this.pendingLength;
    this.reset();
    this.emit(frame, MCP_HEADER_BYTES, end);
  }

  private emit(b: Buffer, start: number, end: number): void {
    try {
      this.view.read(b, start, end);
    } catch (error) {
      this.handler.onError(AppError.from(error));
      return;
    }
    this.handler.onMessage(this.view);
  }

  /** The kept bytes do not start a frame: drops them up to the next place where one may start. */
  private restart(): void {
    const kept = this.pending.subarray(0, this.pendingLength);
    const at = nextMagic(kept, 1);
    this.reset();
    this.handler.onSkipped(at);
    if (at < kept.length && !this.stopped) this.keep(kept, at, kept.length);
  }

  private skipGarbage(b: Buffer, from: number): number {
    const at = nextMagic(b, from + 1);
    this.handler.onSkipped(at - from);
    return this.stopped ? b.length : at;
  }

  private keep(b: Buffer, from: number, end: number): void {
    this.pending = EMPTY;
    this.pendingLength = 0;
    this.reserve(end - from);
    b.copy(this.pending, 0, from, end);
    this.pendingLength = end - from;
  }

  /** Copies up to a total of `whole` bytes; returns how many. */
  private take(chunk: Buffer, from: number, whole: number): number {
    const count = Math.min(whole - this.pendingLength, chunk.length - from);
    this.reserve(this.pendingLength + count);
    chunk.copy(this.pending, this.pendingLength, from, from + count);
    this.pendingLength += count;
    return count;
  }

  private reserve(bytes: number): void {
    if (bytes <= this.pending.length) return;
    const capacity = Math.max(bytes, FIRST_PENDING_BYTES, this.pending.length * 2);
    const next = Buffer.allocUnsafeSlow(Math.min(capacity, MCP_HEADER_BYTES + this.maxMessageBytes));
    this.pending.copy(next, 0, 0, this.pendingLength);
    this.pending = next;
  }
}

function startsWithMagic(b: Buffer, at: number): boolean {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) === MCP_MAGIC_WORD;
}

function lengthAt(b: Buffer, frame: number): number {
  return ((b[frame + 4]! << 24) | (b[frame + 5]! << 16) | (b[frame + 6]! << 8) | b[frame + 7]!) >>> 0;
}

/** True when `[from, end)` may be the first bytes of a frame. */
function isMagicPrefix(b: Buffer, from: number, end: number): boolean {
  const count = Math.min(end - from, MAGIC.length);
  for (let i = 0; i < count; i++) if (b[from + i] !== MAGIC[i]) return false;
  return true;
}

/** Where the next frame may start at or behind `from`; the end when nowhere. */
function nextMagic(b: Buffer, from: number): number {
  const found = b.indexOf(MAGIC, from);
  if (found >= 0) return found;
  for (let at = Math.max(from, b.length - MAGIC.length + 1); at < b.length; at++) {
    if (isMagicPrefix(b, at, b.length)) return at;
  }
  return b.length;
}
