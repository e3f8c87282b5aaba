import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";
import { plainCodec } from "../plain.js";

/** `codec: raw` */
export const rawPlugin: CodecPlugin = {
  kind: "raw",
  load: async () => plainCodec(payloadCodecs.raw),
};
