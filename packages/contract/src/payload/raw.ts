/** Bytes as they are. */
import type { PayloadCodec } from "./codec.js";
import { badPayload, checkBytes } from "./limits.js";

export const rawCodec: PayloadCodec = {
  name: "raw",
  contentType: "application/octet-stream",

  decode(payload, limits) {
    checkBytes(payload.length, limits);
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  },

  encode(value, limits) {
    if (typeof value !== "string" && !(value instanceof Uint8Array)) {
      throw badPayload(`raw takes bytes or text, not ${value === null ? "null" : typeof value}`);
    }
    const out = Buffer.from(value as Uint8Array);
    checkBytes(out.length, limits);
    return out;
  },
};
