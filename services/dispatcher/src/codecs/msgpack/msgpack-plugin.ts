import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";
import { plainCodec } from "../plain.js";

/** `codec: msgpack` */
export const msgpackPlugin: CodecPlugin = {
  kind: "msgpack",
  load: async () => plainCodec(payloadCodecs.msgpack),
};
