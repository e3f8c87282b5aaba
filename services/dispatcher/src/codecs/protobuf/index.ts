export { protobufPlugin as plugin } from "./protobuf-plugin.js";
