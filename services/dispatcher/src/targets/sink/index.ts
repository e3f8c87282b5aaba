export { sinkTarget as plugin } from "./sink-target.js";
