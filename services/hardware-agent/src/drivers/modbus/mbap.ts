/** Frames of Modbus TCP: transaction, protocol, length, unit, PDU (Modbus Messaging on TCP/IP 1.0b, 3.1.3). */
import { MAX_PDU_BYTES } from "./functions.table.js";

/** Bytes before the PDU. */
export const MBAP_BYTES = 7;
const MAX_FRAME_BYTES = MBAP_BYTES + MAX_PDU_BYTES;

/** A whole frame around a PDU; `transaction` is 16 bits. */
export function encodeMbap(transaction: number, unit: number, pdu: Uint8Array): Uint8Array {
  const frame = new Uint8Array(MBAP_BYTES + pdu.length);
  frame[0] = transaction >> 8;
  frame[1] = transaction & 0xff;
  frame[4] = (pdu.length + 1) >> 8;
  frame[5] = (pdu.length + 1) & 0xff;
  frame[6] = unit;
  frame.set(pdu, MBAP_BYTES);
  return frame;
}

/** Called for each frame; the bytes are valid until it returns. */
export type MbapHandler = (
  transaction: number,
  unit: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => void;

/** Cuts a stream of a connection into frames. Frames that lie whole in a chunk are not copied. */
export class MbapReader {
  readonly #rest = new Uint8Array(MAX_FRAME_BYTES);
  #restLength = 0;
  readonly #handler: MbapHandler;

  constructor(handler: MbapHandler) {
    this.#handler = handler;
  }

  /** A new connection begins: what is left of the last one goes. */
  reset(): void {
    this.#restLength = 0;
  }

  /**
   * Takes what arrived. False as soon as it is no Modbus: the stream has no marks to find the next frame by, so the
   * connection is of no use any more.
   */
  push(chunk: Uint8Array): boolean {
    let at = 0;
    while (this.#restLength > 0) {
      const wanted = this.#restLength < MBAP_BYTES ? MBAP_BYTES : frameBytes(this.#rest, 0);
      if (wanted === undefined) return false;
      const size = Math.min(wanted - this.#restLength, chunk.length - at);
      this.#rest.set(chunk.subarray(at, at + size), this.#restLength);
      this.#restLength += size;
      at += size;
      if (this.#restLength < wanted) return true;
      if (wanted === MBAP_BYTES) continue;
      this.#restLength = 0;
      this.#hand(this.#rest, 0, wanted);
    }
    while (chunk.length - at >= MBAP_BYTES) {
      const whole = frameBytes(chunk, at);
      if (whole === undefined) return false;
      if (chunk.length - at < whole) break;
      this.#hand(chunk, at, whole);
      at += whole;
    }
    this.#rest.set(chunk.subarray(at));
    this.#restLength = chunk.length - at;
    return true;
  }

  #hand(bytes: Uint8Array, at: number, whole: number): void {
    const transaction = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    this.#handler(transaction, bytes[at + 6] as number, bytes, at + MBAP_BYTES, at + whole);
  }
}

/** Bytes of the frame whose head is at `at`; undefined where that is no head of Modbus. */
function frameBytes(bytes: Uint8Array, at: number): number | undefined {
  const length = ((bytes[at + 4] as number) << 8) | (bytes[at + 5] as number);
  const isModbus = bytes[at + 2] === 0 && bytes[at + 3] === 0 && length >= 2 && length <= MAX_PDU_BYTES + 1;
  return isModbus ? MBAP_BYTES - 1 + length : undefined;
}
