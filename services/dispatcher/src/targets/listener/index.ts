export { listenerTarget as plugin } from "./listener-target.js";
