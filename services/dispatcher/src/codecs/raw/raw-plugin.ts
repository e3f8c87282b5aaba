import { payloadCodecs } from "@myelin/contract";
import type { CodecPlugin } from "../codec.js";

/** `codec: raw` */
export const rawPlugin: CodecPlugin = {
  kind: "raw",
  load: async () => payloadCodecs.raw,
};
