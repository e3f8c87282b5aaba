export { unroutedTarget as plugin } from "./unrouted-target.js";
