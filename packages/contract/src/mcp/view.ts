/** Reads an MCP message in place: notes where the fields lie, decodes only what is asked for. */
import { AppError } from "@myelin/kernel";
import { readFixed64 } from "../batch/varint.js";
import { MCP_FIELD } from "./layout.js";
import {
  decodeControl,
  decodeHardware,
  decodeResult,
  decodeVersionCount,
  type McpControl,
  type McpControlKind,
  type McpLane,
  type McpMessage,
  mcpLanes,
  mcpQualities,
} from "./message.js";

const EMPTY = Buffer.alloc(0);

const CONTROL_KINDS: readonly McpControlKind[] = ["hello", "welcome", "ping", "pong", "ack", "error", "bye"];

function bad(what: string, at: number): AppError {
  return new AppError("contract.bad_frame", `${what} at byte ${at} of an MCP message`, { details: { at } });
}

/**
 * A reusable cursor over one message. Positions are offsets into `bytes`; a field that is not set has start and end 0.
 * `bytes` belongs to whoever called `read`: positions and slices are valid as long as it says.
 */
export class McpMessageView {
  bytes: Buffer = EMPTY;
  /** The message without its frame header. */
  start = 0;
  end = 0;

  idStart = 0;
  idEnd = 0;
  typeStart = 0;
  typeEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
  deviceIdStart = 0;
  deviceIdEnd = 0;
  contentTypeStart = 0;
  contentTypeEnd = 0;
  traceparentStart = 0;
  traceparentEnd = 0;
  version = 0;
  sequence = 0;
  ttlMs = 0;
  sourceTimeUs = 0;
  /** 0: not set, 1: telemetry, 2: event; other values come from senders of a later version. */
  laneNumber = 0;
  /** Field number of the last control message, 0 for none: the message is data. */
  controlField = 0;
  /**
   * True when the message carries more than the fields above (a hardware command or its result, a control message, a
   * version vector, a response path, quality, the replayed mark): `toMessage` has it all.
   */
  rare = false;

  private cursor = 0;

  /**
   * Notes the fields of the message in `[start, end)`; copies nothing, allocates nothing. Nested messages are not looked into.
   * @throws AppError `contract.bad_frame` when the bytes are not a Protobuf message
   */
  read(bytes: Buffer, start: number, end: number): void {
    this.clear(bytes, start, end);
    let at = start;
    while (at < end) {
      const tag = bytes[at]!;
      switch (tag) {
        case 0x0a:
          this.idStart = this.length(at + 1);
          at = this.idEnd = this.cursor;
          break;
        case 0x12:
          this.typeStart = this.length(at + 1);
          at = this.typeEnd = this.cursor;
          break;
        case 0x1a:
          this.payloadStart = this.length(at + 1);
          at = this.payloadEnd = this.cursor;
          break;
        case 0x28:
          this.version = this.uint32(at + 1);
          at = this.cursor;
          break;
        case 0x30:
          this.sequence = this.uint64(at + 1);
          at = this.cursor;
          break;
        case 0x38:
          this.ttlMs = this.uint32(at + 1);
          at = this.cursor;
          break;
        case 0x42:
          this.traceparentStart = this.length(at + 1);
          at = this.traceparentEnd = this.cursor;
          break;
        case 0x59:
          if (at + 9 > end) throw bad("a field that runs over the end", at);
          this.sourceTimeUs = this.safe(readFixed64(bytes, at + 1), at);
          at += 9;
          break;
        case 0x62:
          this.contentTypeStart = this.length(at + 1);
          at = this.contentTypeEnd = this.cursor;
          break;
        case 0x6a:
          this.deviceIdStart = this.length(at + 1);
          at = this.deviceIdEnd = this.cursor;
          break;
        case 0x70:
          this.laneNumber = this.uint32(at + 1);
          at = this.cursor;
          break;
        default:
          at = this.other(at);
      }
    }
  }

  get id(): string {
    return this.bytes.toString("utf8", this.idStart, this.idEnd);
  }
  get type(): string {
    return this.bytes.toString("utf8", this.typeStart, this.typeEnd);
  }
  get deviceId(): string {
    return this.bytes.toString("utf8", this.deviceIdStart, this.deviceIdEnd);
  }
  get contentType(): string {
    return this.bytes.toString("utf8", this.contentTypeStart, this.contentTypeEnd);
  }
  get traceparent(): string {
    return this.bytes.toString("utf8", this.traceparentStart, this.traceparentEnd);
  }
  get lane(): McpLane | undefined {
    return mcpLanes.fromWire(this.laneNumber);
  }
  /** Which control message this is; undefined for data. */
  get controlKind(): McpControlKind | undefined {
    return CONTROL_KINDS[this.controlField - MCP_FIELD.hello];
  }
  /** The payload as a view into `bytes`. */
  get payload(): Buffer {
    return this.bytes.subarray(this.payloadStart, this.payloadEnd);
  }

  /**
   * The whole message as an object that keeps nothing of `bytes`.
   * @throws AppError `contract.bad_frame` when a nested message is broken
   */
  toMessage(): McpMessage {
    const extra: Extra = { versionVector: [] };
    if (this.rare) this.readRare(extra);
    return {
      id: this.id,
      type: this.type,
      payload: Buffer.from(this.payload),
      hardware: extra.hardware,
      version: this.version,
      sequence: this.sequence,
      ttlMs: this.ttlMs,
      traceparent: this.traceparent,
      tracestate: extra.tracestate ?? "",
      versionVector: extra.versionVector,
      sourceTimeUs: this.sourceTimeUs,
      contentType: this.contentType,
      deviceId: this.deviceId,
      lane: this.lane,
      responsePath: extra.responsePath ?? "",
      correlation: extra.correlation ?? EMPTY,
      replayed: extra.replayed ?? false,
      quality: extra.quality,
      result: extra.result,
      control: extra.control,
    };
  }

  private readRare(extra: Extra): void {
    const b = this.bytes;
    let at = this.start;
    while (at < this.end) {
      const tag = this.uint32(at);
      const from = this.cursor;
      at = this.skip(tag, from);
      const body = b.subarray((tag & 7) === 2 ? this.length(from) : from, at);
      try {
        readRareField(extra, tag, body, () => this.uint32(from));
      } catch (cause) {
        throw new AppError("contract.bad_frame", `field ${tag >>> 3} of an MCP message is broken`, { cause });
      }
    }
  }

  private clear(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.idStart = this.idEnd = 0;
    this.typeStart = this.typeEnd = 0;
    this.payloadStart = this.payloadEnd = 0;
    this.deviceIdStart = this.deviceIdEnd = 0;
    this.contentTypeStart = this.contentTypeEnd = 0;
    this.traceparentStart = this.traceparentEnd = 0;
    this.version = this.sequence = this.ttlMs = this.sourceTimeUs = this.laneNumber = 0;
    this.controlField = 0;
    this.rare = false;
  }

  /** A field that the hot path does not note; returns the offset behind it. */
  private other(at: number): number {
    const tag = this.uint32(at);
    const field = tag >>> 3;
    if (tag <= 0x7f && this.cursor === at + 1) {
      // A known one-byte tag with another wire type is skipped as unknown, as generated decoders do.
      if (tag === 0x22 || tag === 0x4a || tag === 0x52 || tag === 0x7a) this.rare = true;
    } else {
      if (field < 16) return this.overlongTag(tag, at);
      if (field <= MCP_FIELD.bye) this.rare = true;
      if (field >= MCP_FIELD.hello && field <= MCP_FIELD.bye && (tag & 7) === 2) this.controlField = field;
    }
    return this.skip(tag, this.cursor);
  }

  // Two spellings of one tag would let two readers see two messages in the same bytes.
  private overlongTag(tag: number, at: number): never {
    throw bad(`field ${tag >>> 3} with an overlong tag`, at);
  }

  /** Reads a length; returns where its bytes start and leaves their end in `cursor`. */
  private length(at: number): number {
    const byte = this.bytes[at]!;
    let length = byte;
    let body = at + 1;
    if (byte > 0x7f) {
      length = this.uint32(at);
      body = this.cursor;
    }
    const end = body + length;
    if (!(end <= this.end)) throw bad("a length that runs over the end", at);
    this.cursor = end;
    return body;
  }

  /** Reads a varint's low 32 bits; leaves the offset behind it in `cursor`. */
  private uint32(at: number): number {
    const b = this.bytes;
    let next = at;
    let byte = 0x80;
    let value = 0;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (next >= this.end || shift > 63) throw bad("a broken varint", at);
      byte = b[next++]!;
      if (shift < 32) value |= (byte & 0x7f) << shift;
    }
    this.cursor = next;
    return value >>> 0;
  }

  /** Reads a varint up to 2^53 - 1. */
  private uint64(at: number): number {
    const b = this.bytes;
    let next = at;
    let byte = 0x80;
    let value = 0;
    for (let scale = 1; byte > 0x7f; scale *= 128) {
      if (next >= this.end || scale > 2 ** 63) throw bad("a broken varint", at);
      byte = b[next++]!;
      value += (byte & 0x7f) * scale;
    }
    this.cursor = next;
    return this.safe(value, at);
  }

  private safe(value: number, at: number): number {
    if (value > Number.MAX_SAFE_INTEGER) throw bad("a number above 2^53 - 1", at);
    return value;
  }

  /** Returns the offset behind the value at `at`. */
  private skip(tag: number, at: number): number {
    const wireType = tag & 7;
    if (tag < 8) throw bad("field number 0", at);
    if (wireType === 2) this.length(at);
    else if (wireType === 0) this.uint32(at);
    else if (wireType === 1) this.cursor = at + 8;
    else if (wireType === 5) this.cursor = at + 4;
    else throw bad(`wire type ${wireType}`, at);
    if (this.cursor > this.end) throw bad("a field that runs over the end", at);
    return this.cursor;
  }
}

interface Extra {
  hardware?: McpMessage["hardware"];
  tracestate?: string;
  versionVector: { writer: string; count: number }[];
  responsePath?: string;
  correlation?: Buffer;
  replayed?: boolean;
  quality?: McpMessage["quality"];
  result?: McpMessage["result"];
  control?: McpControl;
}

const LENGTH_DELIMITED = 2;
const VARINT = 0;

function readRareField(extra: Extra, tag: number, body: Buffer, varint: () => number): void {
  const field = tag >>> 3;
  const wireType = tag & 7;
  if (wireType === VARINT) {
    if (field === MCP_FIELD.replayed) extra.replayed = varint() !== 0 || body.some((b) => (b & 0x7f) !== 0);
    else if (field === MCP_FIELD.quality) extra.quality = mcpQualities.fromWire(varint());
  } else if (wireType === LENGTH_DELIMITED) {
    if (field === MCP_FIELD.hardware) extra.hardware = decodeHardware(body);
    else if (field === MCP_FIELD.tracestate) extra.tracestate = body.toString("utf8");
    else if (field === MCP_FIELD.versionVector) extra.versionVector.push(decodeVersionCount(body));
    else if (field === MCP_FIELD.responsePath) extra.responsePath = body.toString("utf8");
    else if (field === MCP_FIELD.correlation) extra.correlation = Buffer.from(body);
    else if (field === MCP_FIELD.result) extra.result = decodeResult(body);
    else {
      const kind = CONTROL_KINDS[field - MCP_FIELD.hello];
      if (kind !== undefined) extra.control = decodeControl(kind, body);
    }
  }
}
