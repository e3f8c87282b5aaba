export { msgpackPlugin as plugin } from "./msgpack-plugin.js";
