/** Looks over MessagePack bytes without building anything: every length must be there, nothing too deep, no unknown extension. */
import { badPayload } from "./limits.js";

const TIMESTAMP = 0xff;

/**
 * Accepts exactly one value that fills the payload.
 * @throws AppError `contract.bad_payload`
 */
export function checkMsgpack(b: Uint8Array, maxDepth: number): void {
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  // Values still to come at each open level; the levels are arrays and maps.
  const open: number[] = [1];
  let at = 0;

  const size = (bytes: 1 | 2 | 4): number => {
    if (at + bytes > b.length) throw badPayload("MessagePack that ends within a length");
    const value = bytes === 1 ? view.getUint8(at) : bytes === 2 ? view.getUint16(at) : view.getUint32(at);
    at += bytes;
    return value;
  };
  const skip = (bytes: number): void => {
    if (bytes > b.length - at) throw badPayload("MessagePack that ends within a value");
    at += bytes;
  };
  const enter = (values: number): void => {
    // Each value takes a byte at least.
    if (values > b.length - at) throw badPayload("MessagePack that announces more values than it has bytes");
    if (open.length > maxDepth) throw badPayload(`MessagePack deeper than ${maxDepth}`);
    open.push(values);
  };
  const extension = (bytes: number): void => {
    const type = size(1);
    if (type !== TIMESTAMP || (bytes !== 4 && bytes !== 8 && bytes !== 12)) {
      throw badPayload(`MessagePack with the extension ${type}`);
    }
    skip(bytes);
  };

  while (open.length > 0) {
    const top = open.length - 1;
    if (open[top] === 0) {
      open.pop();
      continue;
    }
    open[top] = (open[top] as number) - 1;
    const byte = size(1);
    if (byte <= 0x7f || byte >= 0xe0 || byte === 0xc0 || byte === 0xc2 || byte === 0xc3) continue;
    if (byte <= 0x8f) enter(2 * (byte & 0x0f));
    else if (byte <= 0x9f) enter(byte & 0x0f);
    else if (byte <= 0xbf) skip(byte & 0x1f);
    else if (byte === 0xc4 || byte === 0xd9) skip(size(1));
    else if (byte === 0xc5 || byte === 0xda) skip(size(2));
    else if (byte === 0xc6 || byte === 0xdb) skip(size(4));
    else if (byte === 0xc7) extension(size(1));
    else if (byte === 0xc8) extension(size(2));
    else if (byte === 0xc9) extension(size(4));
    else if (byte === 0xca || byte === 0xce || byte === 0xd2) skip(4);
    else if (byte === 0xcb || byte === 0xcf || byte === 0xd3) skip(8);
    else if (byte === 0xcc || byte === 0xd0) skip(1);
    else if (byte === 0xcd || byte === 0xd1) skip(2);
    else if (byte >= 0xd4 && byte <= 0xd8) extension(1 << (byte - 0xd4));
    else if (byte === 0xdc) enter(size(2));
    else if (byte === 0xdd) enter(size(4));
    else if (byte === 0xde) enter(2 * size(2));
    else if (byte === 0xdf) enter(2 * size(4));
    else throw badPayload("MessagePack with the byte 0xc1, which it never has");
  }
  if (at !== b.length) throw badPayload(`${b.length - at} bytes behind the MessagePack value`);
}
