import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";

/** `codec: msgpack` */
export const msgpackPlugin: CodecPlugin = {
  kind: "msgpack",
  load: async () => payloadCodecs.msgpack,
};
