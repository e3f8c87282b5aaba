/** RTU frames: unit, PDU and checksum; replies are found by what they must be, not by silence around them. */
import { crc16 } from "./crc.js";
import { identificationLength, judgeReply, replyLength } from "./pdu.js";

/** Longest frame on a serial line. */
export const MAX_RTU_BYTES = 256;

/** What arrived when no reply did: decides which reason the samples carry. */
export type RtuTrouble = "silence" | "noise" | "truncated" | "corrupt" | "wrong_unit" | "wrong_reply";

/** A whole frame around a PDU. */
export function encodeRtu(unit: number, pdu: Uint8Array): Uint8Array {
  const frame = new Uint8Array(pdu.length + 3);
  frame[0] = unit;
  frame.set(pdu, 1);
  const crc = crc16(frame, 0, pdu.length + 1);
  frame[pdu.length + 1] = crc & 0xff;
  frame[pdu.length + 2] = crc >> 8;
  return frame;
}

/** The PDU in a whole frame; undefined where the checksum is wrong. For servers and for logs of frames. */
export function decodeRtu(
  frame: Uint8Array,
): { readonly unit: number; readonly pdu: Uint8Array } | undefined {
  if (frame.length < 4 || frame.length > MAX_RTU_BYTES || !isSealed(frame, 0, frame.length)) return undefined;
  return { unit: frame[0] as number, pdu: frame.subarray(1, frame.length - 2) };
}

// Room for a reply behind a whole frame of somebody else and as much noise; older bytes go first.
const CAPACITY = 4 * MAX_RTU_BYTES;

/**
 * Finds the reply to one open request in whatever arrives. Timing says nothing here: adapters, gateways and kernels
 * cut a frame into pieces as they like. A frame counts only if unit, function, length, byte count, repeated fields and
 * checksum fit; at every place of the stream one may begin.
 */
export class RtuReader {
  /** What `push` has found lies here, until the next `expect`. */
  readonly bytes = new Uint8Array(CAPACITY);
  #length = 0;
  #unit = 0;
  #request: Uint8Array = new Uint8Array(0);
  #replyBytes: number | undefined;
  #start = 0;
  #end = 0;
  #sent: Uint8Array | undefined;
  // Where the echo lies that was taken for a reply at first sight; -1 where none does.
  #echoAt = -1;

  /** The PDU of the reply: `bytes[start … end)`. */
  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  /**
   * Opens a request; what came before is forgotten. With `sent`, the frame as it was sent, the first frame that is like
   * it counts as given back by the line and not as the reply.
   */
  expect(unit: number, request: Uint8Array, sent?: Uint8Array): void {
    this.#length = 0;
    this.#unit = unit;
    this.#request = request;
    this.#sent = sent;
    this.#echoAt = -1;
    const pduBytes = replyLength(request);
    this.#replyBytes = pduBytes === undefined ? undefined : pduBytes + 3;
  }

  /** Takes what arrived; copies it. */
  push(chunk: Uint8Array): "pending" | "good" | "exception" {
    let from = 0;
    while (from < chunk.length) {
      // In slices, so that more than fits is searched piece by piece and not thrown away unseen.
      const slice = Math.min(chunk.length - from, CAPACITY - MAX_RTU_BYTES);
      this.#append(chunk, from, from + slice);
      from += slice;
      const found = this.#search();
      if (found !== "pending") return found;
    }
    return "pending";
  }

  /** What came before the reply that was found: the frame `sent`, once more, or nothing, or something else. */
  before(sent: Uint8Array): "echo" | "nothing" | "noise" {
    const end = this.#start - 1;
    if (end === 0) return "nothing";
    for (let at = 0; at + sent.length <= end; at++) if (isAt(this.bytes, at, sent)) return "echo";
    return "noise";
  }

  /** What arrived since `expect`, where nothing of it was the reply. `sent` is no trouble where it is all there is. */
  trouble(sent: Uint8Array): RtuTrouble {
    if (this.#length === 0 || (this.#length === sent.length && isAt(this.bytes, 0, sent))) return "silence";
    let seen: RtuTrouble = "noise";
    for (let at = isAt(this.bytes, 0, sent) ? sent.length : 0; at + 1 < this.#length; at++) {
      const foreign = foreignFrame(this.bytes, at, this.#length);
      if (foreign) return this.bytes[at] === this.#unit ? "wrong_reply" : "wrong_unit";
      if (seen !== "noise" || this.bytes[at] !== this.#unit) continue;
      if (((this.bytes[at + 1] as number) & 0x7f) !== this.#request[0]) continue;
      const whole = this.#wholeLength(at);
      seen = whole === undefined || at + whole > this.#length ? "truncated" : "corrupt";
    }
    return seen;
  }

  #append(chunk: Uint8Array, from: number, to: number): void {
    const size = to - from;
    const excess = this.#length + size - CAPACITY;
    if (excess > 0) {
      this.bytes.copyWithin(0, excess, this.#length);
      this.#length -= excess;
      // An echo that was pushed out is not looked for again: what comes now is newer.
      if (this.#echoAt >= 0) this.#echoAt = Math.max(0, this.#echoAt - excess);
    }
    this.bytes.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), this.#length);
    this.#length += size;
  }

  #search(): "pending" | "good" | "exception" {
    const { bytes } = this;
    const fn = this.#request[0] as number;
    for (let at = 0; at + 5 <= this.#length; at++) {
      if (bytes[at] !== this.#unit || ((bytes[at + 1] as number) & 0x7f) !== fn) continue;
      const whole = this.#wholeLength(at);
      if (whole === undefined || at + whole > this.#length) continue;
      const verdict = judgeReply(this.#request, bytes, at + 1, at + whole - 2);
      if (verdict === "other" || !isSealed(bytes, at, at + whole) || this.#isEcho(at, whole)) continue;
      this.#start = at + 1;
      this.#end = at + whole - 2;
      return verdict;
    }
    return "pending";
  }

  #isEcho(at: number, whole: number): boolean {
    if (this.#sent === undefined || this.#sent.length !== whole) return false;
    if (this.#echoAt < 0 && isAt(this.bytes, at, this.#sent)) this.#echoAt = at;
    return this.#echoAt === at;
  }

  #wholeLength(at: number): number | undefined {
    if ((this.bytes[at + 1] as number) >= 0x80) return 5;
    if (this.#replyBytes !== undefined) return this.#replyBytes;
    const pduBytes = identificationLength(this.bytes, at + 1, this.#length);
    return pduBytes === undefined ? undefined : pduBytes + 3;
  }
}

/** Whether any whole reply, to whatever request, stands at `at`. */
function foreignFrame(bytes: Uint8Array, at: number, end: number): boolean {
  const fn = bytes[at + 1] as number;
  let whole: number;
  if (fn > 0x80) whole = 5;
  else if (fn === 5 || fn === 6 || fn === 15 || fn === 16) whole = 8;
  else if (fn === 22) whole = 10;
  else if ((fn >= 1 && fn <= 4) || fn === 23) whole = 5 + (bytes[at + 2] as number);
  else return false;
  return at + whole <= end && isSealed(bytes, at, at + whole);
}

function isAt(bytes: Uint8Array, at: number, frame: Uint8Array): boolean {
  for (let i = 0; i < frame.length; i++) if (bytes[at + i] !== frame[i]) return false;
  return true;
}

function isSealed(bytes: Uint8Array, start: number, end: number): boolean {
  const crc = crc16(bytes, start, end - 2);
  return bytes[end - 2] === (crc & 0xff) && bytes[end - 1] === crc >> 8;
}
