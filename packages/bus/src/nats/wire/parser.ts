/** Reads the NATS client protocol from chunks that are overwritten after each call. */
import { EMPTY } from "./message.js";

const LF = 10;
const CR = 13;
const SPACE = 32;
/** Subjects, reply and sizes; servers cap their own control lines at 4 KiB, INFO is larger with many servers. */
const MAX_LINE_BYTES = 256 * 1024;
const CRLF_BYTES = 2;
/** More would not fit a message. */
const MAX_DIGITS = 10;

/** What the parser finds. `onMessage` gets bytes that are valid during the call only when `transient` is true. */
export interface ParserEvents {
  /**
   * `line` holds the words between verb and sizes: subject, subscription id, and reply where there is one. `headerBytes` of the
   * head of `payload` are headers.
   */
  onMessage(sid: number, line: Buffer, headerBytes: number, payload: Buffer, transient: boolean): void;
  onInfo(json: string): void;
  onPing(): void;
  onPong(): void;
  onError(text: string): void;
}

/** Something that is not NATS, or a line without end: the connection cannot be read on. */
export class WireProtocolError extends Error {}

/** Incremental. A payload that lies whole in a chunk is handed out in place; one that spans chunks is gathered once. */
export class WireParser {
  readonly #events: ParserEvents;
  readonly #maxPayloadBytes: number;
  #line: Buffer = EMPTY;
  #payload: Buffer | undefined;
  #filled = 0;
  #head: Buffer = EMPTY;
  #sid = 0;
  #headerBytes = 0;

  constructor(events: ParserEvents, maxPayloadBytes: number) {
    this.#events = events;
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  /** @throws WireProtocolError; nothing may be pushed after that */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payload !== undefined) {
        at = this.#gather(chunk, at);
        continue;
      }
      const end = chunk.indexOf(LF, at);
      if (end < 0) {
        this.#keep(chunk.subarray(at));
        return;
      }
      let line: Buffer;
      if (this.#line.length > 0) {
        this.#keep(chunk.subarray(at, end + 1));
        line = this.#line;
        this.#line = EMPTY;
      } else {
        line = chunk.subarray(at, end + 1);
      }
      at = this.#onLine(line, chunk, end + 1);
    }
  }

  #keep(piece: Buffer): void {
    if (this.#line.length + piece.length > MAX_LINE_BYTES)
      throw new WireProtocolError("a protocol line without end");
    this.#line = Buffer.concat([this.#line, piece]);
  }

  /** Handles one line, and the payload behind it where it lies in the chunk; returns the offset behind both. */
  #onLine(raw: Buffer, chunk: Buffer, next: number): number {
    const end =
      raw.length >= CRLF_BYTES && raw[raw.length - 2] === CR ? raw.length - CRLF_BYTES : raw.length - 1;
    switch (raw[0]) {
      case 0x4d: // M
      case 0x6d:
        return this.#onMsg(raw, end, false, chunk, next);
      case 0x48: // H
      case 0x68:
        return this.#onMsg(raw, end, true, chunk, next);
      default:
        this.#onControl(raw.toString("utf8", 0, end));
        return next;
    }
  }

  #onControl(line: string): void {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "PING") this.#events.onPing();
    else if (verb === "PONG") this.#events.onPong();
    else if (verb === "INFO") this.#events.onInfo(line.slice(5));
    else if (verb === "-ERR") this.#events.onError(line.slice(5));
    else if (!verb.startsWith("+OK") && line !== "") {
      throw new WireProtocolError(`no NATS server: it said "${line.slice(0, 40)}"`);
    }
  }

  /** `MSG subject sid [reply] size`, `HMSG subject sid [reply] headerSize size`. */
  #onMsg(line: Buffer, lineEnd: number, withHeaders: boolean, chunk: Buffer, next: number): number {
    const start = line.indexOf(SPACE) + 1;
    let word = wordStart(line, lineEnd);
    const size = numberIn(line, word, lineEnd);
    let end = Math.max(0, word - 1);
    let headerBytes = 0;
    if (withHeaders) {
      word = wordStart(line, end);
      headerBytes = numberIn(line, word, end);
      end = Math.max(0, word - 1);
    }
    const sidStart = line.indexOf(SPACE, start) + 1;
    if (start === 0 || sidStart === 0 || sidStart >= end || size < headerBytes) {
      throw new WireProtocolError("a broken message line");
    }
    if (size > this.#maxPayloadBytes) throw new WireProtocolError(`a message of ${size} bytes`);
    const sidEnd = line.indexOf(SPACE, sidStart);
    const sid = numberIn(line, sidStart, sidEnd < 0 || sidEnd > end ? end : sidEnd);
    if (chunk.length - next >= size + CRLF_BYTES) {
      const payload = chunk.subarray(next, next + size);
      this.#events.onMessage(sid, line.subarray(start, end), headerBytes, payload, true);
      return next + size + CRLF_BYTES;
    }
    this.#payload = Buffer.allocUnsafeSlow(size + CRLF_BYTES);
    this.#filled = 0;
    this.#head = Buffer.from(line.subarray(start, end));
    this.#sid = sid;
    this.#headerBytes = headerBytes;
    return next;
  }

  #gather(chunk: Buffer, at: number): number {
    const payload = this.#payload as Buffer;
    const take = Math.min(payload.length - this.#filled, chunk.length - at);
    chunk.copy(payload, this.#filled, at, at + take);
    this.#filled += take;
    if (this.#filled === payload.length) {
      this.#payload = undefined;
      const body = payload.subarray(0, payload.length - CRLF_BYTES);
      this.#events.onMessage(this.#sid, this.#head, this.#headerBytes, body, false);
    }
    return at + take;
  }
}

/** Where the word before `end` starts. */
function wordStart(line: Buffer, end: number): number {
  let at = end;
  while (at > 0 && line[at - 1] !== SPACE) at--;
  return at;
}

/** The decimal number in `[start, end)`. */
function numberIn(line: Buffer, start: number, end: number): number {
  if (start === end || end - start > MAX_DIGITS) throw new WireProtocolError("a broken size");
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = line[i]! - 48;
    if (digit < 0 || digit > 9) throw new WireProtocolError("a broken size");
    value = value * 10 + digit;
  }
  return value;
}
