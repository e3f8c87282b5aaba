import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";

/** `codec: json` */
export const jsonPlugin: CodecPlugin = {
  kind: "json",
  load: async () => payloadCodecs.json,
};
