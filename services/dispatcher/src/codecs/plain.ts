/** Codecs that need nothing but the payload. */
import type { PayloadCodec } from "@myelin/contract";
import type { Codec } from "./codec.js";

/** One of the contract's codecs, within its usual limits. */
export function plainCodec(codec: PayloadCodec): Codec {
  return {
    contentType: codec.contentType,
    decode: (payload) => codec.decode(payload),
    encode: (value) => codec.encode(value),
  };
}
