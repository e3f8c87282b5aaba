import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";
import { plainCodec } from "../plain.js";

/** `codec: json` */
export const jsonPlugin: CodecPlugin = {
  kind: "json",
  load: async () => plainCodec(payloadCodecs.json),
};
