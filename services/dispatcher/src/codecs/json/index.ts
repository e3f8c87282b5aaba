export { jsonPlugin as plugin } from "./json-plugin.js";
