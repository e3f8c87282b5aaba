/** Cuts a stream of bytes into control packets, for looking at them only: it keeps the beginning of long ones and never throws. */

/** Of each packet so much is kept: names and properties stand in front. */
const MAX_KEPT_BYTES = 16 * 1024;
const MAX_HEADER_BYTES = 5;

/** A packet as far as it was kept; valid during the call only. */
export interface CutPacket {
  readonly bytes: Buffer;
  /** Where its body begins in `bytes`. */
  readonly bodyStart: number;
  /** Bytes of the whole packet. */
  readonly size: number;
}

export class PacketCutter {
  /** The beginning of a packet whose end has not come. */
  private begun: Buffer | undefined = undefined;
  private seen = 0;
  private isBroken = false;

  push(chunk: Buffer, visit: (packet: CutPacket) => void): void {
    let at = 0;
    while (at < chunk.length && !this.isBroken) {
      if (this.begun !== undefined) {
        at = this.goOn(chunk, at, visit);
        continue;
      }
      const header = headerOf(chunk, at, chunk.length);
      if (header === undefined) {
        this.begin(chunk.subarray(at));
        return;
      }
      if (at + header.size > chunk.length) {
        this.begin(chunk.subarray(at));
        return;
      }
      const bytes = chunk.subarray(at, at + Math.min(header.size, MAX_KEPT_BYTES));
      visit({ bytes, ...header });
      at += header.size;
    }
  }

  private begin(rest: Buffer): void {
    if (headerOf(rest, 0, rest.length) === undefined && rest.length >= MAX_HEADER_BYTES) {
      // No length at all: the connection is about to end for it.
      this.isBroken = true;
      return;
    }
    this.begun = Buffer.from(rest.subarray(0, MAX_KEPT_BYTES));
    this.seen = rest.length;
  }

  /** Takes what is missing of the begun packet; returns where the chunk goes on. */
  private goOn(chunk: Buffer, at: number, visit: (packet: CutPacket) => void): number {
    const begun = this.begun!;
    const header = headerOf(begun, 0, begun.length);
    if (header === undefined) {
      // Byte by byte until the length is known.
      this.begun = undefined;
      this.begin(Buffer.concat([begun, chunk.subarray(at, at + 1)]));
      this.endIfWhole(visit);
      return at + 1;
    }
    const take = Math.min(header.size - this.seen, chunk.length - at);
    const kept = Math.min(take, Math.max(0, MAX_KEPT_BYTES - begun.length));
    if (kept > 0) this.begun = Buffer.concat([begun, chunk.subarray(at, at + kept)]);
    this.seen += take;
    this.endIfWhole(visit);
    return at + take;
  }

  private endIfWhole(visit: (packet: CutPacket) => void): void {
    const bytes = this.begun;
    const header = bytes && headerOf(bytes, 0, bytes.length);
    if (bytes === undefined || header === undefined || this.seen < header.size) return;
    this.begun = undefined;
    visit({ bytes, ...header });
  }
}

/** Undefined: the header is not there in whole, or is none. */
function headerOf(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly bodyStart: number; readonly size: number } | undefined {
  let length = 0;
  for (let i = 1; i < MAX_HEADER_BYTES; i++) {
    if (start + i >= end) return undefined;
    const byte = bytes[start + i]!;
    length |= (byte & 0x7f) << (7 * (i - 1));
    if (byte < 0x80) return { bodyStart: i + 1, size: i + 1 + length };
  }
  return undefined;
}
