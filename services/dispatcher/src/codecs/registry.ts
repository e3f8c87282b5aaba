/** Every codec: one line each. Key = folder = word in a route. */
import type { CodecRegistry } from "./codec.js";

export const codecs = {
  json: () => import("./json/index.js"),
  msgpack: () => import("./msgpack/index.js"),
  profile: () => import("./profile/index.js"),
  protobuf: () => import("./protobuf/index.js"),
  raw: () => import("./raw/index.js"),
} satisfies CodecRegistry;
