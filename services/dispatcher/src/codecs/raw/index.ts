export { rawPlugin as plugin } from "./raw-plugin.js";
