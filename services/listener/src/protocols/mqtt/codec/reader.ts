/** Reads the fields of one control packet; every access is checked against the packet's end. */
import { isUtf8 } from "node:buffer";
import { malformed } from "./fault.js";

const EMPTY = Buffer.alloc(0);

/** A cursor over `bytes[at, end)`. One is reused for all packets that are not on the hot path. */
export class PacketReader {
  bytes: Buffer = EMPTY;
  at = 0;
  end = 0;

  reset(bytes: Buffer, start: number, end: number): this {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    return this;
  }

  get left(): number {
    return this.end - this.at;
  }

  byte(): number {
    if (this.at >= this.end) throw malformed("truncated", "the packet ends within a field");
    return this.bytes[this.at++]!;
  }

  uint16(): number {
    return (this.byte() << 8) | this.byte();
  }

  uint32(): number {
    return ((this.uint16() << 16) | this.uint16()) >>> 0;
  }

  /** Variable byte integer, section 1.5.5: at most four bytes, and none more than the value needs. MQTT 5 only. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (byte === 0 && shift > 0) {
        throw malformed("remaining_length", "a variable byte integer in more bytes than it needs");
      }
      return value;
    }
    throw malformed("remaining_length", "a variable byte integer of more than four bytes");
  }

  /** Binary data, section 1.5.6, as a view into the packet. */
  binary(): Buffer {
    return this.take(this.uint16());
  }

  /** A UTF-8 string, section 1.5.4, checked: valid UTF-8, no surrogates, no NUL. */
  text(): string {
    const bytes = this.binary();
    if (!isText(bytes, 0, bytes.length)) throw malformed("utf8", "a string that is not UTF-8 or holds NUL");
    return bytes.toString("utf8");
  }

  take(length: number): Buffer {
    if (length > this.left) throw malformed("truncated", "a length runs over the end of the packet");
    const start = this.at;
    this.at += length;
    return this.bytes.subarray(start, this.at);
  }

  /** Throws unless the packet has been read to its end. */
  finish(): void {
    if (this.at !== this.end) throw malformed("trailing", `${this.left} bytes too many in the packet`);
  }
}

/** UTF-8 as MQTT wants it: well-formed and without U+0000. */
export function isText(bytes: Buffer, start: number, end: number): boolean {
  const part = bytes.subarray(start, end);
  return part.indexOf(0) < 0 && isUtf8(part);
}
