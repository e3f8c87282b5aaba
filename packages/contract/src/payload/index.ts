import type { PayloadCodec, PayloadCodecName } from "./codec.js";
import { jsonCodec } from "./json.js";
import { msgpackCodec } from "./msgpack.js";
import { rawCodec } from "./raw.js";

export type { PayloadCodec, PayloadCodecName, PayloadLimits } from "./codec.js";
export { DEFAULT_PAYLOAD_LIMITS } from "./limits.js";

/** Every codec, by the name that routes use. */
export const payloadCodecs = {
  json: jsonCodec,
  msgpack: msgpackCodec,
  raw: rawCodec,
} as const satisfies Record<PayloadCodecName, PayloadCodec>;

const BY_TYPE: ReadonlyMap<string, PayloadCodec> = new Map<string, PayloadCodec>([
  ["application/json", jsonCodec],
  ["text/json", jsonCodec],
  ["application/msgpack", msgpackCodec],
  ["application/vnd.msgpack", msgpackCodec],
  ["application/x-msgpack", msgpackCodec],
  ["application/octet-stream", rawCodec],
]);

/**
 * The codec for a content type; parameters and case do not matter, `+json` and `+msgpack` suffixes count (RFC 6839).
 * Undefined for other types, and for none.
 */
export function codecForContentType(contentType: string): PayloadCodec | undefined {
  const semicolon = contentType.indexOf(";");
  const type = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
  const known = BY_TYPE.get(type);
  if (known !== undefined) return known;
  if (type.endsWith("+json")) return jsonCodec;
  return type.endsWith("+msgpack") ? msgpackCodec : undefined;
}
