/** Packets by hand, for what no library agrees to write. */

/** Numbers are bytes; strings are length-prefixed UTF-8. */
export type Part = number | string | Uint8Array;

/** The parts one behind the other. */
export function bytes(...parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "number") return Buffer.of(part);
      return typeof part === "string" ? prefixed(Buffer.from(part)) : part;
    }),
  );
}

/** A packet: first byte, remaining length, and the parts. */
export function packet(first: number, ...parts: readonly Part[]): Buffer {
  const body = bytes(...parts);
  return Buffer.concat([Buffer.of(first), varint(body.length), body]);
}

/** MQTT 5 properties: their length, then they. */
export function properties(...parts: readonly Part[]): Buffer {
  const body = bytes(...parts);
  return Buffer.concat([varint(body.length), body]);
}

/** Two bytes. */
export const u16 = (value: number): Buffer => Buffer.of(value >>> 8, value & 0xff);

/** Four bytes. */
export const u32 = (value: number): Buffer => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);

/** Bytes with their length in front of them. */
export const prefixed = (data: Uint8Array): Buffer => Buffer.concat([u16(data.length), data]);

/** A variable byte integer. */
export function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    out.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Buffer.from(out);
}
