/** Envelope fields that few messages carry, written behind the payload. */
import { AppError } from "@myelin/kernel";
import type { Header, Quality, VersionEntry } from "../generated/myelin/envelope/v1/envelope.js";
import { isTopicName } from "../topics.js";
import { BATCH_FLAGS, FIELD, ID_BYTES, MAX_HEAD_STRING_BYTES } from "./layout.js";
import { varint64Size, varintSize, writeFixed64, writeVarint, writeVarint64 } from "./varint.js";

/**
 * All optional; absent means not set. Times in microseconds since the Unix epoch. Read during the call only: a caller may
 * fill one object again and again.
 */
export interface EnvelopeExtras {
  /** 16 bytes; replaces the generated id. Set `senderId` too when it was derived from the sender's. */
  readonly id?: Uint8Array | undefined;
  readonly senderId?: boolean | undefined;
  readonly sourceTimeUs?: number | undefined;
  readonly deviceSequence?: number | undefined;
  readonly quality?: Quality | undefined;
  readonly qualityReason?: string | undefined;
  readonly replayed?: boolean | undefined;
  readonly expiresAtUs?: number | undefined;
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly schemaVersion?: number | undefined;
  readonly headers?: readonly Header[] | undefined;
  readonly versionVector?: readonly VersionEntry[] | undefined;
  readonly retain?: boolean | undefined;
  readonly qos?: number | undefined;
  readonly responsePath?: string | undefined;
  readonly correlation?: Uint8Array | undefined;
  readonly payloadIsText?: boolean | undefined;
}

// Tags of fields 16 to 2047 take two bytes.
const TAG_BYTES = 2;

/**
 * Bytes the extras take in the envelope, the id not counted.
 * @throws AppError `contract.bad_envelope` for numbers that the wire cannot carry, and for an id of another length than 16
 */
export function extrasSize(e: EnvelopeExtras): number {
  if (e.id !== undefined && e.id.length !== ID_BYTES) throw outOfRange("id", e.id.length);
  let size = 0;
  if (number("sourceTimeUs", e.sourceTimeUs, Number.MAX_SAFE_INTEGER) > 0) size += TAG_BYTES + 8;
  const sequence = number("deviceSequence", e.deviceSequence, Number.MAX_SAFE_INTEGER);
  if (sequence > 0) size += TAG_BYTES + varint64Size(sequence);
  size += uint32Size("quality", e.quality);
  size += textSize(e.qualityReason);
  if (e.replayed) size += TAG_BYTES + 1;
  if (number("expiresAtUs", e.expiresAtUs, Number.MAX_SAFE_INTEGER) > 0) size += TAG_BYTES + 8;
  size += textSize(e.traceparent);
  size += textSize(e.tracestate);
  size += uint32Size("schemaVersion", e.schemaVersion);
  if (e.headers !== undefined) for (const header of e.headers) size += blockSize(headerSize(header));
  if (e.versionVector !== undefined) for (const entry of e.versionVector) size += blockSize(entrySize(entry));
  if (e.senderId) size += TAG_BYTES + 1;
  if (e.retain) size += TAG_BYTES + 1;
  size += uint32Size("qos", e.qos);
  size += textSize(e.responsePath);
  const correlation = e.correlation === undefined ? 0 : e.correlation.length;
  if (correlation > 0) size += blockSize(correlation);
  if (e.payloadIsText) size += TAG_BYTES + 1;
  return size;
}

/**
 * Checks extras that come from outside before any of them is appended: all that `appendWith` refuses, and what no subscriber can be
 * told. An MQTT client takes no string with NUL, none beyond 65,535 bytes, and no wildcard in a response topic.
 * @throws AppError `contract.bad_envelope`
 */
export function checkExtras(e: EnvelopeExtras): void {
  extrasSize(e);
  const { responsePath = "", correlation, headers = [] } = e;
  if (responsePath !== "" && (!isTopicName(responsePath) || isUntellable(responsePath))) {
    throw new AppError("contract.bad_envelope", "a response path that is too long, or has wildcards or NUL");
  }
  if (correlation !== undefined && correlation.length > MAX_HEAD_STRING_BYTES) {
    throw new AppError("contract.bad_envelope", `a correlation of ${correlation.length} bytes`);
  }
  if (headers.some(({ name, value }) => isUntellable(name) || isUntellable(value))) {
    throw new AppError("contract.bad_envelope", "a header that is too long or has NUL");
  }
}

function isUntellable(text: string): boolean {
  return Buffer.byteLength(text) > MAX_HEAD_STRING_BYTES || text.includes("\0");
}

/** Writes the extras at `offset` in field order; they take `extrasSize` bytes. */
export function writeExtras(b: Buffer, offset: number, e: EnvelopeExtras): void {
  let at = offset;
  if (e.sourceTimeUs) at = writeFixed64(b, tag(b, at, FIELD.sourceTimeUs, 1), e.sourceTimeUs);
  if (e.deviceSequence) at = writeVarint64(b, tag(b, at, FIELD.deviceSequence, 0), e.deviceSequence);
  if (e.quality) at = writeVarint(b, tag(b, at, FIELD.quality, 0), e.quality);
  at = writeText(b, at, FIELD.qualityReason, e.qualityReason);
  if (e.replayed) at = writeVarint(b, tag(b, at, FIELD.replayed, 0), 1);
  if (e.expiresAtUs) at = writeFixed64(b, tag(b, at, FIELD.expiresAtUs, 1), e.expiresAtUs);
  at = writeText(b, at, FIELD.traceparent, e.traceparent);
  at = writeText(b, at, FIELD.tracestate, e.tracestate);
  if (e.schemaVersion) at = writeVarint(b, tag(b, at, FIELD.schemaVersion, 0), e.schemaVersion);
  if (e.headers !== undefined) for (const header of e.headers) at = writeHeader(b, at, header);
  if (e.versionVector !== undefined) for (const entry of e.versionVector) at = writeEntry(b, at, entry);
  if (e.senderId) at = writeVarint(b, tag(b, at, FIELD.senderId, 0), 1);
  if (e.retain) at = writeVarint(b, tag(b, at, FIELD.retain, 0), 1);
  if (e.qos) at = writeVarint(b, tag(b, at, FIELD.qos, 0), e.qos);
  at = writeText(b, at, FIELD.responsePath, e.responsePath);
  if (e.correlation !== undefined && e.correlation.length > 0) {
    at = writeVarint(b, tag(b, at, FIELD.correlation, 2), e.correlation.length);
    b.set(e.correlation, at);
    at += e.correlation.length;
  }
  if (e.payloadIsText) writeVarint(b, tag(b, at, FIELD.payloadIsText, 0), 1);
}

/** The batch flags these extras need. */
export function extrasFlags(e: EnvelopeExtras): number {
  return (
    (e.senderId ? BATCH_FLAGS.senderIds : 0) |
    (e.expiresAtUs ? BATCH_FLAGS.expiry : 0) |
    (e.headers !== undefined && e.headers.length > 0 ? BATCH_FLAGS.headers : 0) |
    (e.traceparent ? BATCH_FLAGS.traced : 0) |
    (e.retain ? BATCH_FLAGS.retained : 0)
  );
}

function outOfRange(name: string, value: number): AppError {
  return new AppError("contract.bad_envelope", `${name} of an envelope cannot be ${value}`);
}

/** The value, or 0 when it is not set. */
function number(name: string, value: number | undefined, max: number): number {
  if (value === undefined) return 0;
  if (!(value >= 0 && value <= max) || Math.floor(value) !== value) throw outOfRange(name, value);
  return value;
}

function uint32Size(name: string, value: number | undefined): number {
  const checked = number(name, value, 0xffff_ffff);
  return checked === 0 ? 0 : TAG_BYTES + varintSize(checked);
}

function blockSize(bytes: number): number {
  return TAG_BYTES + varintSize(bytes) + bytes;
}

function textSize(text: string | undefined): number {
  return text === undefined || text === "" ? 0 : blockSize(Buffer.byteLength(text));
}

/** Size of a string field with a one-byte tag. */
function smallTextSize(text: string): number {
  if (text === "") return 0;
  const bytes = Buffer.byteLength(text);
  return 1 + varintSize(bytes) + bytes;
}

function headerSize(header: Header): number {
  return smallTextSize(header.name) + smallTextSize(header.value);
}

function entrySize(entry: VersionEntry): number {
  const count = number("a version count", entry.count, Number.MAX_SAFE_INTEGER);
  return smallTextSize(entry.writer) + (count === 0 ? 0 : 1 + varint64Size(count));
}

function tag(b: Buffer, at: number, field: number, wireType: number): number {
  const value = (field << 3) | wireType;
  b[at] = (value & 0x7f) | 0x80;
  b[at + 1] = value >>> 7;
  return at + TAG_BYTES;
}

function writeText(b: Buffer, at: number, field: number, text: string | undefined): number {
  if (text === undefined || text === "") return at;
  const body = writeVarint(b, tag(b, at, field, 2), Buffer.byteLength(text));
  return body + b.write(text, body, "utf8");
}

function writeSmallText(b: Buffer, at: number, field: number, text: string): number {
  if (text === "") return at;
  b[at] = (field << 3) | 2;
  const body = writeVarint(b, at + 1, Buffer.byteLength(text));
  return body + b.write(text, body, "utf8");
}

function writeHeader(b: Buffer, at: number, header: Header): number {
  const body = writeVarint(b, tag(b, at, FIELD.headers, 2), headerSize(header));
  return writeSmallText(b, writeSmallText(b, body, 1, header.name), 2, header.value);
}

function writeEntry(b: Buffer, at: number, entry: VersionEntry): number {
  const body = writeVarint(b, tag(b, at, FIELD.versionVector, 2), entrySize(entry));
  const next = writeSmallText(b, body, 1, entry.writer);
  if (entry.count === 0) return next;
  b[next] = 2 << 3;
  return writeVarint64(b, next + 1, entry.count);
}
