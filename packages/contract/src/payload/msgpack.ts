/** MessagePack, as the specification has it: no extension but the timestamp. */
import { Packr, Unpackr } from "msgpackr";
import type { PayloadCodec } from "./codec.js";
import { badPayload, checkBytes, checkValueDepth, maxDepth } from "./limits.js";
import { checkMsgpack } from "./msgpack-check.js";

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  encodeUndefinedAsNil: true,
  moreTypes: false,
  structuredClone: false,
  copyBuffers: true,
  // Numbers where they are exact, bigints beyond; the library knows the word, its types do not.
  int64AsType: "auto" as "bigint",
} as const;

const unpackr = new Unpackr(OPTIONS);
let packr: Packr | undefined;

export const msgpackCodec: PayloadCodec = {
  name: "msgpack",
  contentType: "application/msgpack",

  decode(payload, limits) {
    checkBytes(payload.length, limits);
    // The library allocates what a length announces and knows extensions that build more than data, so it gets checked bytes only.
    checkMsgpack(payload, maxDepth(limits));
    try {
      return unpackr.unpack(payload);
    } catch (cause) {
      throw badPayload(`${payload.length} bytes are not MessagePack`, cause);
    }
  },

  encode(value, limits) {
    checkValueDepth(value, limits);
    packr ??= new Packr(OPTIONS);
    let out: Buffer;
    try {
      // The library packs into a buffer that it goes on using.
      out = Buffer.from(packr.pack(value));
    } catch (cause) {
      packr = undefined;
      throw badPayload("a value that MessagePack cannot carry", cause);
    }
    checkBytes(out.length, limits);
    return out;
  },
};
